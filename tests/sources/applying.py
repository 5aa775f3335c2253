"""What tests of followed sources share: plans with keys, and an applier that keeps tables in dictionaries.

The applier is as simple as the contract allows: rows by primary key, visible at commits. Tables that become stale are
read again from the source, as the product does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from reflexdb.model.plan import Plan
from reflexdb.model.schema import SourceSchema
from reflexdb.sources.base import SnapshotReader
from reflexdb.sources.changes import (
    UNCHANGED,
    Cascaded,
    ChangeStream,
    Commit,
    Event,
    Follower,
    Op,
    Redefined,
    Row,
    Rows,
    Stale,
    StaleRows,
    Truncated,
)
from tests.sources.helpers import planned

LIMIT_S = 60.0


def keyed_plan(schema: SourceSchema, where: dict[str, str] | None = None) -> Plan:
    """Everything the schema has, with its primary keys."""
    tables = []
    for table in schema.tables:
        made = planned(table, (where or {}).get(table.name))
        names = [column.source_name for column in made.columns]
        tables.append(replace(made, primary_key=tuple(names.index(key) for key in table.primary_key)))
    return Plan(schema.backend, schema.name, tuple(tables))


def read_rows(reader: SnapshotReader, plan: Plan, table: int) -> list[Row]:
    """A table's rows as Python values."""
    found: list[Row] = []
    for batch in reader.read(plan.tables[table]):
        columns = [column.to_pylist() for column in batch.columns]
        found += zip(*columns, strict=True)
    return found


class Applier:
    """The tables of a plan, kept equal to the source."""

    def __init__(self, plan: Plan, reader: SnapshotReader) -> None:
        self.plan = plan
        self.position = reader.position
        self.tables: list[dict[Row, Row]] = []
        for index in range(len(plan.tables)):
            self.tables.append({self._key(index, row): row for row in read_rows(reader, plan, index)})
        self.stale: list[tuple[int, str]] = []
        self.stale_keys: list[Row] = []
        self.redefined: list[tuple[int | None, str]] = []
        self.commits: list[Commit] = []
        self.largest = 0
        """The most changes that came in one event."""
        self._open: list[Event] = []
        self.on_commit: Callable[[], None] | None = None

    def _key(self, table: int, row: Row) -> Row:
        return tuple(row[column] for column in self.plan.tables[table].primary_key) or row

    def take(self, event: Event) -> None:
        """Keep an event until its commit; then apply."""
        if not isinstance(event, Commit):
            self._open.append(event)
            return
        for change in self._open:
            self._apply(change)
        self._open.clear()
        self.commits.append(event)
        self.position = event.position
        if self.on_commit is not None:
            self.on_commit()

    def _apply(self, event: Event) -> None:
        if isinstance(event, Truncated):
            self.tables[event.table].clear()
        elif isinstance(event, Stale | StaleRows):
            self.stale.append((event.table, event.reason))
            self.stale_keys += event.keys if isinstance(event, StaleRows) else ()
        elif isinstance(event, Cascaded):
            self.stale += [(table, event.reason) for table in sorted(event.tables)]
        elif isinstance(event, Redefined):
            self.redefined.append((event.table, event.what))
        elif isinstance(event, Rows):
            self.largest = max(self.largest, len(event.ops))
            for op, key, row in zip(event.ops, event.keys, event.rows, strict=True):
                self._change(event.table, op, key, row)

    def _change(self, table: int, op: Op, key: Row | None, row: Row | None) -> None:
        rows = self.tables[table]
        old = rows.pop(key, None) if key is not None else None
        if row is None:
            assert op is Op.DELETE
            return
        if any(value is UNCHANGED for value in row):
            assert old is not None
            row = tuple(before if now is UNCHANGED else now for before, now in zip(old, row, strict=True))
        rows[self._key(table, row)] = row


def drained(stream: ChangeStream, applier: Applier, until: Callable[[], bool]) -> None:
    """Take events until the condition holds at a commit; fails after LIMIT_S."""
    give_up = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < give_up, f"not there within {LIMIT_S} s, at {applier.position}"
        event = stream.next(0.2)
        if event is not None:
            applier.take(event)


@contextmanager
def followed(follower: Follower, plan: Plan) -> Iterator[tuple[Applier, ChangeStream]]:
    """A snapshot of the plan and the stream that continues it."""
    with follower.snapshot(plan) as reader:
        applier = Applier(plan, reader)
    stream = follower.stream(plan, applier.position)
    try:
        yield applier, stream
    finally:
        stream.close()
        follower.close()


def source_rows(follower: Follower, plan: Plan) -> tuple[str, list[list[Row]]]:
    """Position and all rows of the source now, sorted."""
    with follower.snapshot(plan) as reader:
        return reader.position, [sorted(read_rows(reader, plan, index), key=repr) for index in range(len(plan.tables))]


def applied_rows(applier: Applier) -> list[list[Any]]:
    return [sorted(rows.values(), key=repr) for rows in applier.tables]


def caught_up(follower: Follower, stream: ChangeStream, applier: Applier) -> list[list[Row]]:
    """Follow up to the source's present; its rows."""
    position, rows = source_rows(follower, applier.plan)
    drained(stream, applier, lambda: follower.reached(applier.position, position))
    return rows
