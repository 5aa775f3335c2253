"""Reads planned tables of one SQLite snapshot as Arrow batches.

A snapshot is one deferred read transaction, so all tables are of the same moment, whatever writers do. Called through
source.py. Values go through values.py; what does not fit is reported by table, column and rowid.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from reflexdb.model.errors import SourceData
from reflexdb.model.plan import PlannedTable
from reflexdb.sources.base import Some
from reflexdb.sources.batching import arrow_schema, has_variable, row_chunks, split, too_large
from reflexdb.sources.retyped import retyped, table_as_read
from reflexdb.sources.sqlite.connect import translate
from reflexdb.sources.sqlite.introspect import quoted
from reflexdb.sources.sqlite.values import Misfit, Value, to_arrow


class SQLiteSnapshot:
    """SnapshotReader over a connection whose read transaction the source has begun."""

    def __init__(self, connection: sqlite3.Connection, path: str, connection_id: str, taken_at: datetime) -> None:
        self._connection = connection
        self._path = path
        self.taken_at = taken_at
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        self.position = f"{connection_id}:{version}"
        """`data_version` grows with every commit another connection makes, and means nothing beyond this
        connection: hence its id.
        """

    def change_token(self, table: PlannedTable) -> str | None:
        """The file's version; None where rows can change without a commit (a view or predicate may ask for the
        time).
        """
        return None if table.is_view or table.where is not None else self.position

    def read(self, table: PlannedTable) -> Iterator[pa.RecordBatch]:
        """Rows in the table's own order."""
        yield from self._rows(table, _select(table))

    def some(self, table: PlannedTable, wanted: Some) -> Iterator[pa.RecordBatch]:
        """The first in the table's own order, or those of the keys."""
        values = [value for key in wanted.keys for value in key]
        yield from self._rows(table, _select(table) + _chosen(table, wanted), values)

    def _rows(self, table: PlannedTable, statement: str, values: Sequence[Value] = ()) -> Iterator[pa.RecordBatch]:
        native = table_as_read(table)
        schema = arrow_schema(native)
        cursor = self._connection.cursor()
        try:
            for rows in self._chunks(native, cursor, statement, values):
                arrays = [self._array(native, index, values) for index, values in enumerate(zip(*rows, strict=True))]
                yield from split(retyped(table, pa.RecordBatch.from_arrays(arrays, schema=schema)))
        finally:
            cursor.close()

    def _chunks(
        self, table: PlannedTable, cursor: sqlite3.Cursor, statement: str, values: Sequence[Value]
    ) -> Iterator[list[Sequence[Value]]]:
        try:
            cursor.execute(statement, values)
            yield from row_chunks(cursor.fetchmany, has_variable(table))
        except sqlite3.DataError as error:  # "string or blob too big"
            raise too_large(table, self._find_large(table)) from error
        except sqlite3.Error as error:
            if "decode to UTF-8" in str(error):
                raise self._broken_text(table, str(error)) from error
            raise translate(error, self._path, f"reading table {table.source_name!r}") from error

    def _array(self, table: PlannedTable, index: int, values: Sequence[Value]) -> pa.Array:
        column = table.columns[index]
        try:
            return to_arrow(values, column.storage)
        except Misfit as misfit:
            raise self._misfit(table, column.source_name, column.declared_type, misfit.value) from None
        except UnicodeEncodeError as error:  # a lone surrogate
            raise self._broken_text(table, str(error), column.source_name) from error

    def _misfit(self, table: PlannedTable, column: str, declared: str, value: Value) -> SourceData:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return SourceData(
            f"Column {column!r} of table {table.source_name!r} is declared {declared or 'without a type'!r}, but "
            f"holds {shown}{self._where(table, column, value)}. Correct the value, or exclude the column in "
            f"reflexdb.yaml."
        )

    def _where(self, table: PlannedTable, column: str, value: Value) -> str:
        if table.is_view:
            return ""
        try:
            search = f"SELECT _rowid_ FROM {quoted(table.source_name)} WHERE {quoted(column)} IS ?"  # noqa: S608 - quoted
            row = self._connection.execute(search + " LIMIT 1", (value,)).fetchone()
        except sqlite3.Error:  # WITHOUT ROWID, or a column that took the name
            return ""
        return "" if row is None else f" (rowid {row[0]})"

    def _find_large(self, table: PlannedTable) -> str:
        """The column whose value made SQLite give up: the first that cannot be read alone."""
        for column in table.columns:
            try:
                for _ in self._connection.execute(_select(table, column.source_name)):
                    pass
            except sqlite3.DataError:
                return column.source_name
        return "?"

    def _broken_text(self, table: PlannedTable, said: str, column: str | None = None) -> SourceData:
        name = (
            next((c.source_name for c in table.columns if f"'{c.source_name}'" in said), "?")
            if column is None
            else column
        )
        return SourceData(
            f"Column {name!r} of table {table.source_name!r} has text that is not valid UTF-8. "
            "Correct the value, or exclude the column in reflexdb.yaml."
        )


def _select(table: PlannedTable, only: str | None = None) -> str:
    columns = [column.source_name for column in table.columns] if only is None else [only]
    name = quoted(table.source_name)
    chosen = ", ".join(f"{name}.{quoted(column)}" for column in columns)  # without the table, "gone" is a string
    statement = f"SELECT {chosen} FROM {name}"  # noqa: S608 - quoted
    return statement if table.where is None else f"{statement} WHERE ({table.where}\n)"


def _chosen(table: PlannedTable, wanted: Some) -> str:
    """What follows the statement that reads the whole table; its values are bound."""
    limit = f" LIMIT {wanted.rows:d}"
    if not wanted.keys:
        return limit
    name = quoted(table.source_name)
    columns = ", ".join(f"{name}.{quoted(table.columns[index].source_name)}" for index in wanted.columns)
    one = f"({', '.join('?' * len(wanted.columns))})"
    keys = ", ".join([one] * len(wanted.keys))
    return f" {'WHERE' if table.where is None else 'AND'} ({columns}) IN (VALUES {keys}){limit}"


def now() -> datetime:
    """The moment before a snapshot is fixed."""
    return datetime.now(UTC)
