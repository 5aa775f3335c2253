"""Adapters to the databases people have: test, introspect, read. One package per kind; `open_source` is the only way
in."""
