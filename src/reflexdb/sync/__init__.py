"""The process beside each server: first snapshot, periodic reloads, health. Following changes will live here."""
