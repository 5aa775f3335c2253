"""The process beside each server: first snapshot, periodic reloads or a followed stream of changes, health."""
