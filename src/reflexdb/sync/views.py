"""Views beside a stream: read in a thread and on connections of their own, at a pace of their own, so that neither a
slow view nor a failing one is ever in the way of tables.

After each reading the thread rests nine times as long as it took: views cost at most a tenth of one connection's time.
A view is read again only if something was committed since, by what the source says of its position; one that depends on
more than its tables, such as the time, is read every ten minutes all the same. What was read is taken by the stream's
thread once the tables have come at least as far; meanwhile they may have gone on, so that a view may be behind them by
the time that reading it takes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from reflexdb.model.errors import ReflexError, SourceError
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SnapshotReader, Source
from reflexdb.sync.backoff import Backoff
from reflexdb.sync.failures import Failures
from reflexdb.sync.group import Group
from reflexdb.sync.sending import frames
from reflexdb.sync.spool import Spool
from reflexdb.sync.troubles import Troubles, is_its_own

REST_FACTOR = 9
UNCHANGED_S = 600.0
"""A view is read so often though nothing was committed."""
MEMORY_BYTES = 4 * 1024 * 1024
"""Of a view's rows: the rest is on the disk."""
RETRY_S = (1.0, 30.0)
"""First and longest wait where the source can't be reached."""


class _GivenUp(Exception):
    """The reading is not wanted any more."""


@dataclass(slots=True)
class Outcome:
    """One reading of one view."""

    table: int
    took_s: float
    position: str = ""
    """Of the source after the view was fixed; empty where it tells none."""
    spool: Spool | None = None
    """Its rows; None where they are what was read before, or could not be read."""
    error: SourceError | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    """What is known of a view that was read."""

    position: str
    at: float
    digest: bytes


class Views:
    """`want`, `take` and `give_up` are the stream's thread's."""

    def __init__(
        self,
        plan: Plan,
        declared: Callable[[], Plan],
        open_source: Callable[[], Source] | None,
        directory: Path,
        failures: Failures | None = None,
    ) -> None:
        """`declared` is the plan in the types that the source declares now. Without `open_source` none is read."""
        self.tables = frozenset(index for index, table in enumerate(plan.tables) if open_source and table.is_view)
        """The views that are read here."""
        self._failures = failures or Failures()
        self._plan = plan
        self._declared = declared
        self._open_source = open_source
        self._directory = directory
        self._wanted: dict[int, None] = {}
        self._known: dict[int, _Read] = {}
        self._outcomes: deque[Outcome] = deque()
        self._round = 0
        """Another one after each `give_up`: what was begun before is thrown away."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger()

    def want(self, tables: Iterable[int], changed: Collection[int]) -> None:
        """Read the views among these when their turn comes, if their rows can have changed; not those of another
        definition."""
        views = [table for table in tables if table in self.tables and table not in changed]
        with self._changed:
            self._wanted |= dict.fromkeys(views)
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="views", daemon=True)
                self._thread.start()
            self._changed.notify()

    def take(self, ready: Callable[[str], bool]) -> list[Outcome]:
        """What was read since and whose position the tables have reached. The caller closes the spools."""
        taken = []
        with self._changed:
            while self._outcomes and (not self._outcomes[0].position or ready(self._outcomes[0].position)):
                taken.append(self._outcomes.popleft())
        return taken

    def bring(
        self,
        group: Group,
        troubles: Troubles,
        changed: Collection[int],
        position: str,
        moment: datetime,
        reached: Callable[[str, str], bool],
    ) -> int:
        """Between two groups, with the server at the position: give it what was read, but for those of another
        definition. The server's version."""
        for outcome in self.take(lambda wanted: reached(position, wanted)):
            with contextlib.ExitStack() as spools:
                if outcome.spool is not None:
                    spools.enter_context(outcome.spool)
                if outcome.table in changed:
                    continue
                if outcome.spool is not None:
                    group.replace(outcome.table, outcome.spool.chunks())
                    group.commit(moment, position)
                    self._log.info("view_read", view=self._plan.tables[outcome.table].source_name)
                if outcome.error is None:
                    troubles.mended([outcome.table])
                elif is_its_own(outcome.error) or troubles.lost(outcome.table):
                    troubles.failed(outcome.table, outcome.error, outcome.took_s)
                else:
                    self.want([outcome.table], changed)
        self.want(troubles.due(), changed)
        return group.version

    def give_up(self) -> None:
        """Nothing is to be read any more until it is wanted again, and nothing is known of what the server holds."""
        with self._changed:
            self._round += 1
            self._wanted.clear()
            self._known.clear()
            while self._outcomes:
                _close(self._outcomes.popleft())

    def _run(self) -> None:
        retry = Backoff(*RETRY_S)
        while True:
            with self._changed:
                while not self._wanted:
                    self._changed.wait()
                turn = self._round
            began = time.monotonic()
            try:
                with self._failures.of("views", _GivenUp):
                    self._next(turn)
                retry.reset()
            except _GivenUp:
                continue
            except ReflexError:
                time.sleep(retry.next())
            time.sleep((time.monotonic() - began) * REST_FACTOR)

    def _next(self, turn: int) -> None:
        """Look where the source is, and read the first of the views that can have changed."""
        assert self._open_source is not None, "else none is wanted"
        source = self._open_source()
        try:
            declared = self._declared()
            with source.snapshot(declared) as reader:
                table = self._first(turn, reader.position)
                outcome = None if table is None else self._read(turn, declared, reader, table)
            if outcome is not None:
                if outcome.spool is not None:
                    self._locate(source, declared, turn, outcome)
                self._hand_over(turn, outcome)
        finally:
            source.close()

    def _locate(self, source: Source, declared: Plan, turn: int, outcome: Outcome) -> None:
        """Where the source is by now. Without that the reading is of no use, and is wanted again."""
        try:
            with source.snapshot(declared) as later:
                outcome.position = later.position
        except BaseException:
            _close(outcome)
            with self._changed:
                self._known.pop(outcome.table, None)
                if turn == self._round:
                    self._wanted[outcome.table] = None
            raise

    def _first(self, turn: int, position: str) -> int | None:
        now = time.monotonic()
        with self._changed:
            if turn != self._round:
                raise _GivenUp
            for table in list(self._wanted):
                del self._wanted[table]
                known = self._known.get(table)
                if known is None or not position or known.position != position or now > known.at + UNCHANGED_S:
                    return table
        return None

    def _read(self, turn: int, declared: Plan, reader: SnapshotReader, table: int) -> Outcome | None:
        def check() -> None:
            if turn != self._round:
                raise _GivenUp

        began, position, spool = time.monotonic(), reader.position, Spool(self._directory, MEMORY_BYTES)
        try:
            for frame in frames(reader, table, declared.tables[table], check):
                spool.add(frame)
        except SourceError as exc:
            spool.close()
            with self._changed:
                self._known.pop(table, None)
            return Outcome(table, time.monotonic() - began, error=exc)
        except BaseException:
            spool.close()
            raise
        took, digest = time.monotonic() - began, spool.digest()
        with self._changed:
            known = self._known.get(table)
            self._known[table] = _Read(position, time.monotonic(), digest)
        if known is not None and known.digest == digest:
            spool.close()
            return Outcome(table, took)
        return Outcome(table, took, spool=spool)

    def _hand_over(self, turn: int, outcome: Outcome) -> None:
        with self._changed:
            if turn == self._round:
                self._outcomes.append(outcome)
                return
        _close(outcome)


def _close(outcome: Outcome) -> None:
    if outcome.spool is not None:
        outcome.spool.close()
