"""From records to answers: which field of a record is which field of the contract. Pure; called by the routes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Any

from reflexdb.control.capture import POLL
from reflexdb.control.connections import SYNC_MODES, ConnectionView
from reflexdb.control.databases import DatabaseView
from reflexdb.control.listing import ListedDatabase
from reflexdb.control.rooms import Settings
from reflexdb.control.wanted import AUTO, published
from reflexdb.model.lifecycle import Action, Availability
from reflexdb.model.schema import Backend
from reflexdb.records.builds import Listed
from reflexdb.records.rows import ApiKeyRow, BuildRow, ConnectionRow, DeploymentRow, ManagementKey
from reflexdb.sources.base import TestResult

Json = dict[str, Any]


def instant(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def connection(row: ConnectionRow, settings: Settings) -> Json:
    return {
        "id": row.id,
        "customerId": row.customer_id,
        "name": row.name,
        "backend": row.backend,
        "mysqlHost": row.host,
        "mysqlPort": row.port,
        "availableSchemas": list(row.available_schemas),
        "mysqlUser": row.user,
        "allowedSyncModes": list(SYNC_MODES[Backend(row.backend)]),
        "minSyncInterval": settings.min_sync_interval_s,
        "createdAt": instant(row.created_at),
        "updatedAt": instant(row.updated_at),
    }


def connection_with_databases(view: ConnectionView, settings: Settings) -> Json:
    return {**connection(view.row, settings), "databases": [database(each) for each in view.databases]}


def database(view: DatabaseView | ListedDatabase) -> Json:
    row, serving = view.row, view.serving
    return {
        "id": row.id,
        "customerId": row.customer_id,
        "connectionId": row.connection_id,
        "name": row.name,
        "mysqlDb": row.schema_name,
        "syncMode": _sync_mode(view),
        "syncInterval": math.ceil(view.settings["syncInterval"]),
        "taskCpu": view.settings["taskCpu"],
        "taskMemoryMb": view.settings["taskMemoryMb"],
        "logLevel": row.log_level,
        "status": row.status.published,
        "lastError": row.last_error or (serving.health_reason if serving else None),
        "endpointUrl": serving.endpoint_url if serving else None,
        "healthStatus": serving.health_status if serving else None,
        "buildComputeOverride": row.build_compute_override,
        "instanceSize": row.instance_size,
        "region": row.region,
        "binlogServerId": row.binlog_server_id,
        "desiredState": row.desired_state.value if row.desired_state else None,
        "reflexdbCustomDomain": row.custom_domain,
        "pauseSchedule": dict(row.pause_schedule) if row.pause_schedule else None,
        "tags": [dict(tag) for tag in row.tags],
        "createdAt": instant(row.created_at),
        "updatedAt": instant(row.updated_at),
    }


def _sync_mode(view: DatabaseView | ListedDatabase) -> str:
    """Where the connection leaves it open: as the instance runs, and poll while there is none."""
    mode: str = view.settings["syncMode"]
    if mode != AUTO:
        return mode
    return str(view.serving.settings["syncMode"]) if view.serving else POLL


def instance(row: DeploymentRow) -> Json:
    return {
        "id": row.id,
        "databaseId": row.database_id,
        "buildId": row.build_id,
        "ecsServiceArn": None,
        "endpointUrl": row.endpoint_url,
        "healthStatus": row.health_status,
        "snapshotAgeMs": row.snapshot_age_ms,
        "swapCount": row.swap_count,
        "rowCounts": dict(row.row_counts),
        "lastHealthCheck": instant(row.last_health_check),
        "createdAt": instant(row.created_at),
        "updatedAt": instant(row.updated_at),
    }


def build(row: BuildRow, settings: Settings) -> Json:
    return {
        "id": row.id,
        "databaseId": row.database_id,
        "codebuildId": row.service_id,
        "imageUri": row.image_uri,
        "status": row.status,
        "logsUrl": row.logs_url or f"{settings.base_url}/v1/databases/{row.database_id}/builds/{row.id}/log",
        "startedAt": instant(row.started_at),
        "finishedAt": instant(row.finished_at),
        "buildDurationSeconds": row.duration_s,
        "computeTypeUsed": row.compute_type,
        "costEstimateCents": row.cost_cents,
        "createdAt": instant(row.created_at),
    }


def listed_builds(rows: Sequence[tuple[Listed, bool]], database_id: str, settings: Settings) -> bytes:
    """Builds, each with whether it can be deployed, as a history lists them, with commas between: text at once, for
    there are thousands."""
    logs = f"{settings.base_url}/v1/databases/{database_id}/builds"
    shown = (
        f'{{"id":{_text(row.id)},'
        f'"status":{_text(row.status)},'
        f'"deployable":{"true" if deployable else "false"},'
        f'"codebuildId":{_text(row.service_id)},'
        f'"logsUrl":{_text(row.logs_url or f"{logs}/{row.id}/log")},'
        f'"createdAt":{_stored(row.created_at)},'
        f'"finishedAt":{_stored(row.finished_at)},'
        f'"buildDurationSeconds":{_number(row.duration_s)},'
        f'"computeTypeUsed":{_text(row.compute_type)},'
        f'"costEstimateCents":{_number(row.cost_cents)}}}'
        for row, deployable in rows
    )
    return ",".join(shown).encode()


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _stored(time: str | None) -> str:
    """A time as the records keep it, `...:00.123456Z`, with milliseconds."""
    return "null" if time is None else f'"{time[:23]}Z"'


def status(view: DatabaseView, actions: dict[Action, Availability], settings: Settings) -> Json:
    serving = view.serving
    return {
        "database": {**database(view), "phase": view.row.status.value},
        "connection": {
            "minSyncInterval": settings.min_sync_interval_s,
            "allowedSyncModes": list(SYNC_MODES[Backend(view.connection.backend)]),
            "availableSchemas": list(view.connection.available_schemas),
        },
        "deployedInstanceConfig": published(serving.settings) if serving else None,
        "hasPendingChanges": view.pending,
        "instance": instance(serving) if serving else None,
        "latestBuild": build(view.latest_build, settings) if view.latest_build else None,
        **not_served(view.served_build),
        "actions": {action.value: availability(may) for action, may in actions.items()},
    }


def not_served(row: BuildRow | None) -> Json:
    """What the build's image does not serve; null where that was not kept."""
    entries = None if row is None or row.not_served is None else list(row.not_served)
    return {"notServed": entries, "notServedTotal": row.not_served_total if row else None}


