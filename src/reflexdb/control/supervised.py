"""What ends a build from outside while it runs: that it was called off, on whichever plane, or its time.

Asked by the builder every fraction of a second while it waits for a compiler or a lock; the records are asked less
often. Records that are away end nothing.
"""

from __future__ import annotations

import time
from contextlib import suppress

from reflexdb.control.cancel import refuse_cancelled
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import BuildFailed, RecordsUnavailable
from reflexdb.records.rows import JobRow
from reflexdb.records.store import patience

_LOOK_EVERY_S = 0.5


class Supervised:
    """One build, from now on. Safe to use from any thread."""

    def __init__(self, rooms: Rooms, job: JobRow) -> None:
        self._rooms = rooms
        self._job = job
        self._deadline = time.monotonic() + rooms.settings.builds.limit_s
        self._looked = float("-inf")

    def check(self) -> None:
        """Raises BuildCancelled, or BuildFailed where the time is over."""
        now, limit = time.monotonic(), self._rooms.settings.builds.limit_s
        if now > self._deadline:
            raise BuildFailed(
                "time", f"The build took longer than the {limit:g} s that builds have here; it was ended."
            )
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        with suppress(RecordsUnavailable), patience(0), self._rooms.store.read() as tx:
            refuse_cancelled(tx, self._job)
