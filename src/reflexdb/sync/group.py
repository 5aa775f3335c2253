"""Changes on their way to the server: one or more source transactions that become visible together.

Begun at the first change, ended by `commit` or `abort`; in between, frames go out as they are made, but for a few rows
of each table that wait for more, so that a transaction of any size needs little memory here. Belongs to one thread;
knows no source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from reflexdb.model.errors import ReflexError, SourceError
from reflexdb.model.plan import Plan
from reflexdb.sources.changes import Row, Rows
from reflexdb.sources.spans import Range
from reflexdb.sync import change_frames, feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.sending import COMMIT_S, of_table
from reflexdb.sync.troubles import TableRefused

WHOLE: tuple[Range, ...] = ()
"""In place of ranges: all of a table that has a primary key."""
MERGED_ROWS_MAX = 1_024
"""Changes of one table that wait for others, so that they make one frame."""


class Group:
    """One group at a time over one channel."""

    def __init__(
        self,
        plan: Plan,
        channel: PrivateChannel,
        version: int,
        is_scarce: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """`is_scarce`: whether the server has no room for a second copy of the table."""
        self._is_scarce = is_scarce
        self.version = version
        """Of the server's snapshot."""
        self.changes = 0
        """Rows sent since the last commit."""
        self.differences = 0
        """Rows in which replaced tables were not what they should have been already."""
        self.durable: str | None = None
        """What the source need not keep: the position that the server would begin with after a crash. None where that
        is all that was applied."""
        self._plan = plan
        self._channel = channel
        self._begun = False
        self._waiting: dict[int, Rows] = {}
        """By table, changes of small transactions that go into one frame: a frame costs more than its rows."""

    def rows(self, rows: Rows) -> None:
        """The changes of one table keep their order; those of different tables come in any, for all become visible at
        once. `rows` stays as it is."""
        self._begin()
        self.changes += len(rows.ops)
        waiting = self._waiting.setdefault(rows.table, Rows(rows.table))
        if len(waiting.ops) + len(rows.ops) > MERGED_ROWS_MAX:
            self._flush(rows.table)
            if len(rows.ops) > MERGED_ROWS_MAX:
                self._send(rows)
                return
            waiting = self._waiting.setdefault(rows.table, Rows(rows.table))
        waiting.ops += rows.ops
        waiting.keys += rows.keys
        waiting.rows += rows.rows

    def replace(self, table: int, content: Iterator[bytes], ranges: Sequence[Range] | None = None) -> None:
        """The table's rows are these and no others, or those in these ranges of its key; `content` is ROWS frames. With
        ranges, also with `WHOLE`, rows that are so already are left alone, so that only what differs takes memory."""
        self._begin()
        self._flush(table)
        if ranges is None and self._is_scarce(table) and self._plan.tables[table].primary_key:
            ranges = WHOLE
        self._channel.send(feed.table(table) if ranges is None else change_frames.table_part(table, ranges))
        for part in content:
            self._channel.send_bytes(part)
        self.changes += 1

    def find(
        self, table: int, columns: Sequence[int], values: Sequence[Row], wanted: Sequence[int], most: int
    ) -> list[Row] | None:
        """Some columns of the rows, as they are with all that was sent, that have one of the values in these columns;
        None where they are more than so many."""
        self._begin()
        self._flush(table)
        planned = self._plan.tables[table]
        answer = self._channel.request(change_frames.table_find(table, planned, columns, values, wanted, most))
        return None if answer["more"] else change_frames.found(planned, wanted, answer["rows"])

    def replace_rows(self, table: int, keys: Sequence[Row], content: Iterator[bytes]) -> None:
        """The table's rows of these primary keys, which fit one frame, are these and no others; `content` is ROWS
        frames."""
        self._begin()
        self._flush(table)
        self._channel.send(change_frames.table_keys(table, self._plan.tables[table], keys))
        for part in content:
            self._channel.send_bytes(part)
        self.changes += len(keys)

    def compare(self, table: int, content: Iterator[bytes], ranges: Sequence[Range] | None) -> None:
        """Begin with what the table should have already; the rest of the group is of that kind too."""
        self._begin(compares=True)
        self.replace(table, content, ranges)

    def resend(self, frames: Iterator[bytes]) -> None:
        """Frames of a group that were made before."""
        self._begin()
        self._flush()
        for part in frames:
            self._channel.send_bytes(part)

    def commit(self, committed_at: datetime, position: str) -> int:
        """Returns the version in which queries see the changes. Raises what the server refuses; the group is over
        then, and nothing of it is visible."""
        if not self._begun:
            self.durable = self._channel.request(feed.confirm(committed_at, position)).get("durable")
            return self.version
        self._flush()
        self._begun = False
        self.changes = 0
        answer = self._channel.request(change_frames.changes_commit(committed_at, position), COMMIT_S)
        self.version, self.durable = int(answer["version"]), answer.get("durable")
        self.differences += int(answer.get("differences", 0))
        return self.version

    def abort(self) -> None:
        """Throw away what was sent; fine where nothing was."""
        begun, self._begun, self.changes = self._begun, False, 0
        self._waiting.clear()
        if begun:
            with contextlib.suppress(ReflexError):
                self._channel.request(change_frames.changes_abort())

    def _flush(self, table: int | None = None) -> None:
        """Send what waits, of one table or of all."""
        for each in [table] if table is not None else list(self._waiting):
            waiting = self._waiting.pop(each, None)
            if waiting is not None and waiting.ops:
                self._send(waiting)

    def _send(self, rows: Rows) -> None:
        for frame in self._frames(rows):
            self._channel.send(frame)

    def _frames(self, rows: Rows) -> Iterator[feed.Frame]:
        table = self._plan.tables[rows.table]
        try:
            yield from of_table(table, partial(change_frames.changes, table, rows))
        except SourceError as exc:
            raise TableRefused(rows.table, exc) from exc

    def _begin(self, compares: bool = False) -> None:
        if not self._begun:
            self._channel.send(change_frames.changes_begin(self.version, compares))
            self._begun = True
