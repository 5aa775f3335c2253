"""What there is, counted: the numbers an operator watches, read from the records at the moment they are asked for.

Called when metrics are collected. Each count is answered by an index, so that asking often costs little.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from reflexdb.control.rooms import Rooms
from reflexdb.model.lifecycle import Status
from reflexdb.records import databases, deployments, jobs

HEALTH = ("ok", "degraded", "unreachable", "cap_exceeded")


@dataclass(frozen=True, slots=True)
class Figures:
    databases: Mapping[str, int]
    """By status, each status present."""
    instances: Mapping[str, int]
    """Serving ones by health, each health present."""
    jobs_running: int
    jobs_queued: int
    lag_s: float
    """Age of the oldest work that is due and that no worker is busy with; 0 where none waits."""
    free_bytes: int
    """On the disk of the data directory."""


def figures(rooms: Rooms) -> Figures:
    with rooms.store.read() as tx:
        by_status, by_health = databases.by_status(tx), deployments.by_health(tx)
        running, queued, oldest = jobs.waiting(tx, rooms.owner)
        wished = databases.oldest_desire(tx)
    waits = [(rooms.now() - since).total_seconds() for since in (oldest, wished) if since is not None]
    return Figures(
        databases={status.value: by_status.get(status.value, 0) for status in Status},
        instances={health: by_health.get(health, 0) for health in HEALTH},
        jobs_running=running,
        jobs_queued=queued,
        lag_s=max([0.0, *waits]),
        free_bytes=shutil.disk_usage(rooms.data_dir).free,
    )
