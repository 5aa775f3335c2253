"""/v1/databases/{id}/deployments: every time an instance was put in place, or should have been."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from reflexdb.api import answers, deployment_answers, paging, past_views
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.api.instances import taken_up
from reflexdb.records.jobs import JobFilter

router = APIRouter(prefix="/v1/databases/{id}/deployments", tags=["Deployments"])

DEFAULT_LIMIT = 100


@router.get(
    "",
    operation_id="listDeployments",
    summary="List deployments",
    responses=errors(400, 404),
    response_model=deployment_answers.DeploymentRecords,
)
def list_deployments(
    id: str,  # noqa: A002
    account: Account,
    control: Controlled,
    request: Request,
    response: Response,
    status: Annotated[answers.Outcome | None, Query()] = None,
    since: paging.Since = None,
    limit: Annotated[int, Query(ge=1, le=paging.MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query()] = None,
) -> dict[str, Any]:
    """Provision, rebuild, redeploy, reconfigure, resize, resume and restore, most recent first: from which build to
    which, who asked, when, and how it ended."""
    wanted = JobFilter(status, since, paging.read_moment(request, cursor))
    rows, more = control.past.deployments(account, id, wanted, limit=limit)
    following = paging.moment_cursor(request, rows[-1][0].created_at, rows[-1][0].id) if more else None
    paging.link_next(request, response, following)
    return {"deployments": [past_views.deployment(*row) for row in rows], "nextCursor": following}


@router.post(
    "/{deployment_id}/promote",
    status_code=202,
    operation_id="promoteDeployment",
    summary="Promote a canary",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def promote_deployment(id: str, deployment_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Ends the steps of a canary that is under way: its instance takes everything now."""
    return taken_up(control.steer.promote(account, id, deployment_id))


@router.post(
    "/{deployment_id}/abort",
    status_code=202,
    operation_id="abortDeployment",
    summary="Abort a deployment",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def abort_deployment(id: str, deployment_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Calls off a deployment that is under way: a canary, or an instance that still loads. What served before serves
    everything again. A deployment that has ended is undone by a redeploy."""
    return taken_up(control.steer.abort(account, id, deployment_id))
