"""A MySQL or MariaDB server as a source: puts connecting, testing, introspecting and reading together.

Each use has a connection of its own; nothing is kept between uses but the address. Safe to use from several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.model.plan import Plan
from reflexdb.model.schema import SourceSchema
from reflexdb.sources.base import SourceAddress, TestResult
from reflexdb.sources.definitions import digest
from reflexdb.sources.mysql.connect import connect, translated
from reflexdb.sources.mysql.introspect import describe, introspect
from reflexdb.sources.mysql.position import position_after, position_before
from reflexdb.sources.mysql.probe import probe
from reflexdb.sources.mysql.read import MySQLSnapshot


class MySQLSource:
    """Source over one server."""

    def __init__(self, address: SourceAddress) -> None:
        self._address = address

    def test(self) -> TestResult:
        with closing(connect(self._address)) as connection, translated(self._address, "testing the connection"):
            return probe(connection)

    def introspect(self, schema: str) -> SourceSchema:
        with closing(connect(self._address)) as connection, translated(self._address, f"describing schema {schema!r}"):
            return introspect(connection, schema)

    def definitions(self, schema: str) -> str:
        with closing(connect(self._address)) as connection, translated(self._address, f"describing schema {schema!r}"):
            return digest(describe(connection, schema))

    @contextmanager
    def snapshot(self, plan: Plan) -> Iterator[MySQLSnapshot]:
        """All InnoDB tables as of one moment."""
        connection = connect(self._address)
        try:
            with translated(self._address, "beginning a consistent snapshot"):
                before = position_before(connection)
                taken_at = datetime.now(UTC)
                _begin(connection)
                position = position_after(connection) or before
            connection.use_unicode = False
            connection.decoders = {}  # rows as the server's bytes
            yield MySQLSnapshot(connection, self._address, plan.schema, position, taken_at)
        finally:
            with suppress(pymysql.MySQLError, OSError):
                connection.close()

    def close(self) -> None:
        """Nothing is held between uses."""


def _begin(connection: Connection[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
