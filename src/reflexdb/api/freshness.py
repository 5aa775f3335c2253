"""/v1/databases/{id}/freshness: how closely an instance follows its source, and whether a changed source is rebuilt by
itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from reflexdb.api import answers, bodies, views
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.control.auto_rebuild import wait_after
from reflexdb.control.control import Freshness
from reflexdb.records.rows import AutoRebuildRow

router = APIRouter(prefix="/v1/databases/{id}/freshness", tags=["Instances"])


@router.get(
    "", operation_id="getFreshness", summary="Get freshness", responses=errors(404), response_model=answers.Freshness
)
def get_freshness(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """How the instance follows its source, asked of it now: lag in time, position in the source's history, and which
    definitions changed there. Null where no instance answers."""
    return _shown(control.freshness(account, id))


@router.patch(
    "",
    operation_id="updateFreshness",
    summary="Rebuild by itself",
    responses=errors(400, 404),
    response_model=answers.Freshness,
)
def update_freshness(
    id: str,  # noqa: A002
    body: bodies.UpdateFreshnessBody,
    account: Account,
    control: Controlled,
) -> dict[str, Any]:
    """With `autoRebuild`, a definition that changes at the source is rebuilt and deployed by itself, once it has stayed
    the same for ten seconds, without interrupting queries."""
    control.auto_rebuild.enable(account, id, enabled=body.autoRebuild)
    return _shown(control.freshness(account, id))


def _shown(freshness: Freshness) -> dict[str, Any]:
    observation = freshness.observation
    sync: Mapping[str, Any] = observation.sync if observation else {}
    rebuild = freshness.auto_rebuild
    return {
        "mode": sync.get("mode"),
        "state": sync.get("state"),
        "lastError": sync.get("lastError"),
        "position": (observation.position if observation else None)
        or (freshness.serving.source_position if freshness.serving else None),
        "lagMs": sync.get("lagMs"),
        "snapshotAgeMs": observation.snapshot_age_ms if observation else None,
        "schemaChanged": [{"table": str(each["table"]), "what": str(each["what"])} for each in _changed(sync)],
        "staleTables": [_stale(each) for each in sync.get("tables") or []],
        "autoRebuild": rebuild is not None and rebuild.enabled,
        "lastRebuildAt": views.instant(rebuild.tried_at) if rebuild else None,
        "nextRebuildAt": _next(rebuild),
        "whyNot": rebuild.said if rebuild and rebuild.enabled else None,
    }


def _changed(sync: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(sync.get("schemaChanged") or [])


def _stale(told: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(told[name]) for name in ("table", "state", "since", "reason", "remedy")}


def _next(row: AutoRebuildRow | None) -> str | None:
    """Before which the same change is not tried again."""
    if row is None or not row.enabled or row.tried_at is None or row.tries == 0:
        return None
    return views.instant(row.tried_at + wait_after(row.tries))
