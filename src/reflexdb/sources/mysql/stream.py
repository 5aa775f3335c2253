"""Runs one statement and hands out its rows in columns, as they come from the socket, without holding the whole
result.

Called by read.py. It borrows PyMySQL's connection after the statement is sent: the column descriptions are PyMySQL's
to read, the rows are RowDecoder's. Uses PyMySQL's inner names (`_rfile`, `_sock`, `_execute_command`), for which
there are no public ones; tests on a real server would notice a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pymysql import err
from pymysql.connections import Connection, MySQLResult
from pymysql.constants import COMMAND

from reflexdb.sources.batching import BATCH_BYTES, BATCH_ROWS
from reflexdb.sources.mysql.rows import RowDecoder

_PIECE = 1 << 20


class ColumnStream:
    """The result of one statement."""

    def __init__(self, connection: Connection[Any], statement: str) -> None:
        inner: Any = connection
        inner._execute_command(COMMAND.COM_QUERY, statement)
        result: Any = MySQLResult(connection)
        result.init_unbuffered_query()
        result.unbuffered_active = False  # the rows are ours, PyMySQL must not look for them
        result.connection = None
        inner._result = None
        inner._sock.settimeout(inner._read_timeout)
        self._file = inner._rfile
        self._decoder = RowDecoder(result.field_count)

    def __iter__(self) -> Iterator[list[list[bytes | None]]]:
        decoder = self._decoder
        while not decoder.ended:
            self._feed()
            if decoder.columns[0] and (
                decoder.ended or decoder.size >= BATCH_BYTES or len(decoder.columns[0]) >= BATCH_ROWS
            ):
                yield decoder.take()
        if decoder.error is not None:
            err.raise_mysql_exception(decoder.error)

    @property
    def ended(self) -> bool:
        """Whether the server has nothing more to send of it."""
        return self._decoder.ended

    def drain(self) -> None:
        """Read to the end of the result and forget it, so that the connection can be used again."""
        while not self._decoder.ended:
            self._feed()
            self._decoder.take()

    def _feed(self) -> None:
        piece = self._file.read1(_PIECE)
        if not piece:
            raise err.OperationalError(2013, "Lost connection to the server while reading rows")
        self._decoder.feed(piece)
