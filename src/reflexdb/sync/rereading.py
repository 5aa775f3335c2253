"""Tables and rows that are read again in a view of their own, and the stream that is brought to the view's position.

The steps of `stream.py` that need no state of their own: all of it comes as arguments.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from reflexdb.model.errors import PositionLost, SourceError, SourceInterrupted
from reflexdb.sources.base import SnapshotReader
from reflexdb.sources.changes import Commit, Follower, Row
from reflexdb.sync import feed
from reflexdb.sync.fitting import Fitting
from reflexdb.sync.group import Group
from reflexdb.sync.row_rereads import RowRereads
from reflexdb.sync.sending import frames, row_frames
from reflexdb.sync.spool import Spool
from reflexdb.sync.transaction import WAKE_S, Incoming, Part
from reflexdb.sync.troubles import Troubles, is_its_own

JOIN_S = 15.0
"""A table's view whose position the stream does not reach within this silence is given up for a whole reload."""

WAIT_S = 1.0
"""For locks and transactions of others, before tables are left as they are for now."""
LONGER_WAIT_S = 5.0
Apply = Callable[[Part], None]
Check = Callable[[], None]
"""Raises what ends the work."""


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """What was read in one view."""

    position: str
    taken_at: datetime
    last: Commit
    """That was applied, when the stream had come to the position."""
    tables: dict[int, Spool]
    rows: dict[int, tuple[list[Row], Spool]]
    """By table, the keys that were asked for, and the rows of them that there are."""
    is_complete: bool
    """All that was to be read is there, and is what the source had where the stream is."""

    def told(self, reasons: Collection[str]) -> dict[str, object]:
        """For the log."""
        rows = sum(len(keys) for keys, _ in self.rows.values())
        return {"reasons": sorted(reasons), "tables": len(self.tables), "rows": rows}

    def commit(self, group: Group) -> int:
        """Make it visible, with what the group has. The server's version."""
        for table, spool in self.tables.items():
            group.replace(table, spool.chunks())
        for table, (keys, spool) in self.rows.items():
            group.replace_rows(table, keys, spool.chunks())
        return group.commit(self.taken_at, self.position)


@dataclass(frozen=True, slots=True)
class Rereader:
    """Reads again, each time in another view."""

    source: Follower
    incoming: Incoming
    fitting: Fitting
    troubles: Troubles
    check: Check

    def read(
        self,
        spools: contextlib.ExitStack,
        group: Group,
        stale: dict[int, str],
        rows: RowRereads,
        last: Commit,
        apply: Apply,
    ) -> ReadAgain:
        """Stale tables, and rows by their keys: of the latter those too that the stream tells of until it comes to the
        view. What can't be read is in trouble, and asked for no more."""
        reached, began = self.source.reached, time.monotonic()
        view = self.source.snapshot if stale else self.source.view
        with contextlib.ExitStack() as views:
            try:
                reader = views.enter_context(view(self.fitting.plan, self._wait_s(stale)))
            except SourceInterrupted as exc:
                return self._not_now(exc, time.monotonic() - began, stale, rows, last)
            tables = self._spooled(
                spools, stale, lambda table: frames(reader, table, self.fitting.plan.tables[table], self.check)
            )
            for table in stale.keys() - tables.keys():
                del stale[table]
            if tables or rows:
                last = go_to(self.incoming, reader.position, reached, last, apply, self.check)
            apart = {*stale, *self.fitting.changed, *self.troubles.tables}
            stale |= {table: why for table, why in rows.resolve(group, apart).items() if table not in apart}
            is_complete = tables.keys() == stale.keys() and reached(reader.position, last.position)
            found = self._rows(spools, reader, rows) if is_complete else {}
        is_complete = is_complete and bool(tables or found)
        return ReadAgain(reader.position, reader.taken_at, last, tables, found, is_complete)

    def _wait_s(self, stale: Collection[int]) -> float:
        """How long others may keep us waiting, for all tables wait with us; longer where the first try was in vain."""
        return LONGER_WAIT_S if any(table in self.troubles for table in stale) else WAIT_S

    def _not_now(
        self, exc: SourceInterrupted, took_s: float, stale: dict[int, str], rows: RowRereads, last: Commit
    ) -> ReadAgain:
        """There is no view just now: all that was to be read is in trouble, and read later."""
        tables = {*stale, *rows.keys}
        for table in tables:
            self.troubles.failed(table, exc, took_s)
        self.fitting.leave(self.troubles.tables)
        stale.clear()
        rows.leave(tables)
        return ReadAgain("", last.committed_at, last, {}, {}, False)

    def _rows(
        self, spools: contextlib.ExitStack, reader: SnapshotReader, rows: RowRereads
    ) -> dict[int, tuple[list[Row], Spool]]:
        def of_table(table: int) -> Iterator[feed.Frame]:
            return row_frames(
                reader, table, self.fitting.plan.tables[table], list(rows.keys[table].values()), self.check
            )

        found = self._spooled(spools, list(rows.keys), of_table)
        rows.leave(rows.keys.keys() - found.keys())
        return {table: (list(rows.keys[table]), spool) for table, spool in found.items()}

    def _spooled(
        self, spools: contextlib.ExitStack, tables: Collection[int], read: Callable[[int], Iterator[feed.Frame]]
    ) -> dict[int, Spool]:
        """What there is to read of the tables. One that can't be read is in trouble."""
        content = {}
        for table in sorted(tables):
            began, spool = time.monotonic(), spools.enter_context(Spool(self.fitting.directory))
            try:
                for frame in read(table):
                    spool.add(frame)
            except SourceError as exc:
                if not is_its_own(exc) and not self.troubles.lost(table):
                    raise
                self.troubles.failed(table, exc, time.monotonic() - began)
                self.fitting.leave(self.troubles.tables)
                if not is_its_own(exc):
                    raise
            else:
                content[table] = spool
        return content


def rest(incoming: Incoming, until: float, last: Commit, apply: Apply, check: Check) -> Commit:
    """Until this time of the monotonic clock, take what comes."""
    while (left := until - time.monotonic()) > 0:
        check()
        part = incoming.next(min(WAKE_S, left))
        if part is not None:
            last = _apply_whole(incoming, part, apply, check)
    return last


def go_to(
    incoming: Incoming,
    position: str,
    reached: Callable[[str, str], bool],
    last: Commit,
    apply: Apply,
    check: Check,
) -> Commit:
    """Apply every transaction that a view at the position contains. Raises PositionLost where the stream is silent
    before it gets there."""
    heard = time.monotonic()
    while not reached(last.position, position):
        part = incoming.next(WAKE_S)
        if part is None:
            if time.monotonic() > heard + JOIN_S:
                raise PositionLost(
                    f"the stream of changes did not come to position {position} at which tables were read again; "
                    "everything is read again"
                )
            continue
        heard = time.monotonic()
        if part.end is not None and not reached(position, part.end.position):
            incoming.hold(part)
            return last
        last = _apply_whole(incoming, part, apply, check)
    return last


def _apply_whole(incoming: Incoming, part: Part, apply: Apply, check: Check) -> Commit:
    apply(part)
    while part.end is None:
        part = incoming.remainder(check)
        apply(part)
    return part.end
