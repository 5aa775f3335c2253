"""Changes on their way to the server: one or more source transactions that become visible together.

Begun at the first change, ended by `commit` or `abort`; in between, frames go out as they are made, so that a
transaction of any size needs no memory here. Belongs to one thread; knows no source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from reflexdb.model.errors import ReflexError
from reflexdb.model.plan import Plan
from reflexdb.sources.changes import Rows
from reflexdb.sync import change_frames, feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.sending import COMMIT_S


class Group:
    """One group at a time over one channel."""

    def __init__(self, plan: Plan, channel: PrivateChannel, version: int) -> None:
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

    def rows(self, rows: Rows) -> None:
        self._begin()
        for frame in change_frames.changes(self._plan.tables[rows.table], rows):
            self._channel.send(frame)
        self.changes += len(rows.ops)

    def replace(self, table: int, content: Iterator[bytes]) -> None:
        """The table's rows are these and no others; `content` is ROWS frames."""
        self._begin()
        self._channel.send(feed.table(table))
        for part in content:
            self._channel.send_bytes(part)
        self.changes += 1

    def commit(self, committed_at: datetime, position: str) -> int:
        """Returns the version in which queries see the changes. Raises what the server refuses; the group is over
        then, and nothing of it is visible."""
        if not self._begun:
            self.durable = self._channel.request(feed.confirm(committed_at, position)).get("durable")
            return self.version
        self._begun = False
        self.changes = 0
        answer = self._channel.request(change_frames.changes_commit(committed_at, position), COMMIT_S)
        self.version, self.durable = int(answer["version"]), answer.get("durable")
        self.differences += int(answer.get("differences", 0))
        return self.version

    def abort(self) -> None:
        """Throw away what was sent; fine where nothing was."""
        begun, self._begun, self.changes = self._begun, False, 0
        if begun:
            with contextlib.suppress(ReflexError):
                self._channel.request(change_frames.changes_abort())

    def _begin(self) -> None:
        if not self._begun:
            self._channel.send(change_frames.changes_begin(self.version))
            self._begun = True
