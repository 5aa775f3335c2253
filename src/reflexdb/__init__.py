"""ReflexDB: a SQL database as a read API at memory speed."""

__version__ = "0.1.0"
