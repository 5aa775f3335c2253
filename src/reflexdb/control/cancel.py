"""Calling a build off: at once where nobody carries it out yet, else by asking whoever does, on whichever plane.

The request is written down, and the write lock decides every race: a build that has been finished meanwhile is
finished, and one that was called off first will not be. The database goes back to where it was before the build, if
it was running or paused then; what serves goes on serving in any case. Called by the API, the worker and the
reconciler.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection as Tx

from reflexdb.control.actions import Accepted
from reflexdb.control.audit import note
from reflexdb.control.build_log import BuildLog, log_path
from reflexdb.control.conditions import must_hold
from reflexdb.control.databases import database_view, found
from reflexdb.control.rooms import Rooms, canonical_id, elapsed_s
from reflexdb.control.telling import Telling
from reflexdb.model.errors import BuildCancelled, Conflict, NotFound
from reflexdb.model.lifecycle import Event, Status, advance
from reflexdb.records import build_credits, builds, databases, jobs
from reflexdb.records.builds import UNFINISHED
from reflexdb.records.rows import BuildRow, JobRow

CANCELLED = "it was cancelled"
_STEPS = {Status.TESTING_CONNECTION: "test connection", Status.QUEUED: "queue", Status.BUILDING: "build"}
_BACK = {Status.RUNNING: Event.CANCELLED_RUNNING, Status.PAUSED: Event.CANCELLED_PAUSED}


class Cancel:
    def __init__(self, rooms: Rooms, wake: Callable[[], None]) -> None:
        self._rooms = rooms
        self._telling = Telling(rooms)
        self._wake = wake

    def request(self, customer_id: str, database_id: str, build_id: str) -> Accepted:
        """Call a build off; asking again while it ends is fine. Raises NotFound, and Conflict where it is finished."""
        ended = None
        with self._rooms.store.write() as tx:
            row = found(tx, customer_id, database_id)
            must_hold(lambda: database_view(self._rooms, tx, row))
            build = builds.get(tx, row.id, canonical_id(build_id, "build"))
            if build is None:
                raise NotFound("This database has no build with this id")
            job = jobs.of_build(tx, build.id)
            if build.status not in UNFINISHED or job is None:
                raise Conflict(_finished(build))
            if job.cancel_asked_at is None:
                jobs.change(tx, job.id, cancel_asked_at=self._rooms.now())
                note(tx, self._rooms.now(), customer_id, "database.cancel", row.id, after={"build_id": build.id})
            if job.owner is None:
                ended = self.write(tx, job)
            status = databases.by_id(tx, row.id).status.published
        if ended is not None:
            self.tell(job, ended)
        self._wake()
        return Accepted(status, build_id=build.id)

    def end(self, job: JobRow) -> None:
        """End a job that was called off, where nothing of it goes on any more."""
        with self._rooms.store.write() as tx:
            ended = self.write(tx, job)
        self.tell(job, ended)

    def write(self, tx: Tx, job: JobRow) -> BuildRow:
        """End the job, its build, and the database's part in it, in the caller's transaction; the build."""
        assert job.build_id is not None
        now, row = self._rooms.now(), databases.by_id(tx, job.database_id)
        build, step = builds.by_id(tx, job.build_id), _STEPS[row.status]
        why = {"error": f"{step}: {CANCELLED}", "error_code": BuildCancelled.code, "error_step": step}
        seconds = round(elapsed_s(build.started_at, now)) if build.started_at else None
        builds.change(tx, build.id, status="failed", finished_at=now, duration_s=seconds, **why)
        build_credits.refund(tx, build.id, now)
        was = Status(job.from_status) if job.from_status else None
        event = _BACK.get(was, Event.CANCELLED) if was else Event.CANCELLED
        after = advance(row.status, event)
        databases.change(
            tx, row.id, now, status=after.value, last_error=why["error"] if after is Status.FAILED else None
        )
        jobs.finish(tx, job.id, now, **why)
        return builds.by_id(tx, build.id)

    def tell(self, job: JobRow, build: BuildRow) -> None:
        BuildLog(log_path(self._rooms.data_dir, build.id), self._rooms.now)(
            f"CANCELLED {build.error_step}: {CANCELLED}"
        )
        self._telling.built(build, build.duration_s or 0, failed=True)
        self._telling.ended(job, failed=True)


def refuse_cancelled(tx: Tx, job: JobRow) -> None:
    """Raises BuildCancelled where the job was called off; in the transaction that would say that it went on."""
    if jobs.by_id(tx, job.id).cancel_asked_at is not None:
        raise BuildCancelled(f"build: {CANCELLED}")


def _finished(build: BuildRow) -> str:
    how = "cancelled" if build.error_code == BuildCancelled.code else build.status.replace("_", " ")
    return (
        f"Build {build.id} is finished: it {'has ' if how != 'cancelled' else 'was '}{how}; nothing is left to cancel"
    )
