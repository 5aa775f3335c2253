"""SQLite files: the path is the address, `main` the only schema."""
