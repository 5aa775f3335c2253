"""Writing down that a deployment serves: in one transaction, and then what follows from it.

Used by the worker where an instance took everything at once, and by the rollouts where it did so in steps.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.capture import Capture
from reflexdb.control.health import observed
from reflexdb.control.keys import Keys
from reflexdb.control.rooms import Rooms
from reflexdb.control.telling import Telling
from reflexdb.deploy.base import Observation
from reflexdb.model.lifecycle import Event, advance
from reflexdb.records import databases, deployments, jobs
from reflexdb.records.rows import JobRow

log = structlog.get_logger()


class Finish:
    def __init__(self, rooms: Rooms, keys: Keys) -> None:
        self._rooms = rooms
        self._keys = keys
        self._capture = Capture(rooms)
        self._telling = Telling(rooms)

    def deployed(
        self, job: JobRow, found: Observation, failed: int | None, also: Callable[[Tx], None] = lambda _: None
    ) -> None:
        """With what the instance holds, so that whoever waits for the end of the job can read it; `also` is written in
        the same transaction."""
        now, deployed = self._rooms.now(), found.deployed
        with self._rooms.store.write() as tx:
            deployments.retire_others(tx, job.database_id, now, but=deployed.deployment_id)
            serves = {"serving_at": now, "endpoint_url": deployed.endpoint_url, "last_health_check": now}
            deployments.change(tx, deployed.deployment_id, now, **serves, **observed(found))
            row = databases.by_id(tx, job.database_id)
            after = advance(row.status, Event.DEPLOYED).value
            databases.change(tx, row.id, now, status=after, port=deployed.port)
            jobs.change(tx, job.id, requests_failed=failed)
            jobs.finish(tx, job.id, now)
            also(tx)
        self.settle(job.database_id)
        self._telling.ended(job)
        log.info("deployed", database=job.database_id, build=deployed.build_id, deployment=deployed.deployment_id)

    def settle(self, database_id: str) -> None:
        """After another deployment has come to serve."""
        self._capture.release(database_id)
        self._keys.mark_stale(database_id)  # a key made during the deployment is not in its set
