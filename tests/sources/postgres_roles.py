"""A user of a PostgreSQL test database with exactly the documented rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from psycopg import sql

from reflexdb.sources.postgres.grants import FOLLOWING, READING, statements
from tests.servers.plugin import TestDatabase

PASSWORD = "reader-secret"


@contextmanager
def documented(database: TestDatabase, tables: Iterable[str] | None = None) -> Iterator[TestDatabase]:
    """The database as a new user sees it: one that reads, or with `tables` to publish, one that follows. `connect` and
    `execute` stay the administrator's."""
    user = f"reader_{database.schema}"
    name = sql.Identifier(user)
    with database.connect() as admin:
        admin.execute(sql.SQL("CREATE USER {} PASSWORD {}").format(name, sql.Literal(PASSWORD)))
        try:
            grants = READING if tables is None else (*READING, *FOLLOWING)
            for statement in statements(grants, user, database.schema, "public", tables or ()):
                admin.execute(statement)
            yield replace(database, user=user, password=PASSWORD)
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
            admin.execute(sql.SQL("DROP ROLE {}").format(name))
