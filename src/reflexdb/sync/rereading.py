"""Tables that are read again in a view of their own, and the stream that is brought to the view's position meanwhile.

The steps of `stream.py` that need no state of their own: all of it comes as arguments.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from reflexdb.model.errors import PositionLost, SourceError
from reflexdb.sources.base import SnapshotReader
from reflexdb.sources.changes import Commit
from reflexdb.sync.fitting import Fitting
from reflexdb.sync.sending import frames
from reflexdb.sync.spool import Spool
from reflexdb.sync.transaction import WAKE_S, Incoming, Part
from reflexdb.sync.troubles import Troubles, is_its_own

JOIN_S = 15.0
"""A table's view whose position the stream does not reach within this silence is given up for a whole reload."""

Apply = Callable[[Part], None]
Check = Callable[[], None]
"""Raises what ends the work."""


def spooled(
    spools: contextlib.ExitStack,
    reader: SnapshotReader,
    stale: dict[int, str],
    fitting: Fitting,
    troubles: Troubles,
    check: Check,
) -> dict[int, Spool]:
    """The rows of the stale tables. One that can't be read is stale no more, but in trouble."""
    content = {}
    for table in sorted(stale):
        began, spool = time.monotonic(), spools.enter_context(Spool(fitting.directory))
        try:
            for frame in frames(reader, table, fitting.plan.tables[table], check):
                spool.add(frame)
        except SourceError as exc:
            if not is_its_own(exc) and not troubles.lost(table):
                raise
            troubles.failed(table, exc, time.monotonic() - began)
            del stale[table]
            fitting.leave(troubles.tables)
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
