"""Adapters to the databases people have: test, introspect, read. One package per kind; `open_source` is the only
way in.
"""

from reflexdb.sources.registry import default_port, open_source

__all__ = ["default_port", "open_source"]
