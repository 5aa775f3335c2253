"""Reads planned tables of one MySQL snapshot as Arrow batches.

The transaction is REPEATABLE READ with a consistent snapshot, so all InnoDB tables are of the same moment (MyISAM
tables never are). Rows come unbuffered, as the bytes the server sent; values.py makes columns of them. One table at a
time: the connection carries one result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.connections import Connection

from reflexdb.model.errors import SourceData, SourceError
from reflexdb.model.plan import PlannedTable
from reflexdb.sources.base import Some, SourceAddress
from reflexdb.sources.batching import arrow_schema, refuse_large_values, split
from reflexdb.sources.mysql import sums
from reflexdb.sources.mysql.connect import connect, quoted, translated
from reflexdb.sources.mysql.stream import ColumnStream
from reflexdb.sources.mysql.types import select_expression
from reflexdb.sources.mysql.values import to_arrow
from reflexdb.sources.retyped import retyped, table_as_read
from reflexdb.sources.spans import Range, condition


class MySQLSnapshot:
    """SnapshotReader over a connection whose transaction the source has begun."""

    def __init__(
        self, connection: Connection[Any], address: SourceAddress, schema: str, position: str, taken_at: datetime
    ) -> None:
        self._connection = connection
        self._address = address
        self._schema = schema
        self.position = position
        self.taken_at = taken_at

    def change_token(self, table: PlannedTable) -> str | None:  # noqa: ARG002 - the protocol's
        """None: what the server tells about a table's last change is neither exact nor transactional."""
        return None

    def read(self, table: PlannedTable) -> Iterator[pa.RecordBatch]:
        """Rows in the order the server finds them (by primary key in InnoDB, though nothing promises it)."""
        return self._rows(table, _select(self._schema, table))

    def some(self, table: PlannedTable, wanted: Some) -> Iterator[pa.RecordBatch]:
        """The first that the server finds, or those of the keys."""
        return self._rows(table, _select(self._schema, table) + self._chosen(table, wanted))

    def key_range(self, table: PlannedTable) -> Range | None:
        key = sums.key_column(table)
        if key is None:
            return None
        [(first, last)] = self._ask(table, sums.key_range(self._schema, table, key))
        return None if first is None or last is None else (int(first), int(last))

    def sums(self, table: PlannedTable, size: int, keys: Range) -> dict[int, str | None]:
        key = sums.key_column(table)
        assert key is not None
        found: dict[int, str | None] = {}
        for row in self._ask(table, sums.sums(self._schema, table, key, size, keys)):
            span, rows, total = (int(value or 0) for value in row)
            found[span] = f"{rows}:{total}" if total < sums.NO_SUM else None
        return found

    def within(self, table: PlannedTable, ranges: Sequence[Range]) -> Iterator[pa.RecordBatch]:
        key = sums.key_column(table)
        assert key is not None
        return self._rows(table, _select(self._schema, table, key, ranges))

    def _ask(self, table: PlannedTable, statement: str) -> list[tuple[bytes | None, ...]]:
        doing = f"summing up table {table.source_name!r}"
        with translated(self._address, doing), self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def _chosen(self, table: PlannedTable, wanted: Some) -> str:
        """What follows the statement that reads the whole table. A number as text would be compared as a double."""
        limit = f" LIMIT {wanted.rows:d}"
        if not wanted.keys:
            return limit
        columns = ", ".join(quoted(table.columns[index].source_name) for index in wanted.columns)
        keys = ", ".join(f"({', '.join(map(self._literal, key))})" for key in wanted.keys)
        return f" {'WHERE' if table.where is None else 'AND'} ({columns}) IN ({keys}){limit}"

    def _literal(self, value: int | str | bytes) -> str:
        if isinstance(value, bytes):
            return f"x'{value.hex()}'"
        return f"{value:d}" if isinstance(value, int) else str(self._connection.escape(value))

    def _rows(self, table: PlannedTable, statement: str) -> Iterator[pa.RecordBatch]:
        native = table_as_read(table)
        schema = arrow_schema(native)
        with translated(self._address, f"reading table {table.source_name!r}"):
            stream = ColumnStream(self._connection, statement)
            try:
                for columns in stream:
                    arrays = [self._array(native, index, values) for index, values in enumerate(columns)]
                    refuse_large_values(native, arrays)
                    yield from split(retyped(table, pa.RecordBatch.from_arrays(arrays, schema=schema)))
            except BaseException:
                with suppress(SourceError, pymysql.MySQLError, OSError):  # what went wrong first is what matters
                    if not stream.ended:  # else the next statement would be ended
                        self._cancel()
                        stream.drain()
                raise

    def _array(self, table: PlannedTable, index: int, values: list[bytes | None]) -> pa.Array:
        column = table.columns[index]
        try:
            return to_arrow(values, column.storage, column.declared_type)
        except ValueError as error:
            raise SourceData(
                f"Column {column.source_name!r} of table {table.source_name!r} ({column.declared_type}) has a "
                f"value that "
                f"its type does not allow ({error}). Correct the value, or exclude the column in reflexdb.yaml."
            ) from error

    def _cancel(self) -> None:
        """End the running statement, so that closing its cursor need not read the rest of a large table."""
        thread = self._connection.thread_id()  # type: ignore[no-untyped-call] # PyMySQL's stubs
        other = connect(self._address)
        try:
            with other.cursor() as cursor:
                cursor.execute("KILL QUERY %s", (thread,))
        finally:
            other.close()


def _select(schema: str, table: PlannedTable, key: str = "", ranges: Sequence[Range] = ()) -> str:
    columns = ", ".join(select_expression(quoted(column.source_name), column.declared_type) for column in table.columns)
    rows = f"{quoted(schema)}.{quoted(table.source_name)}"
    return f"SELECT {columns} FROM {rows}{condition(table, key, ranges)}"  # noqa: S608 - quoted
