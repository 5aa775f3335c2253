"""A PostgreSQL server as a source: puts connecting, testing, introspecting and reading together.

Each use has connections of its own; only the one that asks for definitions is kept. Safe to use from several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from reflexdb.model.errors import SourceMissing
from reflexdb.model.plan import Plan
from reflexdb.model.schema import SourceSchema
from reflexdb.sources.base import SourceAddress, TestResult
from reflexdb.sources.postgres.connect import MAINTENANCE_DATABASES, connect, connect_arrow, find, quoted, translated
from reflexdb.sources.postgres.definitions import KeptDefinitions
from reflexdb.sources.postgres.introspect import introspect
from reflexdb.sources.postgres.probe import probe
from reflexdb.sources.postgres.read import PostgresSnapshot, begin_view, end_view, postgis_schema

_POSITION = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"


class PostgresSource:
    """Source over one server."""

    def __init__(self, address: SourceAddress) -> None:
        self._address = address
        self._definitions = KeptDefinitions(address)

    def test(self) -> TestResult:
        with closing(self._any_database()) as connection, translated(self._address, "testing the connection"):
            return probe(connection, lambda database: connect(self._address, database))

    def introspect(self, schema: str) -> SourceSchema:
        with translated(self._address, f"describing schema {schema!r}"):
            place, connection = find(self._address, schema)
            with closing(connection):
                return introspect(connection, place.schema, schema)

    def definitions(self, schema: str) -> str:
        return self._definitions.digest(schema)

    @contextmanager
    def snapshot(self, plan: Plan) -> Iterator[PostgresSnapshot]:
        """All tables as of one moment."""
        with translated(self._address, "beginning a consistent snapshot"):
            place, describing = find(self._address, plan.schema)
            with closing(describing):
                postgis = postgis_schema(describing)
            connection = connect_arrow(self._address, place.database)
        try:
            with translated(self._address, "beginning a consistent snapshot"), connection.cursor() as cursor:
                cursor.execute(f"SET search_path TO {quoted(place.schema)}, public")
                cursor.execute(_POSITION)
                position = str(cursor.fetchone()[0])
                taken_at = datetime.now(UTC)
                begin_view(cursor)
            yield PostgresSnapshot(connection, self._address, place.schema, position, taken_at, postgis)
        finally:
            end_view(connection)

    def close(self) -> None:
        self._definitions.close()

    def _any_database(self) -> psycopg.Connection[Any]:
        """A connection to whichever database lets us in; every server has the first two unless someone dropped them."""
        for database in (*MAINTENANCE_DATABASES, self._address.user):
            with suppress(SourceMissing):
                return connect(self._address, database)
        raise SourceMissing(
            f"PostgreSQL at {self._address.host} has none of the databases {', '.join(MAINTENANCE_DATABASES)} to "
            "connect to for a test."
        )
