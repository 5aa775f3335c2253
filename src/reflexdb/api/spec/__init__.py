"""The published contract of the control plane, as it was agreed; tests hold the API to it."""