def availability(may: Availability) -> Json:
    if not may.allowed:
        return {"allowed": False, "reason": may.reason}
    return {"allowed": True, "mode": "queued" if may.queued else "immediate"}


def test_result(result: TestResult) -> Json:
    view: Json = {"ok": True, "latencyMs": result.latency_ms, "availableSchemas": list(result.available_schemas)}
    if result.estimated_size_gb is not None:
        view["estimatedSizeGb"] = result.estimated_size_gb
    if result.capture is not None:
        view["binlog"] = {
            "logBin": result.capture.log_bin,
            "format": result.capture.format,
            "serverId": result.capture.server_id,
            "ready": result.capture.ready,
            "issues": list(result.capture.issues),
        }
    return view


def api_key(row: ApiKeyRow) -> Json:
    return {
        "id": row.id,
        "databaseId": row.database_id,
        "keyId": row.key_id,
        "name": row.name,
        "createdAt": instant(row.created_at),
        "expiresAt": instant(row.expires_at),
        "lastUsedAt": instant(row.last_used_at),
        "revokedAt": instant(row.revoked_at),
    }


def management_key(row: ManagementKey) -> Json:
    return {
        "id": row.id,
        "customerId": row.customer_id,
        "name": row.name,
        "keyId": row.key_id,
        "lastUsedAt": instant(row.last_used_at),
        "expiresAt": instant(row.expires_at),
        "createdAt": instant(row.created_at),
        "revokedAt": instant(row.revoked_at),
    }
