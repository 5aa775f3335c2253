"""/v1/databases/{id}/builds: the build history, and one build with all that is known of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from reflexdb.api import answers, bodies, paging, past_views, views
from reflexdb.api.context import Account, Controlled, as_json, errors
from reflexdb.api.instances import taken_up
from reflexdb.control.past import History
from reflexdb.records.builds import BuildFilter

router = APIRouter(prefix="/v1/databases/{id}/builds", tags=["Builds"])


@router.get(
    "",
    operation_id="listBuilds",
    summary="List build history",
    responses=errors(404),
    response_model=answers.BuildHistory,
    response_model_exclude_unset=True,
)
def list_builds(
    id: str,  # noqa: A002
    account: Account,
    control: Controlled,
    request: Request,
    status: Annotated[answers.BuildStatus | None, Query()] = None,
    trigger: Annotated[answers.BuildTrigger | None, Query()] = None,
    deployable: Annotated[bool | None, Query()] = None,
    since: Annotated[bodies.Instant | None, Query()] = None,
    until: Annotated[bodies.Instant | None, Query()] = None,
    limit: paging.Limit = None,
    cursor: paging.Cursor = None,
) -> Response:
    """All build records of the database, most recent first. One with `deployable: true` can be redeployed.

    Without query parameters the answer holds every build. With `limit` it may end earlier; the header Link then says
    where it goes on.
    """
    settings, before = control.rooms.settings, paging.read_number(request, cursor)
    wanted = BuildFilter(status, since, until, before, trigger=trigger)
    if wanted == BuildFilter() and deployable is None and limit is None:
        database = id.lower()
        return _history(
            *control.past.all_builds(account, id, lambda rows: views.listed_builds(rows, database, settings))
        )
    found = control.past.builds(account, id, wanted, deployable=deployable, limit=limit)
    answer = _history(views.listed_builds(found.builds, found.database_id, settings), found.active_build_id)
    paging.link_next(request, answer, _following(request, found))
    return answer


def _history(shown: bytes, active_build_id: str | None) -> Response:
    body = b"".join((b'{"builds":[', shown, b'],"activeBuildId":', as_json(active_build_id), b"}"))
    return Response(body, media_type="application/json")


@router.get(
    "/{build_id}",
    operation_id="getBuild",
    summary="Get one build",
    responses=errors(404),
    response_model=answers.BuildDetail,
)
def get_build(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Everything known of one build: who asked for it, its phases, its source, image and tables, and why it failed."""
    return past_views.build(control.past.build(account, id, build_id), control.rooms.settings)


@router.post(
    "/{build_id}/cancel",
    status_code=202,
    operation_id="cancelBuild",
    summary="Cancel a build",
    responses=errors(404, 409),
    response_model=answers.AcceptedAction,
    response_model_exclude_unset=True,
)
def cancel_build(id: str, build_id: str, account: Account, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Calls off a build that is not finished: one that waits at once, one that runs within a second or two.

    The build ends as `failed` with the error code `cancelled`. The database goes back to `running` or `paused` where it
    was that before, and what serves goes on serving. Asking again while it ends is fine.
    """
    return taken_up(control.cancel.request(account, id, build_id))


def _following(request: Request, found: History) -> str | None:
    return paging.number_cursor(request, found.builds[-1][0].number) if found.more else None
