"""The safety net behind a stream: table by table, what the source has is compared with what the stream made of it.

A thread of its own reads one table in an exact view, slowly, onto the disk, while the stream goes on; what the stream
changes in that table meanwhile is kept beside it. When the view is read, view and changes together are what the source
has where the stream is now: the server takes them in place of its rows, at that position, and counts the rows that were
not so already. So writes, however many, are no difference, and a difference is mended by being found.

A table that is read again for another reason, or redefined, meanwhile is left to that. Nothing here is needed for the
stream to go on: what fails is logged, and the next safety net tries again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime
from pathlib import Path

import structlog

from reflexdb.model.errors import MemoryCapExceeded, ReflexError
from reflexdb.model.plan import Plan
from reflexdb.sources.changes import Follower, Redefined, Rows, Stale, Truncated
from reflexdb.sync import change_frames, feed
from reflexdb.sync.group import Group
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
Reached = Callable[[str, str], bool]


class _TooMuch(Exception):
    """More changes than may be kept."""


class _Given(Exception):
    """The verification was given up by whoever began it."""


class _Reading:
    """One table: its view on the disk, read by the thread; its later changes, kept by the stream's."""

    def __init__(self, table: int, directory: Path) -> None:
        self.table = table
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

    def keep(self, position: str, events: list[Rows | Truncated], plan: Plan, reached: Reached) -> None:
        """A transaction that ends at the position; one that comes again, after a lost connection, is kept once. Raises
        _TooMuch."""
        if self._last is not None and reached(self._last, position):
            return
        self._last = position
        if self.position is None:
            self._waiting.append((position, events))
            self._waiting_rows += sum(len(event.ops) for event in events if isinstance(event, Rows))
            if self._waiting_rows > WAITING_ROWS_MAX:
                raise _TooMuch
            return
        self.settle(plan, reached)
        if not reached(self.position, position):
            self._write(events, plan)

    def is_comparable(self, position: str, reached: Reached) -> bool:
        """Whether the view is read, and the state at the position has all that is in it and beside it."""
        if not self.done or self.given_up or self.position is None:
            return False
        return reached(position, self.position) and (self._last is None or reached(position, self._last))

    def settle(self, plan: Plan, reached: Reached) -> None:
        """Now that the view's position is known: what of the waiting ones is not in it."""
        assert self.position is not None
        waiting, self._waiting = self._waiting, []
        for position, events in waiting:
            if not reached(self.position, position):
                self._write(events, plan)

    def _write(self, events: list[Rows | Truncated], plan: Plan) -> None:
        for event in events:
            if isinstance(event, Truncated):
                self._add(feed.table(self.table))
                continue
            for frame in change_frames.changes(plan.tables[self.table], event):
                self._add(frame)

    def _add(self, frame: feed.Frame) -> None:
        self._bytes += frame.body_bytes()
        if self._bytes > KEPT_BYTES_MAX:
            raise _TooMuch
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
        self._parts = []
        if self._reading is not None:
            self._reading.given_up = True
        self._collect()

    def forget_part(self) -> None:
        """The transaction that was coming is thrown away; it will come again."""
        self._parts = []

    def note(self, part: Part, reached: Reached) -> None:
        """The stream applies this."""
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
            except _TooMuch:
                self._leave("it changes faster than it is read")

    def compare(self, group: Group, position: str, moment: datetime, reached: Reached) -> int:
        """Between two groups, with the server at the position: give it the table that was read, if there is one that
        can be compared here, and count how many of its rows were not as they should have been. The server's version.
        What it refuses as out of step is raised."""
        self._collect()
        reading = self._reading
        if reading is None or not reading.is_comparable(position, reached):
            return group.version
        before = group.differences
        reading.settle(self._plan, reached)
        group.replace(reading.table, reading.view.chunks())
        group.resend(reading.changes.chunks())
        try:
            group.commit(moment, position)
        except MemoryCapExceeded:
            self._leave("the server has no memory for a second copy of it")
            return group.version
        differences = group.differences - before
        self.counts["verified"] += 1
        self.counts["differences"] += differences
        table = self._plan.tables[reading.table].source_name
        if differences:
            self._log.error("differences_found", table=table, rows=differences)
        else:
            self._log.info("verified", table=table)
        self._end()
        return group.version

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
            self._reading = _Reading(self._due.popleft(), self._directory)
            self._thread = threading.Thread(target=self._read, args=(self._reading,), name="verify", daemon=True)
            self._thread.start()

    def _read(self, reading: _Reading) -> None:
        """In a thread of its own."""
        try:
            follower = self._open_follower()
            try:
                declared = self._declared()
                with follower.view(declared) as reader:
                    reading.position = reader.position
                    began = time.monotonic()
                    for batch in reader.read(declared.tables[reading.table]):
                        for frame in feed.rows(reading.table, self._plan.tables[reading.table], batch):
                            reading.view.add(frame)
                        if reading.given_up:
                            raise _Given
                        time.sleep((time.monotonic() - began) * REST_FACTOR)
                        began = time.monotonic()
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
