"""/v1/databases/{id}/builds: the build history, one build with all that is known of it, and its log, live while it is
written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from reflexdb.api import answers, bodies, paging, past_views, views
from reflexdb.api.context import Account, Controlled, as_json, errors, plain
from reflexdb.control.control import Control
from reflexdb.control.past import History
from reflexdb.records.builds import BuildFilter

router = APIRouter(prefix="/v1/databases/{id}/builds", tags=["Builds"])

_CHUNK_BYTES = 64 << 10
_POLL_S = 0.2


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
    settings, wanted = control.rooms.settings, BuildFilter(status, since, until, paging.read_number(request, cursor))
    if wanted == BuildFilter() and deployable is None and limit is None:
        database = id.lower()
        shown, active = control.past.all_builds(
            account, id, lambda row, usable: as_json(views.listed_build(row, usable, database, settings))
        )
        body = b'{"builds":[' + shown + b'],"activeBuildId":' + as_json(active) + b"}"
        return Response(body, media_type="application/json")
    found = control.past.builds(account, id, wanted, deployable=deployable, limit=limit)
    answer = plain(views.history(found, settings))
    paging.link_next(request, answer, _following(request, found))
    return answer


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


@router.get(
    "/{build_id}/log",
    operation_id="getBuildLog",
    summary="Get the log of a build",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The log", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **errors(404),
    },
)
async def get_log(
    id: str,  # noqa: A002
    build_id: str,
    account: Account,
    control: Controlled,
    follow: bool = False,
) -> StreamingResponse:
    """With `follow=true` the answer goes on until the build and the deployment it belongs to have ended."""
    path = await to_thread.run_sync(control.build_log_of, account, id, build_id)
    lines = _follow(control, Path(path), build_id) if follow else _rest(Path(path), 0)
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


def _following(request: Request, found: History) -> str | None:
    return paging.number_cursor(request, found.builds[-1][0].number) if found.more else None


async def _rest(path: Path, offset: int) -> AsyncIterator[bytes]:
    """What the file has from `offset` on, now."""
    while chunk := await to_thread.run_sync(_read, path, offset):
        offset += len(chunk)
        yield chunk


async def _follow(control: Control, path: Path, build_id: str) -> AsyncIterator[bytes]:
    offset = 0
    goes_on = True
    while goes_on and not control.stopping:
        # Asked before reading: what was written before the end is read after it.
        goes_on = await to_thread.run_sync(control.build_goes_on, build_id)
        async for chunk in _rest(path, offset):
            offset += len(chunk)
            yield chunk
        if goes_on:
            await asyncio.sleep(_POLL_S)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK_BYTES)
    except FileNotFoundError:
        return b""
