"""What every route needs: the caller's account and control, taken from the request; and the error answers it may give.

Used by the route modules. `Gate` has put the account there; `create_app` has put control there.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from reflexdb.api.answers import Error
from reflexdb.control.accounts import ADMIN_GROUP, Speaker
from reflexdb.control.control import Control
from reflexdb.model.errors import NotAllowed

_COMPACT = json.JSONEncoder(separators=(",", ":"))
"""`json.dumps` makes another encoder for every call that does not take the defaults: more than the encoding costs."""

# These wait for nothing and are therefore `async`: FastAPI would run any other on a thread, one after another.


async def _account(request: Request) -> str:
    account: str = request.state.account
    return account


async def _admin(request: Request) -> Speaker:
    speaker: Speaker = request.state.speaker
    if not speaker.is_admin:
        raise NotAllowed(f"Only the operator may do this: the token needs the group {ADMIN_GROUP}")
    return speaker


async def _control(request: Request) -> Control:
    control: Control = request.app.state.control
    return control


Account = Annotated[str, Depends(_account)]
Admin = Annotated[Speaker, Depends(_admin)]
"""Refused with 403 unless the speaker is the operator."""
ADMIN_ONLY = Depends(_admin)
"""The same for every route of a router."""
Controlled = Annotated[Control, Depends(_control)]

_MEANINGS = {
    400: "The request does not fit its schema",
    401: "No valid credential",
    403: "Not allowed for this plan or role",
    404: "No such thing in this account",
    409: "Not possible in the present state",
    416: "There is no such part",
    503: "Not configured or not reachable",
}


def as_json(answer: Any) -> bytes:
    return _COMPACT.encode(answer).encode()


def plain(answer: Any) -> Response:
    """A long answer as it is, without holding each of its thousands of entries to the model a second time."""
    return Response(as_json(answer), media_type="application/json")


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, for its description."""
    return {status: {"model": Error, "description": _MEANINGS[status]} for status in (401, *statuses)}
