"""ETag and If-Match: a change is made only where nobody else has changed the thing since the caller read it.

A tag is a digest of the representation that GET answers, so it changes with anything that can be seen there (RFC 9110,
strong validators). `Conditional`, an ASGI middleware, reads If-Match and hands control a question to ask before it
writes; routes put the tag on what they answer. Where control does not ask (lists, keys), If-Match is not looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

from fastapi import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from reflexdb.api import views
from reflexdb.api.errors import from_error
from reflexdb.control.conditions import only_if
from reflexdb.control.connections import ConnectionView
from reflexdb.control.databases import DatabaseView
from reflexdb.control.rooms import Settings
from reflexdb.model.errors import InvalidRequest

_TAG_BYTES = 16
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LIST = re.compile(rf"[ \t]*(?:{_TAG.pattern})?(?:[ \t]*,[ \t]*(?:{_TAG.pattern})?)*[ \t]*")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def tag(representation: Any) -> str:
    """The strong ETag of what GET answers, as JSON or as text."""
    text = json.dumps(representation, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[: 2 * _TAG_BYTES]}"'


def tagged(response: Response, representation: dict[str, Any]) -> dict[str, Any]:
    """The representation, with its tag put on the answer."""
    response.headers["ETag"] = tag(representation)
    return representation


class Conditional:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).getlist("if-match") if scope["type"] == "http" else []
        if not given or scope["method"] not in _CHANGING:
            await self._app(scope, receive, send)
            return
        try:
            tags = _tags(", ".join(given))
        except InvalidRequest as exc:
            await from_error(exc)(scope, receive, send)
            return
        with only_if(lambda seen: self._meets(seen, tags)):
            await self._app(scope, receive, send)

    def _meets(self, seen: object, tags: Collection[str]) -> bool:
        if seen is None:
            return False
        return "*" in tags or tag(_representation(seen, self._settings)) in tags


def _representation(seen: object, settings: Settings) -> object:
    if isinstance(seen, DatabaseView):
        return views.database(seen)
    if isinstance(seen, ConnectionView):
        return views.connection_with_databases(seen, settings)
    return seen


def _tags(given: str) -> frozenset[str]:
    """The tags that can match, or `*`. Raises InvalidRequest for what is no list of tags.

    A weak tag never matches: If-Match compares strongly.
    """
    if given.strip(" \t") == "*":
        return frozenset({"*"})
    found = [match.group() for match in _TAG.finditer(given)]
    if not found or not _LIST.fullmatch(given):
        raise InvalidRequest('If-Match must be *, or the ETags that GET answered, quotes included: "a", "b"')
    return frozenset(each for each in found if not each.startswith("W/"))
