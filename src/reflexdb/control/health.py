"""Watching the instances:

what each says of itself, into its deployment's record; and telling keys to those that missed them.

Polled every second by a thread of control, and on demand when one database is looked at. Records only what was
observed: health changes no status, since restarting processes is the deployer's and deciding is the reconciler's.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.keys import Keys
from reflexdb.control.leases import Leases
from reflexdb.control.rooms import Rooms
from reflexdb.deploy.base import Observation
from reflexdb.records import api_keys, deployments

log = structlog.get_logger()


class Health:
    def __init__(self, rooms: Rooms, keys: Keys, leases: Leases) -> None:
        self._rooms = rooms
        self._keys = keys
        self._leases = leases

    def poll(self) -> None:
        """Observe every serving deployment of ours once, and write what was seen in one transaction."""
        with self._rooms.store.read() as tx:
            serving = [each for each in deployments.all_serving(tx) if self._leases.holds(each)]
        seen = {database_id: self._rooms.deployer.observe(database_id) for database_id in serving}
        if seen:
            with self._rooms.store.write() as tx:
                for database_id, observation in seen.items():
                    self._note(tx, database_id, observation)
        self._keys.tell_stale()

    def look(self, database_id: str) -> None:
        """Observe one database now, if anything of it serves."""
        with self._rooms.store.read() as tx:
            if deployments.serving(tx, database_id) is None:
                return
        observation = self._rooms.deployer.observe(database_id)
        with self._rooms.store.write() as tx:
            self._note(tx, database_id, observation)

    def _note(self, tx: Tx, database_id: str, observation: Observation | None) -> None:
        serving = deployments.serving(tx, database_id)
        if serving is None:
            return
        if observation is not None and observation.deployed.deployment_id != serving.id:
            return  # a handover between the two looks: the next poll sees them agree
        now = self._rooms.now()
        seen: dict[str, Any] = {"health_status": "unreachable", "health_reason": "no instance is running"}
        if observation is not None:
            seen = _columns(observation)
            api_keys.note_use(tx, database_id, observation.key_use)
        if serving.health_status != seen["health_status"]:
            log.info("health", database=database_id, health=seen["health_status"], reason=seen["health_reason"])
        deployments.change(tx, serving.id, now, last_health_check=now, **seen)


def _columns(observation: Observation) -> dict[str, Any]:
    columns: dict[str, Any] = {"health_status": observation.health, "health_reason": observation.reason}
    if observation.health != "unreachable":  # the last known numbers say more than none
        columns |= {
            "snapshot_age_ms": observation.snapshot_age_ms,
            "swap_count": observation.swap_count,
            "row_counts": dict(observation.row_counts),
            "replication_paused": observation.replication_paused,
            "source_position": observation.position,
        }
    return columns
