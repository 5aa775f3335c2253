"""A whole snapshot on its way to the server, as every mode sends it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import structlog

from reflexdb.model.errors import ReflexError, SourceError
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import Key, SnapshotReader, Some
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.mode import GoOn, Interrupted
from reflexdb.sync.spool import Digest
from reflexdb.sync.troubles import Troubles, is_its_own

T = TypeVar("T")
COMMIT_S = 3600.0
"""Building the indexes of a large snapshot takes a while; a server that hangs is the deployer's to judge."""

ASKED_ROWS = 500
"""Rows that one statement asks for by key."""


class Sending:
    """A snapshot on its way: begun at the first table that differs, aborted where it cannot be finished."""

    def __init__(self, channel: PrivateChannel, reader: SnapshotReader, go_on: GoOn) -> None:
        self.channel = channel
        self.begun = False
        self._reader = reader
        self._go_on = go_on
        self._kept: list[int] = []
        self.replaced: set[int] = set()
        """Tables whose rows were sent."""

    def __enter__(self) -> None: ...

    def __exit__(self, _type: type[BaseException] | None, exc: BaseException | None, _tb: object) -> None:
        if exc is not None and self.begun:
            with contextlib.suppress(ReflexError):
                self.channel.request(feed.snapshot_abort())

    def keep(self, index: int) -> None:
        """The table's rows stay as they are."""
        self.replaced.discard(index)
        if self.begun:
            self.channel.send(feed.table_keep(index))
        else:
            self._kept.append(index)

    def leave(self, index: int, is_served: bool) -> None:
        """The table can't be read: it keeps its rows where it has any, whatever was sent of it."""
        if is_served:
            self.keep(index)
        else:
            self.replace(index)

    def replace(self, index: int) -> None:
        """The table's rows follow."""
        self.begin()
        self.replaced.add(index)
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


def frames(reader: SnapshotReader, index: int, table: PlannedTable, check: Callable[[], None]) -> Iterator[feed.Frame]:
    """A table's rows, as long as `check` raises nothing. Raises SourceError, whatever the adapter met."""
    for batch in of_table(table, partial(reader.read, table)):
        check()
        yield from of_table(table, partial(feed.rows, index, table, batch))


def row_frames(
    reader: SnapshotReader, index: int, table: PlannedTable, keys: Sequence[Key], check: Callable[[], None]
) -> Iterator[feed.Frame]:
    """The rows that a table has of some primary keys, as `frames` gives all."""
    for at in range(0, len(keys), ASKED_ROWS):
        asked = tuple(keys[at : at + ASKED_ROWS])
        for batch in of_table(table, partial(reader.some, table, Some(len(asked), table.primary_key, asked))):
            check()
            yield from of_table(table, partial(feed.rows, index, table, batch))


def of_table(table: PlannedTable, make: Callable[[], Iterator[T]]) -> Iterator[T]:
    """What is made of a table's rows; an exception that nobody expects is a SourceError that names the table."""
    try:
        yield from make()
    except ReflexError:
        raise
    except Exception as exc:
        structlog.get_logger().exception("table_not_read", table=table.source_name)
        raise SourceError(
            f"Table {table.source_name!r} could not be read: sync met {type(exc).__name__}, which it does not expect; "
            "its log has more."
        ) from exc


def send_all(
    sending: Sending,
    reader: SnapshotReader,
    plan: Plan,
    troubles: Troubles,
    is_served: bool,
    digests: Sequence[Digest] | None = None,
) -> frozenset[int]:
    """Read and send every table. One that can't be read keeps the rows that are served; where nothing is served yet, a
    view has none, and a table ends the sending. Returns the tables that were not read. That the others were is told to
    `troubles` by the caller, once the server has taken them."""
    missing = set()
    for index, table in enumerate(plan.tables):
        if index in troubles and index not in troubles.due() and (is_served or table.is_view):
            sending.leave(index, is_served)
            missing.add(index)
            continue
        began = time.monotonic()
        sending.replace(index)
        try:
            for frame in frames(reader, index, table, sending.check):
                sending.channel.send(frame)
                if digests is not None:
                    digests[index].add(frame)
        except SourceError as exc:
            if not is_its_own(exc) and not troubles.lost(index):
                raise
            if not (is_served or table.is_view):
                raise
            troubles.failed(index, exc, time.monotonic() - began, is_served)
            if not is_its_own(exc):
                raise
            sending.leave(index, is_served)
            missing.add(index)
    return frozenset(missing)
