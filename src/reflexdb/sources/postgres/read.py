"""Reads planned tables of one PostgreSQL snapshot as Arrow batches.

The transaction is REPEATABLE READ, READ ONLY, so all tables are of the same moment. ADBC runs each SELECT as a binary
COPY and makes Arrow columns of it in native code (docs/decisions/0002-reading-by-column.md). One table at a time: the
connection carries one result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from reflexdb.model.errors import SourceData
from reflexdb.model.plan import PlannedTable
from reflexdb.sources.base import Some, SourceAddress
from reflexdb.sources.batching import arrow_schema, refuse_large_values, split
from reflexdb.sources.postgres import sums
from reflexdb.sources.postgres.connect import literal, quoted, translated
from reflexdb.sources.postgres.types import select_expression
from reflexdb.sources.postgres.values import to_arrow
from reflexdb.sources.retyped import retyped, table_as_read
from reflexdb.sources.spans import Range, condition

_POSTGIS = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'postgis'"


def postgis_schema(connection: psycopg.Connection[Any]) -> str | None:
    """The quoted schema of the extension PostGIS, where there is one."""
    row = connection.execute(_POSTGIS).fetchone()
    return None if row is None else quoted(row[0])


def begin_view(cursor: Any, exported: str | None = None) -> None:
    """Fix what the connection sees from now on: the present moment, or a snapshot that another connection exported."""
    cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    if exported is not None:
        cursor.execute(f"SET TRANSACTION SNAPSHOT {literal(exported)}")
    cursor.execute("SELECT 1")  # the snapshot is fixed by the first statement, not by BEGIN
    cursor.fetchone()


def end_view(connection: Any) -> None:
    """Close the connection; one that is broken counts as closed."""
    with suppress(AdbcError):
        connection.close()


class PostgresSnapshot:
    """SnapshotReader over an ADBC connection whose transaction the source has begun."""

    def __init__(
        self,
        connection: Any,
        address: SourceAddress,
        schema: str,
        position: str,
        taken_at: datetime,
        postgis: str | None,
        was_read: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`was_read` is told the name of each table that was read to its end."""
        self._was_read = was_read
        self._connection = connection
        self._address = address
        self._schema = schema
        self._postgis = postgis
        self.position = position
        self.taken_at = taken_at

    def change_token(self, table: PlannedTable) -> str | None:  # noqa: ARG002 - the protocol's
        """None: the server's counters of changes are not part of its transactions."""
        return None

    def read(self, table: PlannedTable) -> Iterator[pa.RecordBatch]:
        """Rows in the order the server finds them."""
        yield from self._rows(table, self._select(table))
        self._was_read(table.source_name)

    def some(self, table: PlannedTable, wanted: Some) -> Iterator[pa.RecordBatch]:
        """The first that the server finds, or those of the keys."""
        return self._rows(table, self._select(table) + _chosen(table, wanted))

    def key_range(self, table: PlannedTable) -> Range | None:
        key = sums.key_column(table)
        if key is None:
            return None
        [(first, last)] = self._ask(table, sums.key_range(self._schema, table, key))
        return None if first is None else (int(first), int(last))

    def sums(self, table: PlannedTable, size: int, keys: Range) -> dict[int, str | None]:
        key = sums.key_column(table)
        assert key is not None
        found = self._ask(table, sums.sums(self._schema, table, key, size, keys))
        return {int(span): f"{rows}:{total}" for span, rows, total in found}

    def within(self, table: PlannedTable, ranges: Sequence[Range]) -> Iterator[pa.RecordBatch]:
        key = sums.key_column(table)
        assert key is not None
        return self._rows(table, self._select(table, key, ranges))

    def _ask(self, table: PlannedTable, statement: str) -> list[tuple[Any, ...]]:
        doing = f"summing up table {table.source_name!r}"
        with translated(self._address, doing), self._part(), self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    @contextmanager
    def _part(self) -> Iterator[None]:
        """Around one table: what fails within does not end the view, so that other tables can be read in it."""
        self._command("SAVEPOINT reflexdb_table")
        try:
            yield
        except BaseException:
            with suppress(AdbcError, OSError):  # what went wrong first is what matters
                self._command("ROLLBACK TO SAVEPOINT reflexdb_table")
            raise
        finally:
            with suppress(AdbcError, OSError):
                self._command("RELEASE SAVEPOINT reflexdb_table")

    def _command(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def _rows(self, table: PlannedTable, statement: str) -> Iterator[pa.RecordBatch]:
        native = table_as_read(table)
        schema = arrow_schema(native)
        with translated(self._address, f"reading table {table.source_name!r}"), self._part():
            cursor = self._connection.cursor()
            try:
                cursor.execute(statement)
                for batch in _batches(cursor):
                    arrays = [self._array(native, index, array) for index, array in enumerate(batch.columns)]
                    refuse_large_values(native, arrays)
                    if batch.num_rows:
                        yield from split(retyped(table, pa.RecordBatch.from_arrays(arrays, schema=schema)))
            finally:
                cursor.close()

    def _array(self, table: PlannedTable, index: int, array: pa.Array) -> pa.Array:
        column = table.columns[index]
        try:
            return to_arrow(array, column.storage)
        except ValueError as error:
            raise SourceData(
                f"Column {column.source_name!r} of table {table.source_name!r} ({column.declared_type}) has a "
                f"value that "
                f"cannot be served ({error}). Correct the value, or exclude the column in reflexdb.yaml."
            ) from error

    def _select(self, table: PlannedTable, key: str = "", ranges: Sequence[Range] = ()) -> str:
        columns = ", ".join(
            select_expression(quoted(column.source_name), column.declared_type, column.storage, self._postgis)
            + f" AS c{index}"
            for index, column in enumerate(table_as_read(table).columns)
        )
        rows = f"{quoted(self._schema)}.{quoted(table.source_name)}"
        return f"SELECT {columns} FROM {rows}{condition(table, key, ranges)}"  # noqa: S608 - quoted


def _batches(cursor: Any) -> Iterator[pa.RecordBatch]:
    """The result as it comes. `fetch_record_batch` gives the reader within this one, whose errors have neither the
    server's state nor, where the connection ended, its message."""
    yield from cursor._results.reader


def _chosen(table: PlannedTable, wanted: Some) -> str:
    """What follows the statement that reads the whole table. A literal of no type takes that of what it is compared
    with, so that every key is written as text."""
    limit = f" LIMIT {wanted.rows:d}"
    if not wanted.keys:
        return limit
    columns = ", ".join(quoted(table.columns[index].source_name) for index in wanted.columns)
    keys = ", ".join(f"({', '.join(literal(_text(value)) for value in key)})" for key in wanted.keys)
    return f" {'WHERE' if table.where is None else 'AND'} ({columns}) IN ({keys}){limit}"


def _text(value: int | str | bytes) -> str:
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
