"""Adapters to the databases people have: test, introspect, read, follow. One package per kind; `open_source` and
`follower` are the only ways in.
"""

from reflexdb.sources.registry import default_port, follower, open_source

__all__ = ["default_port", "follower", "open_source"]
