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

from reflexdb.model.errors import MemoryCapExceeded, ReflexError
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.changes import Commit, Event, Follower, Redefined, Rows, Stale, Truncated
from reflexdb.sources.spans import Range, keys_of, limits_of, span_of
from reflexdb.sync import change_frames, feed
from reflexdb.sync.group import Group
from reflexdb.sync.ledger import Crossing, Ledger, Sums, Touched, size_for, within
from reflexdb.sync.spool import Spool
from reflexdb.sync.transaction import Part

REST_FACTOR = 1.0
"""After each batch, so many times as long as it took nothing is read: at most half of the time is spent reading."""
KEPT_BYTES_MAX = 1 << 30
"""Changes beside one view; of a table that changes more while it is read, nothing is verified this time."""
WAITING_ROWS_MAX = 200_000
"""Changes that are kept in memory until it is known whether the view has them."""
MEMORY_BYTES = 4 * 1024 * 1024
"""Of a view, and of the changes beside it: the rest is on the disk."""
SLICES = 16
"""A table is summed up in so many statements, with rests between them."""
TOO_FAST = "it changes faster than it is read"
Reached = Callable[[str, str], bool]


class _Left(Exception):
    """Nothing is verified this time; why."""


class _Given(Exception):
    """The verification was given up by whoever began it."""


class _Reading:
    """One table: its view on the disk, read by the thread; its later changes, kept by the stream's."""

    def __init__(self, table: int, directory: Path, ledger: Ledger | None) -> None:
        """`ledger` is of the last verification; None where the table is to be read whole."""
        self.table = table
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
        _Left."""
        if not self.keeps or (self._last is not None and reached(self._last, position)):
            return
        self._last = position
        if self.position is None:
            self._waiting.append((position, events))
            self._waiting_rows += sum(len(event.ops) for event in events if isinstance(event, Rows))
            if self._waiting_rows > WAITING_ROWS_MAX:
                raise _Left(TOO_FAST)
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
    def is_whole(self) -> bool:
        return self.ranges is None or self.ranges == (self.limits,)

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
                if not self.is_whole:
                    raise _Left("it was emptied while a part of it was read")
                self._add(feed.table(self.table))
                continue
            for frame in change_frames.changes(planned, self._of_part(event, planned)):
                self._add(frame)

    def _of_part(self, rows: Rows, planned: PlannedTable) -> Rows:
        if self.is_whole or self.ranges is None:
            return rows
        try:
            return within(rows, planned.primary_key[0], self.ranges)
        except Crossing:
            raise _Left("a row that was not sent whole came into the part of it that is read") from None

    def _add(self, frame: feed.Frame) -> None:
        self._bytes += frame.body_bytes()
        if self._bytes > KEPT_BYTES_MAX:
            raise _Left(TOO_FAST)
        self.changes.add(frame)

    def close(self) -> None:
        """Only once the thread is done with it."""
        self.view.close()
        self.changes.close()


class Verifier:
    """All methods belong to the stream's thread."""

    def __init__(
        self, plan: Plan, declared: Callable[[], Plan], open_follower: Callable[[], Follower], directory: Path
    ) -> None:
        """`declared` is the plan in the types that the source declares now."""
        self._plan = plan
        self._declared = declared
        self._open_follower = open_follower
        self._directory = directory
        self._due: deque[int] = deque()
        self._reading: _Reading | None = None
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
        if isinstance(event, Rows):
            if (ledger := self._ledgers.get(event.table)) is not None:
                ledger.touched.add(event)
        elif isinstance(event, Redefined) and event.table is None:
            self._ledgers.clear()
        elif isinstance(event, Truncated | Stale | Redefined):
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
            elif isinstance(event, Stale) and event.table == reading.table:
                self._leave("it is read again anyway")
            elif isinstance(event, Rows | Truncated) and event.table == reading.table:
                self._parts.append(event)
        if part.end is None or reading.given_up:
            return
        events, self._parts = self._parts, []
        if events:
            try:
                reading.keep(part.end.position, events, self._plan, reached)
            except _Left as why:
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
                group.replace(reading.table, reading.view.chunks(), reading.ranges)
                group.resend(reading.changes.chunks())
                group.commit(moment, position)
            except _Left as why:
                self._leave(str(why))
                return group.version
            except MemoryCapExceeded:
                self._leave("the server has no memory for what would have to be changed")
                return group.version
        self._conclude(reading, group.differences - before)
        self._end()
        return group.version

    def _conclude(self, reading: _Reading, differences: int) -> None:
        self.counts["verified"] += 1
        self.counts["differences"] += differences
        table = self._plan.tables[reading.table].source_name
        read = "whole" if reading.is_whole else f"{len(reading.ranges or ())} ranges"
        if differences:
            self._log.error("differences_found", table=table, rows=differences, read=read)
        else:
            self._log.info("verified", table=table, read=read)
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
            self._reading = _Reading(table, self._directory, None if ledger is None or ledger.is_due() else ledger)
            self._thread = threading.Thread(target=self._read, args=(self._reading,), name="verify", daemon=True)
            self._thread.start()

    def _read(self, reading: _Reading) -> None:
        """In a thread of its own."""
        try:
            follower = self._open_follower()
            try:
                self._sum_up(reading, follower)
                if not reading.is_same:
                    self._read_rows(reading, follower)
            finally:
                follower.close()
        except _Given:
            reading.failed = True
        except ReflexError as exc:
            reading.failed = True
            self._log.warning("not_verified", error=exc.code, reason=exc.message)
        except Exception:
            reading.failed = True
            self._log.exception("not_verified")
        else:
            reading.done = True

    def _read_rows(self, reading: _Reading, follower: Follower) -> None:
        reading.keeps = True
        declared = self._declared()
        with follower.view(declared) as reader:
            reading.position = reader.position
            planned = declared.tables[reading.table]
            is_whole = reading.is_whole or reading.ranges is None
            began = time.monotonic()
            for batch in reader.read(planned) if is_whole else reader.within(planned, reading.ranges or ()):
                for frame in feed.rows(reading.table, self._plan.tables[reading.table], batch):
                    reading.view.add(frame)
                began = _rest(reading, began)

    def _sum_up(self, reading: _Reading, follower: Follower) -> None:
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


def _rest(reading: _Reading, began: float) -> float:
    """For as long as it took since then; the time now."""
    if reading.given_up:
        raise _Given
    time.sleep((time.monotonic() - began) * REST_FACTOR)
    return time.monotonic()
