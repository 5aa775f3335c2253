"""/v1/audit: who changed what in the account, when and from where."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from reflexdb.api import answers, bodies, paging, views
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.records.audit import AuditFilter
from reflexdb.records.rows import AuditRow

router = APIRouter(prefix="/v1/audit", tags=["Audit"])

DEFAULT_LIMIT = 100


@router.get(
    "", operation_id="listAudit", summary="List audit entries", responses=errors(400), response_model=answers.Audit
)
def list_audit(
    account: Account,
    control: Controlled,
    request: Request,
    response: Response,
    action: Annotated[str | None, Query()] = None,
    target: Annotated[str | None, Query()] = None,
    key: Annotated[str | None, Query()] = None,
    since: Annotated[bodies.Instant | None, Query()] = None,
    until: Annotated[bodies.Instant | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=paging.MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """Every change that was accepted, most recent first, with the changed values before and after; no secrets."""
    wanted = AuditFilter(action, target, key, since, until, paging.read_number(request, cursor))
    rows, more = control.audit.entries(account, wanted, limit)
    following = paging.number_cursor(request, rows[-1].number) if more else None
    paging.link_next(request, response, following)
    return {"entries": [_entry(row) for row in rows], "nextCursor": following}


def _entry(row: AuditRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": views.instant(row.at),
        "trigger": row.trigger,
        "keyId": row.key_id,
        "keyName": row.key_name,
        "address": row.address,
        "requestId": row.request_id,
        "action": row.action,
        "targetType": row.target_type,
        "targetId": row.target_id,
        "before": row.before,
        "after": row.after,
    }
