"""A whole snapshot on its way to the server, as every mode sends it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from reflexdb.model.errors import ReflexError
from reflexdb.model.plan import PlannedTable
from reflexdb.sources.base import SnapshotReader
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.mode import GoOn, Interrupted

COMMIT_S = 3600.0
"""Building the indexes of a large snapshot takes a while; a server that hangs is the deployer's to judge."""


class Sending:
    """A snapshot on its way: begun at the first table that differs, aborted where it cannot be finished."""

    def __init__(self, channel: PrivateChannel, reader: SnapshotReader, go_on: GoOn) -> None:
        self.channel = channel
        self.begun = False
        self._reader = reader
        self._go_on = go_on
        self._kept: list[int] = []

    def __enter__(self) -> None: ...

    def __exit__(self, _type: type[BaseException] | None, exc: BaseException | None, _tb: object) -> None:
        if exc is not None and self.begun:
            with contextlib.suppress(ReflexError):
                self.channel.request(feed.snapshot_abort())

    def keep(self, index: int) -> None:
        """The table's rows stay as they are."""
        if self.begun:
            self.channel.send(feed.table_keep(index))
        else:
            self._kept.append(index)

    def replace(self, index: int) -> None:
        """The table's rows follow."""
        self.begin()
        self.channel.send(feed.table(index))

    def begin(self) -> None:
        """Fine where it was begun already."""
        if not self.begun:
            self.channel.request(feed.snapshot_begin(self._reader.taken_at, self._reader.position))
            self.begun = True
            for kept in self._kept:
                self.channel.send(feed.table_keep(kept))

    def check(self) -> None:
        """Raises Interrupted where the work is to be given up."""
        if not self._go_on():
            raise Interrupted

    def commit(self) -> int:
        """Returns the version in which queries see the snapshot."""
        self.check()
        self.begun = False  # a commit that is refused has ended the snapshot as well
        return int(self.channel.request(feed.snapshot_commit(), COMMIT_S)["version"])

    def confirm(self) -> None:
        """What the server has is what the reader saw."""
        self.check()
        self.channel.request(feed.confirm(self._reader.taken_at, self._reader.position))


def frames(reader: SnapshotReader, index: int, table: PlannedTable, sending: Sending) -> Iterator[feed.Frame]:
    """A table's rows, as long as nobody says stop."""
    for batch in reader.read(table):
        sending.check()
        yield from feed.rows(index, table, batch)
