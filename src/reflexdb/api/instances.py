"""/v1/databases/{id}/...: what happens to a database's instance, and what is known of it now."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from reflexdb.api import answers, bodies, views
from reflexdb.api.context import Account, Controlled, errors, plain
from reflexdb.control.actions import Accepted
from reflexdb.model.errors import InvalidRequest
from reflexdb.model.lifecycle import Action
from reflexdb.model.rollout import DEFAULT_STEPS, Strategy, parse_steps

router = APIRouter(prefix="/v1/databases/{id}", tags=["Instances"])

How = Annotated[
    Strategy,
    Query(description="immediate: the new instance takes all requests at once. canary: a share, step by step."),
]
Steps = Annotated[
    str | None,
    Query(max_length=400, description="Of a canary: percent:seconds, rising. Left out: 5:60,25:60,50:60."),
]

AllowBreaking = Annotated[
    bool, Query(description="Whether tables and columns that the source no longer shows may be left out.")
]


def _steps(strategy: Strategy, steps: str | None) -> tuple[tuple[int, float], ...] | None:
    if strategy is Strategy.CANARY:
        return DEFAULT_STEPS if steps is None else parse_steps(steps)
    if steps is not None:
        raise InvalidRequest("steps are a canary's: leave them out, or say strategy=canary")
    return None


def taken_up(accepted: Accepted) -> dict[str, Any]:
    """The answer to an action."""
    answer: dict[str, Any] = {"status": accepted.status}
    if accepted.queued:
        answer["queued"] = True
    if accepted.build_id is not None:
        answer["buildId"] = accepted.build_id
    return answer


@router.get(
    "/instance",
    operation_id="getInstanceStatus",
    summary="Get instance status",
    responses=errors(404),
    response_model=answers.InstanceStatus,
    response_model_exclude_unset=True,
)
def get_instance(id: str, account: Account, control: Controlled) -> Response:  # noqa: A002
    """The database, the health of its instance, its latest build and what may be done now, in one answer."""
    view, actions = control.status(account, id)
    return plain(views.status(view, actions, control.rooms.settings))


@router.post(
    "/provision",
    status_code=202,
    operation_id="provisionDatabase",
    summary="Provision",
    responses=errors(403, 404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def provision(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Test the connection, build an image from the source's schema and deploy it."""
    return taken_up(control.actions.request(account, id, Action.PROVISION))


@router.post(
    "/rebuild",
    status_code=202,
    operation_id="rebuildDatabase",
    summary="Rebuild",
    responses=errors(400, 403, 404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def rebuild(
    id: str,  # noqa: A002
    account: Account,
    control: Controlled,
    strategy: How = Strategy.IMMEDIATE,
    steps: Steps = None,
    allowBreaking: AllowBreaking = False,  # noqa: N803 - the API's name
) -> dict[str, Any]:
    """Build again from the schema as it is now and the current reflexdb.yaml; deploy without interrupting queries.

    A build that would no longer serve a table or column that is served now, because it can't be read or is not there
    any more, ends as failed with the code `breaking_change`; what serves is left as it is."""
    how = _steps(strategy, steps)
    return taken_up(control.actions.request(account, id, Action.REBUILD, how, allow_breaking=allowBreaking))


@router.post(
    "/redeploy",
    status_code=202,
    operation_id="redeployBuild",
    summary="Redeploy from a past build",
    responses=errors(400, 404, 409),
    response_model=answers.Redeploying,
)
def redeploy(
    id: str,  # noqa: A002
    body: bodies.RedeployBody,
    account: Account,
    control: Controlled,
    strategy: How = Strategy.IMMEDIATE,
    steps: Steps = None,
) -> dict[str, Any]:
    """Deploys the stored image of a past build without building anything. Only from running, paused and failed."""
    return taken_up(control.actions.redeploy(account, id, body.buildId, _steps(strategy, steps)))


@router.post(
    "/terminate",
    status_code=202,
    operation_id="terminateInstance",
    summary="Terminate instance",
    responses=errors(404, 409),
    response_model=answers.Terminating,
    response_model_exclude_unset=True,
)
def terminate(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Destroys the instance and its routing; keeps the record, which can be provisioned again."""
    accepted = control.actions.request(account, id, Action.TERMINATE)
    return {**taken_up(accepted), "status": "terminating"}


@router.post(
    "/pause",
    status_code=202,
    operation_id="pauseInstance",
    summary="Pause",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def pause(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Stop the instance and keep everything that is needed to resume it."""
    return taken_up(control.actions.request(account, id, Action.PAUSE))


@router.post(
    "/resume",
    status_code=202,
    operation_id="resumeInstance",
    summary="Resume",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def resume(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Deploy the build that served when the database was paused."""
    return taken_up(control.actions.request(account, id, Action.RESUME))


@router.post(
    "/resize",
    status_code=202,
    operation_id="resizeInstance",
    summary="Resize",
    responses=errors(400, 404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def resize(id: str, body: bodies.ResizeBody, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Store the size; a running instance is deployed again with it."""
    return taken_up(control.actions.resize(account, id, body.instanceSize))


@router.post(
    "/reconfigure",
    status_code=202,
    operation_id="reconfigureInstance",
    summary="Reconfigure",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def reconfigure(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Apply pending run-time settings (sync, log level, credentials) to the running instance with its present image."""
    return taken_up(control.actions.request(account, id, Action.RECONFIGURE))


@router.post(
    "/reload",
    status_code=202,
    operation_id="reloadSnapshot",
    summary="Reload",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def reload(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Read the whole snapshot from the source again and swap it in."""
    return taken_up(control.actions.reload(account, id))


@router.post(
    "/pause-replication",
    operation_id="pauseReplication",
    summary="Pause replication",
    responses=errors(404, 409),
    response_model=answers.Replication,
)
def pause_replication(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Freezes the snapshot; queries are answered from it. For use before bulk imports. Only from running."""
    control.actions.pause_sync(account, id)
    return {"replication_paused": True}


@router.post(
    "/resume-replication",
    operation_id="resumeReplication",
    summary="Resume replication",
    responses=errors(404, 409),
    response_model=answers.Replication,
)
def resume_replication(id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    control.actions.resume_sync(account, id)
    return {"replication_paused": False}
