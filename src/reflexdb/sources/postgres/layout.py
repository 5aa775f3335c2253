"""How the rows of one relation, as replication sends them, become rows of one planned table.

Made anew for every Relation message, which is where PostgreSQL says what the rows after it look like. Whatever can't be
followed row by row is told apart here: a definition that no longer fits the plan, and tables whose changes only say
that they must be read again. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from reflexdb.model.errors import SourceData
from reflexdb.model.plan import PlannedColumn, PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.sources.batching import VALUE_BYTES, too_large
from reflexdb.sources.changes import UNCHANGED, Row
from reflexdb.sources.postgres.pgoutput import Relation, Tuple, Unchanged
from reflexdb.sources.postgres.texts import decoder

_TOLD_AS_TEXT = ("json", "jsonb")


def needs_server(column: PlannedColumn) -> bool:
    """Whether only the server can turn the text it prints for the column into what a read gives (arrays to JSON)."""
    return column.storage is Storage.JSON and column.declared_type not in _TOLD_AS_TEXT


@dataclass(frozen=True, slots=True)
class Field:
    """One planned column: where it is in the tuple and how its text is read."""

    place: int
    read: Callable[[bytes], Any]
    column: PlannedColumn


@dataclass(frozen=True, slots=True)
class Layout:
    """A relation that is planned and can be followed."""

    table: int
    planned: PlannedTable
    fields: tuple[Field, ...]
    key: tuple[int, ...]
    """The primary key, as indexes into `fields`."""
    width: int
    """How many values a tuple must have for every field to be in it."""
    readers: tuple[tuple[int, Callable[[Any], Any]], ...]
    """Of `fields`, place and reader: rows are many, and going through objects costs as much as reading them."""
    stale: str | None = None
    """Why a changed row must be read again: `fields` has the primary key alone. None where the changes tell all."""

    def row(self, new: Tuple, old: Tuple | None = None, *, is_large: bool = False) -> Row:
        """The planned row. `old` fills in what `new` leaves unchanged; `is_large` says that a value may be larger than
        can be served. Raises SourceData."""
        if is_large:
            return self._row(new, old)
        try:
            return tuple([None if (value := new[place]) is None else read(value) for place, read in self.readers])
        except (TypeError, AttributeError, ValueError, OverflowError):
            return self._row(new, old)  # an unchanged value, or one that must be named

    def _row(self, new: Tuple, old: Tuple | None) -> Row:
        values: list[Any] = []
        for field in self.fields:
            value = new[field.place]
            if isinstance(value, Unchanged) and old is not None:
                value = old[field.place]
            if isinstance(value, bytes):
                values.append(self._value(field, value))
            else:
                values.append(None if value is None else UNCHANGED)
        return tuple(values)

    def has_key(self, values: Tuple) -> bool:
        """Whether a tuple contains the primary key: a partition may have a replica identity of its own."""
        return all(isinstance(values[self.readers[index][0]], bytes) for index in self.key)

    def key_of(self, values: Tuple) -> Row:
        """The primary key within a tuple that has it. Raises SourceData for a value that can't be served."""
        key = []
        for index in self.key:
            field = self.fields[index]
            text = values[field.place]
            assert isinstance(text, bytes)
            key.append(self._value(field, text))
        return tuple(key)

    def _value(self, field: Field, text: bytes) -> Any:
        if len(text) > VALUE_BYTES:
            raise too_large(self.planned, field.column.source_name, len(text))
        try:
            return field.read(text)
        except (ValueError, OverflowError) as error:
            raise SourceData(
                f"Column {field.column.source_name!r} of table {self.planned.source_name!r} "
                f"({field.column.declared_type}) has a value that cannot be served ({_plain(error)}). Correct the "
                "value, or exclude the column in reflexdb.yaml."
            ) from error


@dataclass(frozen=True, slots=True)
class Reread:
    """Changes of the relation only tell that the planned table must be read again."""

    table: int
    reason: str


@dataclass(frozen=True, slots=True)
class Misfit:
    """The relation is no longer what was planned."""

    table: int
    what: str


def lay_out(
    index: int, table: PlannedTable, relation: Relation, declared: dict[str, str], generated: frozenset[str]
) -> Layout | Reread | Misfit:
    """`declared` has the type of each of the relation's columns as the server prints it; `generated` names the columns
    that the table has but replication leaves out because the server computes them."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    reason = None if table.where is None else "rows may enter or leave its `where`"
    for column in table.columns:
        if column.source_name not in places:
            if column.source_name not in generated:
                return Misfit(index, f"column {column.source_name!r} is gone")
            reason = f"column {column.source_name!r} is computed by the server"
        elif declared[column.source_name] != column.declared_type:
            return Misfit(
                index,
                f"column {column.source_name!r} is {declared[column.source_name]} and was {column.declared_type}",
            )
    key = tuple(table.columns[column] for column in table.primary_key)
    if not key:
        return Reread(index, "it has no primary key")
    identified = {column.name for column in relation.columns if column.is_key or relation.identity == "f"}
    if not identified.issuperset(column.source_name for column in key):
        return Reread(index, "its replica identity does not cover its primary key")
    if reason is None:
        return _layout(index, table, table.columns, table.primary_key, places)
    if any(map(needs_server, key)):
        return Reread(index, reason)
    return replace(_layout(index, table, key, tuple(range(len(key))), places), stale=reason)


def _layout(
    index: int, table: PlannedTable, columns: tuple[PlannedColumn, ...], key: tuple[int, ...], places: dict[str, int]
) -> Layout:
    """`key` are places in `columns`, which are those that are read."""
    fields = tuple(
        Field(
            places[column.source_name],
            bytes.decode if needs_server(column) else decoder(column.storage),
            column,
        )
        for column in columns
    )
    width = 1 + max(field.place for field in fields)
    readers = tuple((field.place, field.read) for field in fields)
    return Layout(index, table, fields, key, width, readers)


def _plain(error: Exception) -> str:
    """Without the value: errors of Python's parsers quote it."""
    said = str(error)
    return said if said.startswith("the year") else "its text is not what the type prints"
