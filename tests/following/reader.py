"""A PostgreSQL database as the documentation asks for it: the reader may replicate and select, and owns no table.

The owner publishes the tables under the name that the documentation gives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import psycopg
from psycopg import sql

from reflexdb.sources.postgres.grants import FOLLOWING, READING, Grant, statements
from tests.servers.plugin import TestDatabase

PASSWORD = "reader's ä"


def grants(database: TestDatabase, tables: Iterable[str], given: Iterable[Grant] = (*READING, *FOLLOWING)) -> list[str]:
    """What the owner runs for the reader, as the documentation prints it."""
    return statements(given, database.user, database.schema, "public", tables)


@contextlib.contextmanager
def reader(database: TestDatabase) -> Iterator[TestDatabase]:
    """The database for a role that may log in and replicate. Statements of tests are still run as the owner."""
    role = f"reader_{database.schema}"
    with contextlib.closing(database.connect()) as connection:
        made = sql.SQL("CREATE ROLE {} LOGIN REPLICATION PASSWORD {}")
        connection.execute(made.format(sql.Identifier(role), sql.Literal(PASSWORD)))
    try:
        yield replace(database, user=role, password=PASSWORD)
    finally:
        with contextlib.closing(database.connect()) as connection, contextlib.suppress(psycopg.Error):
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
