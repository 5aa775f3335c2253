"""Tables as a view of the source has them, made of the rows that serve: for rows that do not fit beside those.

A snapshot that is loaded stands beside the one that serves until it is whole. Where the memory does not allow that,
the same rows go as one group of changes. The server leaves a row alone that is so already, so that only what differs
costs memory; of a table without a primary key it needs room for a second copy all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from reflexdb.model.errors import MemoryCapExceeded
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import SnapshotReader
from reflexdb.sync.group import WHOLE, Group
from reflexdb.sync.sending import Sending, frames, send_all
from reflexdb.sync.troubles import Troubles


def load(
    sending: Sending, reader: SnapshotReader, plan: Plan, troubles: Troubles, serving: int
) -> tuple[int, frozenset[int]]:
    """Send everything and commit it: the version in which queries see it, and the tables that could not be read."""
    with sending:
        missing = send_all(sending, reader, plan, troubles, serving > 0)
        version = commit(sending, reader, plan, serving, doubts=True)
    troubles.mended(frozenset(range(len(plan.tables))) - missing)
    return version, missing


def commit(sending: Sending, reader: SnapshotReader, plan: Plan, serving: int, *, doubts: bool) -> int:
    """The version in which queries see what was sent. Where that does not fit beside the version that serves (0 for
    none), its tables are read and sent once more, in place. `doubts`: what serves should be so already. Raises
    MemoryCapExceeded, with the table that takes the most, where not even the differences fit."""
    try:
        return sending.commit()
    except MemoryCapExceeded:
        if not serving:
            raise
    structlog.get_logger().warning("sent_in_place", reason="the memory does not hold a second copy")
    group = Group(plan, sending.channel, serving)
    send = group.compare if doubts else group.replace
    try:
        for index in sorted(sending.replaced):
            table = plan.tables[index]
            send(index, _rows(sending, reader, index, table), WHOLE if table.primary_key else None)
        sending.check()
        return group.commit(reader.taken_at, reader.position)
    except BaseException:
        group.abort()
        raise


def _rows(sending: Sending, reader: SnapshotReader, index: int, table: PlannedTable) -> Iterator[bytes]:
    for frame in frames(reader, index, table, sending.check):
        yield frame.encode()
