"""From an image to a running instance: launch, load, probe, hand over, retire; and its supervision afterwards."""
