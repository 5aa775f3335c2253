"""What a database's instance should run with, and whether what runs differs from it. Pure.

`wanted` is computed from the records alone, so that it can be compared with what a deployment was started with (kept
in its record) and shown as the API's deployedInstanceConfig and hasPendingChanges.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from reflexdb.model.config import parse_config
from reflexdb.model.errors import InvalidConfig
from reflexdb.model.plan import SyncSettings
from reflexdb.model.schema import Backend
from reflexdb.model.sizes import SIZES
from reflexdb.records.rows import BuildRow, ConnectionRow, DatabaseRow, DeploymentRow
from reflexdb.sources.base import SourceAddress


@lru_cache(maxsize=256)
def sync_settings(config_text: str | None) -> SyncSettings:
    """The `sync` part of a stored reflexdb.yaml."""
    if config_text is None:
        return SyncSettings()
    try:
        return parse_config(config_text).sync
    except InvalidConfig:  # stored by a version that knew other rules: the build will say so, lists must not fail
        return SyncSettings()


def wanted(database: DatabaseRow, connection: ConnectionRow, sync: SyncSettings, min_interval_s: int) -> dict[str, Any]:
    """The settings of an instance started now: the contract's deployedInstanceConfig, and where its source is."""
    size = SIZES[database.instance_size]
    interval = sync.interval_s if sync.interval_s is not None else connection.sync_interval_s
    return {
        "instanceSize": database.instance_size,
        "taskCpu": size.task_cpu,
        "taskMemoryMb": size.task_memory_mb,
        "syncMode": connection.sync_mode,
        "syncInterval": max(interval, min_interval_s),
        "logLevel": database.log_level,
        "safetyNet": sync.safety_net_s,
        "source": {
            "backend": connection.backend,
            "host": connection.host,
            "port": connection.port,
            "user": connection.user,
        },
    }


AUTO = "auto"
"""A connection's sync mode where it asks for none: whatever the source allows when an instance is deployed."""

PUBLISHED = ("instanceSize", "taskCpu", "taskMemoryMb", "syncMode", "syncInterval", "logLevel", "safetyNet")


def published(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a deployment's settings that the API shows."""
    return {name: settings[name] for name in PUBLISHED}


def pending_changes(
    database: DatabaseRow, connection: ConnectionRow, deployment: DeploymentRow, build: BuildRow, min_interval_s: int
) -> bool:
    """Whether a reconfigure, resize or rebuild would change what runs."""
    now = wanted(database, connection, sync_settings(build.config_text), min_interval_s)
    if now["syncMode"] == AUTO:
        now["syncMode"] = deployment.settings["syncMode"]
    return (
        now != dict(deployment.settings)
        or connection.password_ref != deployment.password_ref
        or database.config_text != build.config_text
    )


def address(settings: Mapping[str, Any], password: str) -> SourceAddress:
    """The source of a deployment's settings."""
    source = settings["source"]
    backend = Backend(source["backend"])
    if backend is Backend.SQLITE:
        return SourceAddress(backend, source["host"])
    return SourceAddress(backend, source["host"], source["port"], source["user"], password)
