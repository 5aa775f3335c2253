"""A source in memory that keeps a log of its transactions, and a Follower over it that can be made to fail."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from reflexdb.model.errors import PositionLost, ReflexError
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import ARROW_TYPES, Some
from reflexdb.sources.changes import Cascaded, Commit, Event, Redefined, Row, Rows, Stale, StaleRows, Truncated
from reflexdb.sources.spans import Range, span_of


class LoggedSource:
    """Rows by table and key, and how they came about. All methods may be called from any thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: dict[int, dict[Row, Row]] = {index: {} for index in range(len(plan.tables))}
        self.log: list[list[Event | Exception]] = []
        self.first = 0
        """Transactions before this one are purged."""
        self.failure: Exception | None = None
        """What every use raises."""
        self.clock_is_off = timedelta(0)
        self.changed = threading.Condition()
        self.snapshots = 0
        self.confirmed = ""
        self.sums_tell = True
        self.refusal: ReflexError | None = None
        """Of sums."""
        self.parts: list[tuple[int, list[Any]]] = []
        """What was read of a table in parts: the table, and the keys that were there."""
        self.before_view: Any = None
        """Called while a view is being fixed, after its position: what it commits is not in the view."""

    def commit(self, *events: Event | Exception) -> str:
        """One transaction; returns its position. A stream raises what is an exception."""
        with self.changed:
            for event in events:
                self._apply(event)
            self.log.append([*events, Commit(str(len(self.log) + 1), datetime.now(UTC) + self.clock_is_off)])
            self.changed.notify_all()
            return str(len(self.log))

    def _apply(self, event: Event | Exception) -> None:
        match event:
            case Rows():
                for op, key, row in zip(event.ops, event.keys, event.rows, strict=True):
                    table = self.rows[event.table]
                    if key is not None:
                        del table[key]
                    if row is not None:
                        now = tuple(row[i] for i in self.plan.tables[event.table].primary_key)
                        assert now not in table, op
                        table[now] = row
            case Truncated():
                self.rows[event.table] = {}
            case Stale() | StaleRows() | Cascaded() | Redefined() | Commit():
                pass

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure


@dataclass
class _Reader:
    rows: dict[int, dict[Row, Row]]
    plan: Plan
    position: str
    taken_at: datetime
    parts: list[tuple[int, list[Any]]]
    sums_tell: bool = True
    refusal: ReflexError | None = None

    def change_token(self, table: PlannedTable) -> str | None:
        return None

    def read(self, table: PlannedTable) -> Iterator[pa.RecordBatch]:
        yield self._batch(table, list(self.rows[self.plan.tables.index(table)].values()))

    def some(self, table: PlannedTable, wanted: Some) -> Iterator[pa.RecordBatch]:
        rows = self.rows[self.plan.tables.index(table)]
        yield self._batch(table, [rows[key] for key in wanted.keys if key in rows])

    def key_range(self, table: PlannedTable) -> Range | None:
        keys = [key[0] for key in self.rows[self.plan.tables.index(table)]]
        return (min(keys), max(keys)) if keys else None

    def sums(self, table: PlannedTable, size: int, keys: Range) -> dict[int, str | None]:
        if self.refusal is not None:
            raise self.refusal
        spans: dict[int, list[Row]] = {}
        for key, row in self.rows[self.plan.tables.index(table)].items():
            if keys[0] <= key[0] <= keys[1]:
                spans.setdefault(span_of(key[0], size), []).append(row)
        return {span: repr(sorted(rows)) if self.sums_tell else "" for span, rows in spans.items()}

    def within(self, table: PlannedTable, ranges: Sequence[Range]) -> Iterator[pa.RecordBatch]:
        index = self.plan.tables.index(table)
        rows = [row for key, row in self.rows[index].items() if any(a <= key[0] <= b for a, b in ranges)]
        self.parts.append((index, [row[0] for row in rows]))
        yield self._batch(table, rows)

    def _batch(self, table: PlannedTable, rows: list[Row]) -> pa.RecordBatch:
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(table.columns)
        arrays = [pa.array(v, ARROW_TYPES[c.storage]) for v, c in zip(columns, table.columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in table.columns])


class _Stream:
    warning: str | None = None
    definitions: str | None = None

    def __init__(self, source: LoggedSource, position: int) -> None:
        self._source = source
        self._next = position
        self._events: list[Event | Exception] = []

    def next(self, timeout_s: float) -> Event | None:
        with self._source.changed:
            self._source.check()
            if not self._events:
                if self._next == len(self._source.log):
                    self._source.changed.wait(timeout_s)
                    self._source.check()
                if self._next == len(self._source.log):
                    return None
                self._events = list(self._source.log[self._next])
                self._next += 1
            event = self._events.pop(0)
            if isinstance(event, Exception):
                raise event
            return event

    def confirm(self, position: str) -> None:
        self._source.confirmed = position

    def close(self) -> None: ...


class LogFollower:
    """See Follower."""

    mode = "binlog"

    def __init__(self, source: LoggedSource) -> None:
        self._source = source

    def preflight(self, plan: Plan) -> tuple[str, ...]:
        return ()

    def warnings(self, plan: Plan) -> tuple[str, ...]:
        return ()

    def unfollowed(self, plan: Plan) -> frozenset[int]:
        return frozenset()

    @contextmanager
    def snapshot(self, plan: Plan, wait_s: float | None = None) -> Iterator[_Reader]:
        source = self._source
        with source.changed:
            source.check()
            source.snapshots += 1
            now = datetime.now(UTC)
            rows = copy.deepcopy(source.rows)
            reader = _Reader(rows, plan, str(len(source.log)), now, source.parts, source.sums_tell, source.refusal)
        if source.before_view is not None:
            source.before_view()
        yield reader

    def view(self, plan: Plan, wait_s: float | None = None) -> AbstractContextManager[_Reader]:
        return self.snapshot(plan, wait_s)

    def stream(self, plan: Plan, position: str) -> _Stream:
        with self._source.changed:
            self._source.check()
            if int(position) < self._source.first:
                raise PositionLost(f"position {position} is purged")
        return _Stream(self._source, int(position))

    def clock(self) -> datetime:
        return datetime.now(UTC) + self._source.clock_is_off

    def reached(self, position: str, wanted: str) -> bool:
        return int(position) >= int(wanted)

    def succeed(self) -> None: ...

    def withdraw(self) -> tuple[str, ...]:
        return ()

    def kept_bytes(self) -> int:
        return 0

    def drop(self, *, shared: bool = True) -> None: ...

    def close(self) -> None: ...
