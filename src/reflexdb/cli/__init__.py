"""The commands, with the same nouns as the API."""
