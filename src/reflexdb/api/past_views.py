"""From the records of what has happened to answers: one build in full, and deployments. Pure; called by the routes."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from reflexdb.api import views
from reflexdb.build.base import Signature
from reflexdb.control.actions import RESTORE
from reflexdb.control.past import BuildDetail
from reflexdb.control.rooms import Settings, elapsed_s
from reflexdb.deploy.requests import Requests
from reflexdb.model.compute import cents_per_minute
from reflexdb.records.rows import BuildRow, JobRow, RolloutRow

Json = dict[str, Any]


def build(detail: BuildDetail, settings: Settings) -> Json:
    row = detail.row
    return {
        **views.build(row, settings),
        "number": row.number,
        "queuePosition": detail.queue_position,
        "expectedStartAt": views.instant(detail.expected_start),
        "cost": _cost(row),
        "deployable": detail.why_not_deployable is None,
        "whyNotDeployable": detail.why_not_deployable,
        "pinned": row.pinned_at is not None,
        "trigger": row.trigger,
        "reason": _reason(row),
        "keyId": row.key_id,
        "keyName": row.key_name,
        "phases": None if row.phases is None else [_phase(each) for each in row.phases],
        "source": {
            "version": row.source_version,
            "position": detail.deployment.source_position if detail.deployment else None,
        },
        "schemaFingerprint": row.fingerprint,
        "image": _image(row, detail.signature),
        "engineVersion": row.engine_version,
        "tables": [
            {"name": name, "rows": detail.rows.get(name), "bytes": detail.bytes.get(name)} for name in detail.tables
        ],
        "smokeTests": None if detail.smoked is None else list(detail.smoked.smoke_tests or ()),
        "smokedInBuildId": None if detail.smoked is None else detail.smoked.id,
        **views.not_served(row),
        "error": _failure(row),
        "logTail": list(detail.log_tail),
    }


def _cost(row: BuildRow) -> Json | None:
    price = cents_per_minute(row.compute_type) if row.compute_type else None
    if price is None or row.duration_s is None or row.cost_cents is None:
        return None
    return {
        "computeType": row.compute_type,
        "centsPerMinute": float(price),
        "seconds": row.duration_s,
        "cents": row.cost_cents,
    }


def deployment(row: JobRow, rollout: RolloutRow | None) -> Json:
    return {
        "id": row.id,
        "databaseId": row.database_id,
        "kind": row.kind or row.action,
        "reason": _reason(row),
        "trigger": row.trigger,
        "keyId": row.key_id,
        "keyName": row.key_name,
        "fromBuildId": row.from_build_id,
        "toBuildId": row.build_id,
        "requestedAt": views.instant(row.created_at),
        "startedAt": views.instant(row.started_at),
        "finishedAt": views.instant(row.finished_at),
        "durationMs": _milliseconds(row.started_at, row.finished_at),
        "outcome": _outcome(row),
        "error": _failure(row),
        "requestsFailed": row.requests_failed,
        "strategy": "immediate" if row.steps is None else "canary",
        "rollout": None if rollout is None else _rollout(row, rollout),
    }


def _rollout(job: JobRow, row: RolloutRow) -> Json:
    seen = row.seen or {}
    steps = job.steps or ()
    return {
        "state": row.state,
        "sharePercent": _share(row, steps),
        "step": row.step + 1 if steps else None,
        "stepSince": views.instant(row.step_at),
        "steps": [{"percent": share / 10, "seconds": seconds} for share, seconds in steps],
        "wanted": row.wanted,
        "reason": row.reason,
        "endedAt": views.instant(row.ended_at),
        "new": _side(Requests.read(seen.get("new"))),
        "old": _side(Requests.read(seen.get("old"))),
    }


def _share(row: RolloutRow, steps: tuple[tuple[int, float], ...]) -> float:
    """Of the new connections, that the new instance takes."""
    if row.state in ("aborted", "rolled_back") or (row.state == "superseded" and steps):
        return 0.0
    return steps[row.step][0] / 10 if row.state == "canary" else 100.0


def _side(requests: Requests | None) -> Json | None:
    if requests is None:
        return None
    return {
        "requests": requests.answered,
        "failed": requests.failed,
        "refused": requests.refused,
        "errorRate": requests.error_rate,
        "medianMs": requests.within_ms(0.5),
        "p99Ms": requests.within_ms(0.99),
    }


def _reason(row: JobRow | BuildRow) -> str | None:
    if row.reason is not None:
        return row.reason
    if isinstance(row, JobRow) and row.kind == RESTORE:
        return "its instance was gone"
    reasons = {
        "api": "it was asked for",
        "schedule": "its pause schedule said so",
        "reconcile": "it had been asked for earlier and had to wait",
    }
    return reasons.get(row.trigger or "")


def _outcome(row: JobRow) -> str:
    if row.finished_at is None:
        return "pending" if row.started_at is None else "in_progress"
    return "failed" if row.error else "succeeded"


def _phase(phase: Any) -> Json:
    started, finished = _time(phase["startedAt"]), _time(phase["finishedAt"])
    return {
        "name": phase["name"],
        "startedAt": views.instant(started),
        "finishedAt": views.instant(finished),
        "durationMs": _milliseconds(started, finished),
    }


def _image(row: BuildRow, signature: Signature | None) -> Json | None:
    if row.image_digest is None:
        return None
    return {
        "digest": row.image_digest,
        "uri": row.image_uri,
        "sizeBytes": row.image_bytes,
        "signature": None if signature is None else _signature(signature),
        "otherPlatforms": dict(row.other_images or {}),
    }


def _signature(signature: Signature) -> Json:
    return {
        "keyId": signature.key_id,
        "algorithm": "ed25519",
        "payload": b64encode(signature.payload).decode("ascii"),
        "signature": b64encode(signature.signature).decode("ascii"),
    }


def _failure(row: BuildRow | JobRow) -> Json | None:
    if row.error is None:
        return None
    message = row.error.removeprefix(f"{row.error_step}: ") if row.error_step else row.error
    return {"code": row.error_code, "step": row.error_step, "message": message}


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _milliseconds(started: datetime | None, finished: datetime | None) -> int | None:
    return None if started is None or finished is None else round(elapsed_s(started, finished) * 1000)
