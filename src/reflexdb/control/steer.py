"""What a person may do to a deployment that is under way: promote its canary, or abort it.

The wish is written down under the write lock, which decides between two that race; the loop of the rollouts carries it
out. Called by the API.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection as Tx

from reflexdb.control.actions import Accepted
from reflexdb.control.audit import note
from reflexdb.control.conditions import must_hold
from reflexdb.control.databases import database_view, found
from reflexdb.control.past import DEPLOYING
from reflexdb.control.rooms import Rooms, canonical_id
from reflexdb.model.errors import Conflict, NotFound
from reflexdb.model.lifecycle import Status
from reflexdb.records import jobs, rollouts
from reflexdb.records.rows import DatabaseRow, JobRow


class Steer:
    def __init__(self, rooms: Rooms, wake: Callable[[], None]) -> None:
        self._rooms = rooms
        self._wake = wake

    def promote(self, customer_id: str, database_id: str, deployment_id: str) -> Accepted:
        """Raises NotFound, and Conflict where no canary of this deployment is under way."""
        with self._rooms.store.write() as tx:
            row, job = self._meant(tx, customer_id, database_id, deployment_id)
            if not self._want(tx, job, "promote"):
                raise Conflict(f"Deployment {job.id} has no canary under way that could be promoted")
            self._note(tx, row, job, "promote")
        self._wake()
        return Accepted(row.status.published)

    def abort(self, customer_id: str, database_id: str, deployment_id: str) -> Accepted:
        """Raises NotFound, and Conflict where it has ended, or has nothing deployed yet."""
        with self._rooms.store.write() as tx:
            row, job = self._meant(tx, customer_id, database_id, deployment_id)
            if job.finished_at is not None:
                raise Conflict(f"Deployment {job.id} has ended; redeploy the build that should serve")
            if row.status is not Status.DEPLOYING:
                raise Conflict(f"Deployment {job.id} has put no instance in place yet; cancel its build")
            if not self._want(tx, job, "abort"):
                jobs.change(tx, job.id, cancel_asked_at=self._rooms.now())
            self._note(tx, row, job, "abort")
        self._wake()
        return Accepted(row.status.published)

    def _want(self, tx: Tx, job: JobRow, what: str) -> bool:
        """False where no canary is under way. Raises Conflict where the other was asked for already."""
        row = rollouts.of_job(tx, job.id)
        if row is None or row.ended_at is not None or row.state != "canary":
            return False
        if row.wanted not in (None, what):
            raise Conflict(f"It was already asked to {row.wanted} deployment {job.id}")
        rollouts.change(tx, job.id, wanted=what)
        return True

    def _meant(self, tx: Tx, customer_id: str, database_id: str, deployment_id: str) -> tuple[DatabaseRow, JobRow]:
        row = found(tx, customer_id, database_id)
        must_hold(lambda: database_view(self._rooms, tx, row))
        job = jobs.get(tx, row.id, canonical_id(deployment_id, "deployment"))
        if job is None or job.action not in DEPLOYING:
            raise NotFound("This database has no deployment with this id")
        return row, job

    def _note(self, tx: Tx, row: DatabaseRow, job: JobRow, what: str) -> None:
        note(tx, self._rooms.now(), row.customer_id, f"database.{what}", row.id, after={"deployment_id": job.id})
