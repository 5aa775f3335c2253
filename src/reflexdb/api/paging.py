"""Long lists in pages: an opaque cursor that says where the next page begins, and the Link header that carries it.

Used by the list routes. A cursor is made here and read here; whatever else is sent as one is refused. It holds no
secret and grants nothing: the account is checked as for any request.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime

from fastapi import Request, Response

from reflexdb.model.errors import InvalidRequest

_MAX_CURSOR_CHARS = 200


def number_cursor(number: int) -> str:
    return _written([number])


def read_number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    match _read(cursor):
        case [int(number)] if not isinstance(number, bool) and 0 <= number < 1 << 62:
            return number
    raise _refusal()


def moment_cursor(time: datetime, id_: str) -> str:
    return _written([time.astimezone(UTC).isoformat(), id_])


def read_moment(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    match _read(cursor):
        case [str(time), str(id_)]:
            try:
                moment = datetime.fromisoformat(time)
            except ValueError:
                raise _refusal() from None
            if moment.tzinfo is not None:
                return moment, id_
    raise _refusal()


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Say where the next page is, as the same request with this cursor; nothing on the last page."""
    if cursor is not None:
        query = request.url.include_query_params(cursor=cursor).query
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'


def _written(value: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _read(cursor: str) -> object:
    if len(cursor) > _MAX_CURSOR_CHARS or not cursor.isascii():
        raise _refusal()
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _refusal() from None


def _refusal() -> InvalidRequest:
    return InvalidRequest("cursor is not one that this API gave; begin again without it")
