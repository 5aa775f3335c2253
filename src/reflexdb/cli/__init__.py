"""The commands, with the same nouns as the API. Reaches the control plane through `client` alone, as any user would;
decides nothing."""
