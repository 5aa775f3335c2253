"""What ends a build from outside while it runs: that it was called off, on whichever plane, or its time.

Asked by the builder every fraction of a second while it waits for a compiler or a lock; the records are asked less
often. Records that are away end nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from reflexdb.control.cancel import refuse_cancelled
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import BuildCancelled, BuildFailed, DeployFailed, RecordsUnavailable
from reflexdb.model.lifecycle import Desired, Status
from reflexdb.records import databases, jobs
from reflexdb.records.rows import JobRow
from reflexdb.records.store import patience

_LOOK_EVERY_S = 0.5
_CAN_PAUSE = (Status.RUNNING.value, Status.PAUSED.value)
"""A database that was this before the build is that again when the build is called off."""


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
            if databases.by_id(tx, self._job.database_id).desired_state is Desired.TERMINATED:
                raise BuildCancelled("build: the database is to be terminated")

    def check_asking(self) -> None:
        """The same while the source is asked, which may take for ever: then a rebuild gives way to a pause, too."""
        self.check()
        if self._job.from_status not in _CAN_PAUSE:
            return
        with suppress(RecordsUnavailable), patience(0), self._rooms.store.read() as tx:
            if databases.by_id(tx, self._job.database_id).desired_state is Desired.PAUSED:
                raise BuildCancelled("build: the database is to be paused")


def ending_of(rooms: Rooms, job: JobRow) -> Callable[[], None]:
    """What ends a deployment while its source is asked: that it was called off, or its database is to be terminated.
    Raises DeployFailed."""
    looked = float("-inf")

    def check() -> None:
        nonlocal looked
        now = time.monotonic()
        if now - looked < _LOOK_EVERY_S:
            return
        looked = now
        with suppress(RecordsUnavailable), patience(0), rooms.store.read() as tx:
            cancelled = jobs.by_id(tx, job.id).cancel_asked_at is not None
            if cancelled or databases.by_id(tx, job.database_id).desired_state is Desired.TERMINATED:
                raise DeployFailed("source", "the deployment was called off")

    return check
