"""What every answer carries: the request's id, and headers that keep it out of caches and from being guessed at.

An ASGI middleware before everything else. A caller's X-Request-Id is taken where it is short and plain, and made here
where it is not; it is in every log line that the request causes. Refuses to know routes and accounts.
"""

from __future__ import annotations

import re
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

log = structlog.get_logger()

HEADER = "X-Request-Id"
_QUIET = frozenset({"GET", "HEAD", "OPTIONS"})
"""Looking changes nothing and is done all the time: no line in the log."""

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Envelope:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist(HEADER)
        request_id = given[0] if len(given) == 1 and _SANE.fullmatch(given[0]) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                if scope["method"] not in _QUIET:
                    log.info("request", method=scope["method"], path=scope["path"], status=message["status"])
                stamp(MutableHeaders(scope=message), request_id)
            await send(message)

        with bound_contextvars(request_id=request_id):
            await self._app(scope, receive, stamped)


def stamp(headers: MutableHeaders, request_id: str) -> None:
    headers[HEADER] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cache-Control"] = "no-store"
    headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    headers["Referrer-Policy"] = "no-referrer"
