"""What an instance says of itself, as an Observation: one STATUS frame, judged.

Asked from any thread, in at most the time base.py allows. An instance that does not answer is `unreachable`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reflexdb.deploy.base import Observation
from reflexdb.deploy.local.layout import Record
from reflexdb.deploy.local.running import open_channel
from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import InstanceUnreachable
from reflexdb.sync import feed
from reflexdb.sync.settings import is_paused

ASK_S = 0.8
"""For each of the two questions, and for the connection: together under 2 s."""


def observe(directory: Path, record: Record) -> Observation:
    """Never raises for what the instance does or does not answer."""
    paused = is_paused(directory)
    try:
        with open_channel(directory, ASK_S) as channel:
            status = channel.request(feed.status())
    except (InstanceUnreachable, feed.InstanceRefused) as exc:
        now = datetime.now(UTC)
        return Observation(record.deployed(), "unreachable", exc.message, replication_paused=paused, at=now)
    return told(record, status, paused=paused)


def told(record: Record, status: dict[str, Any], *, paused: bool) -> Observation:
    """A STATUS frame, judged."""
    health, reason = _judge(status, paused)
    return Observation(
        deployed=record.deployed(),
        health=health,
        reason=reason,
        snapshot_age_ms=status.get("snapshotAgeMs"),
        swap_count=status.get("swapCount"),
        row_counts=dict(status.get("rowCounts") or {}),
        table_bytes=dict(status.get("tableBytes") or {}),
        key_use={key: datetime.fromtimestamp(ms / 1000, UTC) for key, ms in (status.get("keyUse") or {}).items() if ms},
        replication_paused=paused,
        sync_state=(status.get("sync") or {}).get("state"),
        at=datetime.now(UTC),
        position=status.get("position") or None,
        sync=status.get("sync") or {},
        requests=Requests.read(status.get("requests")),
    )


def _judge(status: dict[str, Any], paused: bool) -> tuple[str, str | None]:
    said, reason = status.get("status"), status.get("reason")
    if said == "cap_exceeded":
        return "cap_exceeded", reason
    if not status.get("version"):
        return "unreachable", reason or "the server has no snapshot yet"
    if (status.get("sync") or {}).get("state") == "failing":
        return "degraded", (status.get("sync") or {}).get("lastError") or reason
    if not status.get("syncConnected") and not paused:
        return "degraded", "sync is not running; the snapshot is not kept fresh"
    return ("ok", None) if said == "ok" else ("degraded", reason)
