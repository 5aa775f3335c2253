"""The safety net behind a stream: table by table, what the source has is compared with what the stream made of it.

A thread of its own reads one table in an exact view, slowly, onto the disk, while the stream goes on; what the stream
changes in that table meanwhile is kept beside it. When the view is read, view and changes together are what the source
has where the stream is now: the server takes them in place of its rows, at that position, and counts the rows that were
not so already. So writes, however many, are no difference, and a difference is mended by being found.

Where the table's key is an integer, the source first sums up its rows by spans of the key, and only those are read that
have another sum than last time, or that the stream has touched since (ledger.py).

A table that is read again for another reason, or redefined, meanwhile is left to that. Nothing here is needed for the
stream to go on: what fails is logged, and the next safety net tries again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path

import structlog

from reflexdb.model.errors import MemoryCapExceeded, ReflexError, SourceError
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.changes import Cascaded, Commit, Event, Follower, Redefined, Rows, Stale, StaleRows, Truncated
from reflexdb.sources.spans import Range, keys_of, limits_of, span_of
from reflexdb.sync import feed
from reflexdb.sync.failures import Failures
from reflexdb.sync.group import Group
from reflexdb.sync.ledger import Ledger, Touched, size_for
from reflexdb.sync.reading import NotVerified, Reached, Reading
from reflexdb.sync.transaction import Part

REST_FACTOR = 1.0
"""After each batch, so many times as long as it took nothing is read: at most half of the time is spent reading."""
SLICES = 16
"""A table is summed up in so many statements, with rests between them."""


class _Given(Exception):
    """The verification was given up by whoever began it."""


class Verifier:
    """All methods belong to the stream's thread."""

    def __init__(
        self,
        plan: Plan,
        declared: Callable[[], Plan],
        open_follower: Callable[[], Follower],
        directory: Path,
        failures: Failures | None = None,
    ) -> None:
        """`declared` is the plan in the types that the source declares now."""
        self._failures = failures or Failures()
        self._plan = plan
        self._declared = declared
        self._open_follower = open_follower
        self._directory = directory
        self._due: deque[int] = deque()
        self._reading: Reading | None = None
        self._thread: threading.Thread | None = None
        self._ledgers: dict[int, Ledger] = {}
        """Of tables that were found, or made, equal."""
        self._parts: list[Rows | Truncated] = []
        """Of a transaction that has not ended."""
        self.counts = {"differences": 0, "verified": 0}
        """Rows found wrong, and tables compared, so far."""
        self._log = structlog.get_logger()

    def begin(self, apart: AbstractSet[int]) -> None:
        """Verify all tables but these, one after the other; fine where some are still being verified."""
        if not self._due and self._reading is None:
            self._due.extend(table for table in range(len(self._plan.tables)) if table not in apart)
            self._next()

    def give_up(self) -> None:
        """The stream's state is to be made anew: nothing that was kept can be compared with it."""
        self._due.clear()
        self._ledgers.clear()
        self._parts = []
        if self._reading is not None:
            self._reading.given_up = True
        self._collect()

    def forget_part(self) -> None:
        """The transaction that was coming is thrown away; it will come again."""
        self._parts = []

    def forget(self, tables: Iterable[int]) -> None:
        """These are read again for another reason than ours."""
        for table in tables:
            self._ledgers.pop(table, None)
            if self._reading is not None and self._reading.table == table:
                self._reading.forgets = True

    def _touch(self, event: Event) -> None:
        """Remember what it changes."""
        if isinstance(event, Cascaded):
            self.forget(event.tables)
            return
        if isinstance(event, Rows):
            if (ledger := self._ledgers.get(event.table)) is not None:
                ledger.touched.add(event)
        elif isinstance(event, Redefined) and event.table is None:
            self._ledgers.clear()
        elif isinstance(event, Truncated | Stale | StaleRows | Redefined):
            assert event.table is not None
            self._ledgers.pop(event.table, None)
        reading = self._reading
        if reading is not None and not isinstance(event, Commit) and event.table in (None, reading.table):
            reading.touch(event)

    def note(self, part: Part, reached: Reached) -> None:
        """The stream applies this."""
        for event in part.events:
            self._touch(event)
        reading = self._reading
        if reading is None or reading.given_up:
            return
        for event in part.events:
            if isinstance(event, Redefined) and event.table in (None, reading.table):
                self._leave("it was redefined")
            elif (isinstance(event, Stale | StaleRows) and event.table == reading.table) or (
                isinstance(event, Cascaded) and reading.table in event.tables
            ):
                self._leave("it is read again anyway")
            elif isinstance(event, Rows | Truncated) and event.table == reading.table:
                self._parts.append(event)
        if part.end is None or reading.given_up:
            return
        events, self._parts = self._parts, []
        if events:
            try:
                reading.keep(part.end.position, events, self._plan, reached)
            except NotVerified as why:
                self._leave(str(why))

    def compare(self, group: Group, position: str, moment: datetime, reached: Reached) -> int:
        """Between two groups, with the server at the position: give it the table that was read, if there is one that
        can be compared here, and count how many of its rows were not as they should have been. The server's version.
        What it refuses as out of step is raised."""
        self._collect()
        reading = self._reading
        if reading is None or not reading.is_comparable(position, reached):
            return group.version
        before = group.differences
        if not reading.is_same:
            try:
                reading.settle(self._plan, reached)
                group.compare(reading.table, reading.view.chunks(), reading.ranges)
                group.resend(reading.changes.chunks())
                group.commit(moment, position)
            except NotVerified as why:
                self._leave(str(why))
                return group.version
            except MemoryCapExceeded:
                self._leave("the server has no memory for what would have to be changed")
                return group.version
        self._conclude(reading, group.differences - before)
        self._end()
        return group.version

    def _conclude(self, reading: Reading, differences: int) -> None:
        self.counts["verified"] += 1
        self.counts["differences"] += differences
        table = self._plan.tables[reading.table].source_name
        read = "whole" if reading.part is None else f"{len(reading.part)} ranges"
        known = {"table": table, "read": read, "duration_ms": round((time.monotonic() - reading.began) * 1000)}
        if differences:
            self._log.error("differences_found", **known, rows=differences)
        else:
            self._log.info("verified", **known)
        self._ledgers.pop(reading.table, None)
        if reading.sums is not None and reading.touched is not None and not reading.forgets:
            rounds = 0 if reading.ledger is None else reading.ledger.rounds + 1
            self._ledgers[reading.table] = Ledger(reading.sums, reading.touched, rounds)

    def _leave(self, why: str) -> None:
        assert self._reading is not None
        self._reading.given_up = True
        self._parts = []
        self._log.info("not_verified", table=self._plan.tables[self._reading.table].source_name, reason=why)

    def _collect(self) -> None:
        """A reading that came to nothing is put away once its thread has ended, and the next table is begun."""
        reading = self._reading
        if reading is None or self._thread is None or self._thread.is_alive():
            return
        if reading.failed or reading.given_up:
            self._end()

    def _end(self) -> None:
        assert self._reading is not None
        assert self._thread is not None
        self._thread.join()
        self._reading.close()
        self._reading = self._thread = None
        self._parts = []
        self._next()

    def _next(self) -> None:
        if self._due:
            table = self._due.popleft()
            ledger = self._ledgers.get(table)
            self._reading = Reading(table, self._directory, None if ledger is None or ledger.is_due() else ledger)
            self._thread = threading.Thread(target=self._read, args=(self._reading,), name="verify", daemon=True)
            self._thread.start()

    def _read(self, reading: Reading) -> None:
        """In a thread of its own."""
        table = self._plan.tables[reading.table]
        try:
            with self._failures.of(f"safety net of table {table.source_name!r}", _Given):
                self._compare_sums_or_rows(reading, table)
        except (_Given, ReflexError):
            reading.failed = True
        else:
            reading.done = True

    def _compare_sums_or_rows(self, reading: Reading, table: PlannedTable) -> None:
        follower = self._open_follower()
        try:
            try:
                self._sum_up(reading, follower)
            except SourceError as exc:  # what is wrong with the source itself is met again at once
                self._log.warning("not_summed_up", table=table.source_name, error=exc.code, reason=exc.message)
            if not reading.is_same:
                self._read_rows(reading, follower)
        finally:
            follower.close()

    def _read_rows(self, reading: Reading, follower: Follower) -> None:
        reading.keeps = True
        declared = self._declared()
        with follower.view(declared) as reader:
            reading.position = reader.position
            planned = declared.tables[reading.table]
            part = reading.part
            began = time.monotonic()
            for batch in reader.read(planned) if part is None else reader.within(planned, part):
                for frame in feed.rows(reading.table, self._plan.tables[reading.table], batch):
                    reading.view.add(frame)
                began = _rest(reading, began)

    def _sum_up(self, reading: Reading, follower: Follower) -> None:
        """Find out what has to be read, if that is not all."""
        planned = self._plan.tables[reading.table]
        column = planned.primary_key[0] if planned.primary_key else None
        limits = None if column is None else limits_of(planned.columns[column].storage)
        declared = self._declared()
        table = declared.tables[reading.table]
        if column is None or limits is None:
            return
        if reading.touched is None:
            with follower.view(declared) as reader:
                keys = reader.key_range(table)
            if keys is None:
                return
            reading.touched = Touched(size_for(keys), column)  # before the view in which it is summed up
        sums: dict[int, str | None] = {}
        with follower.view(declared) as reader:
            began = time.monotonic()
            for keys in _slices(reader.key_range(table), reading.touched.size):
                sums |= reader.sums(table, reading.touched.size, keys)
                began = _rest(reading, began)
        reading.sums, reading.limits = sums, limits
        reading.ranges = (limits,) if reading.ledger is None else reading.ledger.doubtful(sums, limits)


def _slices(keys: Range | None, size: int) -> Iterator[Range]:
    """The keys in some steps, none of which parts a span."""
    if keys is None:
        return
    first, last = span_of(keys[0], size), span_of(keys[1], size)
    step = max(1, -(-(last - first + 1) // SLICES))
    for start in range(first, last + 1, step):
        end = min(last, start + step - 1)
        yield max(keys[0], keys_of(start, size)[0]), min(keys[1], keys_of(end, size)[1])


def _rest(reading: Reading, began: float) -> float:
    """For as long as it took since then; the time now."""
    if reading.given_up:
        raise _Given
    time.sleep((time.monotonic() - began) * REST_FACTOR)
    return time.monotonic()
