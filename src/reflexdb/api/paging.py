"""Long lists in pages: an opaque cursor that says where the next page begins, and the Link header that carries it.

Used by the list routes. A cursor is sealed with the control plane's own key for one list of one account; whatever else
is sent as one is refused. It grants nothing: the account is checked as for any request.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request, Response

from reflexdb.api import bodies
from reflexdb.control.control import Control
from reflexdb.model.errors import InvalidRequest, ReflexError
from reflexdb.records.pages import Page

MAX_LIMIT = 1000
_MAX_CURSOR_CHARS = 400

Limit = Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="The most to answer; the rest follows by Link")]
Cursor = Annotated[str | None, Query(description="Where to go on: from the header Link of an earlier answer")]
Since = Annotated[bodies.Instant | None, Query(description="Only what was created then or later")]

Row = TypeVar("Row")


def _page(request: Request, limit: Limit = None, cursor: Cursor = None, since: Since = None) -> Page:
    return Page(limit, read_moment(request, cursor), since)


Paged = Annotated[Page, Depends(_page)]
"""The query parameters limit, cursor and since of a list that is answered oldest first."""


def cut(
    request: Request, response: Response, rows: Sequence[Row], page: Page, place: Callable[[Row], tuple[datetime, str]]
) -> Sequence[Row]:
    """The rows of the page, without the one too many that was read; the header Link where there is more."""
    if page.limit is None or len(rows) <= page.limit:
        return rows
    shown = rows[: page.limit]
    link_next(request, response, moment_cursor(request, *place(shown[-1])))
    return shown


def number_cursor(request: Request, number: int) -> str:
    return _written(request, [number])


def read_number(request: Request, cursor: str | None) -> int | None:
    if cursor is None:
        return None
    match _read(request, cursor):
        case [int(number)]:
            return number
    raise _refusal()


def moment_cursor(request: Request, time: datetime, id_: str) -> str:
    return _written(request, [time.astimezone(UTC).isoformat(), id_])


def read_moment(request: Request, cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    match _read(request, cursor):
        case [str(time), str(id_)]:
            return datetime.fromisoformat(time), id_
    raise _refusal()


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Say where the next page is, as the same request with this cursor; nothing on the last page.

    Relative to this address, so that it holds behind a proxy that has a path of its own before ours.
    """
    if cursor is not None:
        query = request.url.include_query_params(cursor=cursor).query
        response.headers["Link"] = f'<?{query}>; rel="next"'


def _written(request: Request, value: list[object]) -> str:
    control, name = _list(request)
    sealed = control.rooms.secrets.seal(name, json.dumps(value).encode())
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _read(request: Request, cursor: str) -> Any:
    if len(cursor) > _MAX_CURSOR_CHARS or not cursor.isascii():
        raise _refusal()
    control, name = _list(request)
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return json.loads(control.rooms.secrets.unseal(name, sealed))
    except (binascii.Error, ValueError, ReflexError):
        raise _refusal() from None


def _list(request: Request) -> tuple[Control, str]:
    """Control, and the name of the list that a cursor belongs to."""
    return request.app.state.control, f"cursor/{request.state.account}{request.url.path}"


def _refusal() -> InvalidRequest:
    return InvalidRequest("cursor is not one that this list gave; begin again without it")
