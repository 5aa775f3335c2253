"""One table that is being verified: its view on the disk, and what the stream changes beside it. See verify.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.changes import Event, Rows, Truncated
from reflexdb.sources.spans import Range
from reflexdb.sync import change_frames, feed
from reflexdb.sync.ledger import Crossing, Ledger, Sums, within
from reflexdb.sync.spool import Spool

KEPT_BYTES_MAX = 1 << 30
"""Changes beside one view; of a table that changes more while it is read, nothing is verified this time."""
WAITING_ROWS_MAX = 200_000
"""Changes that are kept in memory until it is known whether the view has them."""
MEMORY_BYTES = 4 * 1024 * 1024
"""Of a view, and of the changes beside it: the rest is on the disk."""
TOO_FAST = "it changes faster than it is read"
Reached = Callable[[str, str], bool]


class NotVerified(Exception):
    """Nothing is verified this time; why."""


class Reading:
    """One table: its view on the disk, read by the thread; its later changes, kept by the stream's."""

    def __init__(self, table: int, directory: Path, ledger: Ledger | None) -> None:
        """`ledger` is of the last verification; None where the table is to be read whole."""
        self.table = table
        self.began = time.monotonic()
        self.ledger = ledger
        self.limits: Range | None = None
        """Of the key; None where it is no integer."""
        self.sums: Sums | None = None
        self.touched = None if ledger is None else ledger.touched.anew()
        """By the stream, since before they were made."""
        self.forgets = False
        """What is remembered of the table is not true any more."""
        self.ranges: tuple[Range, ...] | None = None
        """What is read of the table; None for all of one that can't be read in parts."""
        self.keeps = False
        """Changes have to be kept beside the view."""
        self.view = Spool(directory, MEMORY_BYTES)
        self.changes = Spool(directory, MEMORY_BYTES)
        self.position: str | None = None
        """Of the view; None until it is fixed."""
        self.done = False
        self.failed = False
        self.given_up = False
        self._waiting: list[tuple[str, list[Rows | Truncated]]] = []
        self._waiting_rows = 0
        self._last: str | None = None
        """Where the newest transaction that was kept ends."""
        self._bytes = 0

    def touch(self, event: Event) -> None:
        """The stream changes this table so."""
        if isinstance(event, Rows):
            if self.touched is not None:
                self.touched.add(event)
        else:
            self.forgets = True

    def keep(self, position: str, events: list[Rows | Truncated], plan: Plan, reached: Reached) -> None:
        """A transaction that ends at the position; one that comes again, after a lost connection, is kept once. Raises
        NotVerified."""
        if not self.keeps or (self._last is not None and reached(self._last, position)):
            return
        self._last = position
        if self.position is None:
            self._waiting.append((position, events))
            self._waiting_rows += sum(len(event.ops) for event in events if isinstance(event, Rows))
            if self._waiting_rows > WAITING_ROWS_MAX:
                raise NotVerified(TOO_FAST)
            return
        self.settle(plan, reached)
        if not reached(self.position, position):
            self._write(events, plan)

    def is_comparable(self, position: str, reached: Reached) -> bool:
        """Whether the view is read, and the state at the position has all that is in it and beside it."""
        if not self.done or self.given_up:
            return False
        if self.position is None:
            return self.is_same
        return reached(position, self.position) and (self._last is None or reached(position, self._last))

    @property
    def is_same(self) -> bool:
        """Once it is done: the sums told that there is nothing to read."""
        return self.ranges == ()

    @property
    def part(self) -> tuple[Range, ...] | None:
        """The ranges that are read; None where that is the whole table."""
        return None if self.ranges == (self.limits,) else self.ranges

    def settle(self, plan: Plan, reached: Reached) -> None:
        """Now that the view's position is known: what of the waiting ones is not in it."""
        assert self.position is not None
        waiting, self._waiting = self._waiting, []
        for position, events in waiting:
            if not reached(self.position, position):
                self._write(events, plan)

    def _write(self, events: list[Rows | Truncated], plan: Plan) -> None:
        planned = plan.tables[self.table]
        for event in events:
            if isinstance(event, Truncated):
                if self.part is not None:
                    raise NotVerified("it was emptied while a part of it was read")
                self._add(feed.table(self.table))
                continue
            for frame in change_frames.changes(planned, self._of_part(event, planned)):
                self._add(frame)

    def _of_part(self, rows: Rows, planned: PlannedTable) -> Rows:
        if self.part is None:
            return rows
        try:
            return within(rows, planned.primary_key[0], self.part)
        except Crossing:
            raise NotVerified("a row that was not sent whole came into the part of it that is read") from None

    def _add(self, frame: feed.Frame) -> None:
        self._bytes += frame.body_bytes()
        if self._bytes > KEPT_BYTES_MAX:
            raise NotVerified(TOO_FAST)
        self.changes.add(frame)

    def close(self) -> None:
        """Only once the thread is done with it."""
        self.view.close()
        self.changes.close()
