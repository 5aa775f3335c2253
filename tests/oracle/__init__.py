"""Made-up queries, asked of ReflexDB and, as SQL, of the database that it was loaded from."""
