"""A plain consumer of a change stream: keeps the planned tables as dictionaries, and compares them with the source."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa

from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import ARROW_TYPES, SnapshotReader
from reflexdb.sources.changes import UNCHANGED, ChangeStream, Commit, Event, Follower, Op, Redefined, Rows, Truncated

LIMIT_S = 60.0
Key = tuple[Any, ...]


def plain(array: pa.Array) -> list[Any]:
    """Values as the replica keeps them: dates and times as counts."""
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    elif pa.types.is_date(array.type):
        array = array.view(pa.int32())
    values: list[Any] = array.to_pylist()
    return values


def _normal(table: PlannedTable, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row's values through Arrow, as sync sends them."""
    return tuple(
        value if value is UNCHANGED else plain(pa.array([value], ARROW_TYPES[column.storage]))[0]
        for value, column in zip(row, table.columns, strict=True)
    )


class Replica:
    """What a server would hold."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tables: list[dict[Key, tuple[Any, ...]]] = [{} for _ in plan.tables]
        self.position = ""
        self.events: list[Event] = []

    def load(self, reader: SnapshotReader) -> None:
        self.position = reader.position
        for index, table in enumerate(self.plan.tables):
            self.tables[index] = self._rows(reader, table)

    def _rows(self, reader: SnapshotReader, table: PlannedTable) -> dict[Key, tuple[Any, ...]]:
        found = {}
        for batch in reader.read(table):
            for row in zip(*(plain(column) for column in batch.columns), strict=True):
                found[self._key(table, row)] = row
        return found

    def _key(self, table: PlannedTable, row: tuple[Any, ...]) -> Key:
        return tuple(row[part] for part in table.primary_key) if table.primary_key else row

    def apply(self, event: Event) -> None:
        if isinstance(event, Rows):
            self._change(event)
        elif isinstance(event, Truncated):
            self.tables[event.table].clear()
        elif isinstance(event, Commit):
            self.position = event.position
        else:
            self.events.append(event)

    def _change(self, rows: Rows) -> None:
        table, held = self.plan.tables[rows.table], self.tables[rows.table]
        key_columns = [table.columns[part] for part in table.primary_key]
        for op, given, row in zip(rows.ops, rows.keys, rows.rows, strict=True):
            old: tuple[Any, ...] | None = None
            if op is not Op.INSERT:
                assert given is not None
                key = tuple(
                    plain(pa.array([value], ARROW_TYPES[column.storage]))[0]
                    for value, column in zip(given, key_columns, strict=True)
                )
                old = held.pop(key)  # a KeyError is a change of a row that should be there
            if op is not Op.DELETE:
                assert row is not None
                new = _normal(table, row)
                if old is not None:
                    new = tuple(was if now is UNCHANGED else now for was, now in zip(old, new, strict=True))
                assert UNCHANGED not in new
                key = self._key(table, new)
                assert key not in held, f"{table.name} has {key} twice"
                held[key] = new

    def follow(self, stream: ChangeStream, follower: Follower, until: str) -> None:
        """Apply everything up to a position of the source."""
        give_up = time.monotonic() + LIMIT_S
        while not follower.reached(self.position, until):
            assert time.monotonic() < give_up, f"{until} was not reached; at {self.position}"
            event = stream.next(1.0)
            if event is not None:
                self.apply(event)
                if isinstance(event, Commit):
                    stream.confirm(event.position)

    def assert_equals(self, reader: SnapshotReader) -> None:
        for index, table in enumerate(self.plan.tables):
            expected = self._rows(reader, table)
            held = self.tables[index]
            assert held.keys() == expected.keys(), table.name
            for key, row in expected.items():
                assert same(held[key], row), (table.name, key, held[key], row)

    def redefined(self) -> list[Redefined]:
        return [event for event in self.events if isinstance(event, Redefined)]


def same(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Equal, NaN to NaN too."""
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))
