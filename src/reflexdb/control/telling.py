"""What a worker tells the watcher: which words and ids its jobs, steps, builds and deployments go by.

Used by the worker alone, so that its walk stays readable. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from reflexdb.control.rooms import Rooms
from reflexdb.control.watching import Kind, Work
from reflexdb.records.rows import BuildRow, JobRow


class Telling:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def job(self, job: JobRow) -> AbstractContextManager[None]:
        return self._rooms.watcher.doing(_work(Kind.JOB, job.action, job))

    def step(self, name: str, job: JobRow) -> AbstractContextManager[None]:
        return self._rooms.watcher.doing(_work(Kind.STEP, name, job))

    def deployment(self, job: JobRow, deployment_id: str) -> Callable[[str, float, bool], None]:
        """Hears of the steps of putting this instance in place."""

        def passed(name: str, seconds: float, failed: bool) -> None:
            work = _work(Kind.DEPLOYMENT, name, job, deployment=deployment_id)
            self._rooms.watcher.done(work, seconds, failed=failed)

        return passed

    def built(self, build: BuildRow, seconds: float, *, failed: bool) -> None:
        ids = {"database": build.database_id, "build": build.id}
        self._rooms.watcher.done(Work(Kind.BUILD, "build", ids), seconds, failed=failed)

    def ended(self, job: JobRow, *, failed: bool = False) -> None:
        """The action is carried out, or has failed; its time began when it was asked for."""
        seconds = (self._rooms.now() - job.created_at).total_seconds()
        self._rooms.watcher.done(_work(Kind.ACTION, job.kind or job.action, job), seconds, failed=failed)


def _work(kind: Kind, name: str, job: JobRow, **more: str) -> Work:
    ids = {"database": job.database_id, "job": job.id, "job_action": job.action, "build": job.build_id}
    return Work(kind, name, {**ids, "request_id": job.request_id, **more}, job.traceparent)
