"""Watching the instances:

what each says of itself, into its deployment's record; and telling keys to those that missed them.

Polled every second by a thread of control, and on demand when one database is looked at. Records only what was
observed: health changes no status, since restarting processes is the deployer's and deciding is the reconciler's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.keys import Keys
from reflexdb.control.leases import Leases
from reflexdb.control.rooms import Rooms
from reflexdb.deploy.base import Observation
from reflexdb.records import api_keys, deployments
from reflexdb.records.rows import DeploymentRow

_PER_ROUND = 100
_WRITTEN_EVERY = timedelta(seconds=10)
"""A write is a flush to the disk; what an instance says now is asked of it where one database is shown."""

Seen = Callable[[str, Observation | None], None]

log = structlog.get_logger()


class Health:
    def __init__(self, rooms: Rooms, keys: Keys, leases: Leases, seen: Seen) -> None:
        self._tell = seen
        """Hears of each look at an instance."""
        self._rooms = rooms
        self._keys = keys
        self._last = ""
        self._key_use: dict[str, dict[str, datetime]] = {}
        self._leases = leases

    def poll(self) -> None:
        """Observe serving deployments of ours, each in its turn, and write what is new of them in one transaction."""
        with self._rooms.store.read() as tx:
            serving = deployments.serving_of(
                tx, self._turn(sorted(filter(self._leases.holds, deployments.serving_ids(tx))))
            )
        looks = {database_id: self._rooms.deployer.observe(database_id) for database_id in serving}
        for database_id, look in looks.items():
            self._tell(database_id, look)
        seen = {each: look for each, look in looks.items() if self._differs(serving[each], look)}
        if seen:
            with self._rooms.store.write() as tx:
                for database_id, observation in seen.items():
                    self._note(tx, database_id, observation)
        self._keys.tell_stale()

    def look(self, serving: DeploymentRow) -> DeploymentRow:
        """The deployment with what it says of itself now; the next poll writes it down."""
        observation = self._rooms.deployer.observe(serving.database_id)
        if observation is not None and observation.deployed.deployment_id != serving.id:
            return serving  # a handover meanwhile
        now = self._rooms.now()
        return replace(serving, last_health_check=now, updated_at=now, **observed(observation))

    def observe(self, serving: DeploymentRow) -> Observation | None:
        """What the deployment's instance says of itself now; None where another one is in its place."""
        observation = self._rooms.deployer.observe(serving.database_id)
        return observation if observation and observation.deployed.deployment_id == serving.id else None

    def _differs(self, serving: DeploymentRow, observation: Observation | None) -> bool:
        """Whether there is something to write: the mere age of a snapshot is, only now and then."""
        seen = observed(observation)
        if any(getattr(serving, name) != value for name, value in seen.items() if name != "snapshot_age_ms"):
            return True
        if observation is not None and self._key_use.get(serving.database_id) != observation.key_use:
            return True
        checked = serving.last_health_check
        return checked is None or self._rooms.now() - checked >= _WRITTEN_EVERY

    def _note(self, tx: Tx, database_id: str, observation: Observation | None) -> None:
        serving = deployments.serving(tx, database_id)
        if serving is None:
            return
        if observation is not None and observation.deployed.deployment_id != serving.id:
            return  # a handover between the two looks: the next poll sees them agree
        now, seen = self._rooms.now(), observed(observation)
        if observation is not None:
            api_keys.note_use(tx, database_id, observation.key_use)
            self._key_use[database_id] = dict(observation.key_use)
        if serving.health_status != seen["health_status"]:
            log.info("health", database=database_id, health=seen["health_status"], reason=seen["health_reason"])
        deployments.change(tx, serving.id, now, last_health_check=now, **seen)

    def _turn(self, ids: list[str]) -> list[str]:
        """Those to look at now: all where they are few, else the next ones, so that a round costs the same however
        many serve."""
        after = bisect_right(ids, self._last)
        turn = (ids[after:] + ids[:after])[:_PER_ROUND]
        self._last = turn[-1] if turn else ""
        return turn


def observed(observation: Observation | None) -> dict[str, Any]:
    """What is written down of a deployment that was looked at."""
    if observation is None:
        return {"health_status": "unreachable", "health_reason": "no instance is running"}
    return _columns(observation)


def _columns(observation: Observation) -> dict[str, Any]:
    columns: dict[str, Any] = {"health_status": observation.health, "health_reason": observation.reason}
    if observation.health != "unreachable":  # the last known numbers say more than none
        columns |= {
            "snapshot_age_ms": observation.snapshot_age_ms,
            "swap_count": observation.swap_count,
            "row_counts": dict(observation.row_counts),
            "table_bytes": dict(observation.table_bytes),
            "replication_paused": observation.replication_paused,
            "source_position": observation.position,
        }
    return columns
