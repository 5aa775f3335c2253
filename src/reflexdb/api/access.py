"""Every request seen from outside: one line in the log, one count and one span, whatever became of it.

The first ASGI middleware a request passes and the last its answer does. A request is told by its method, the template
of its route, its status and how long it took, with who spoke and the ids in its path. Never by its path, query or
body: anything may stand there, a pasted key too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reflexdb.control.precedence import Precedence

log = structlog.get_logger()

NO_ROUTE = "(none)"
OTHER_METHOD = "OTHER"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNTOLD = frozenset({"/healthz", "/metrics"})
"""Asked every few seconds by machines: counted, and in the log only where they fail."""


@dataclass(slots=True)
class Exchange:
    """A request and what became of it. Method and route are words of a short list."""

    method: str
    traceparent: str | None
    tracestate: str | None = None
    route: str = NO_ROUTE
    status: int = 500
    """Stays so where the application broke off without an answer."""
    seconds: float = 0.0
    ids: dict[str, str] = field(default_factory=dict)


class RequestWatcher(Protocol):
    def request(self, exchange: Exchange) -> AbstractContextManager[None]:
        """Around a request; what became of it is in `exchange` when this ends."""
        ...


class Access:
    def __init__(self, app: ASGIApp, precedence: Precedence, watchers: Sequence[RequestWatcher] = ()) -> None:
        self._app = app
        self._precedence = precedence
        self._watchers = watchers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method = scope["method"] if scope["method"] in _METHODS else OTHER_METHOD
        exchange = Exchange(method, headers.get("traceparent"), headers.get("tracestate"))
        started, gone = time.monotonic(), self._precedence.came()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            if message["type"] == "http.response.body" or not _has_length(message):
                gone()  # the answer is made, or is made while its client reads it
            await send(message)

        with ExitStack() as stack:
            for watcher in self._watchers:
                stack.enter_context(watcher.request(exchange))
            try:
                await self._app(scope, receive, noted)
            finally:
                gone()
                exchange.seconds = time.monotonic() - started
                _tell(exchange, scope)


def _has_length(start: Message) -> bool:
    return any(name == b"content-length" for name, _ in start.get("headers", ()))


def _tell(exchange: Exchange, scope: Scope) -> None:
    exchange.route = _route(scope)
    exchange.ids = _ids(scope)
    if exchange.route in _UNTOLD and exchange.status < 400:
        return
    log.info(
        "request",
        method=exchange.method,
        route=exchange.route,
        status=exchange.status,
        ms=round(exchange.seconds * 1000, 3),
        **exchange.ids,
    )


def _ids(scope: Scope) -> dict[str, str]:
    """Who spoke, and what the path names; a part of the path only where it is an id and nothing else."""
    state = scope.get("state", {})
    found = {
        "request_id": state.get("request_id"),
        "account": state.get("account"),
        "key_id": getattr(state.get("speaker"), "key_id", None),
    }
    for name, value in scope.get("path_params", {}).items():
        if isinstance(value, str) and _UUID.fullmatch(value.lower()):
            found[_noun(_route(scope), name)] = value.lower()
    return {name: str(value) for name, value in found.items() if value is not None}


def _route(scope: Scope) -> str:
    """The template of the path; only the application knows which."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path or NO_ROUTE


def _noun(route: str, parameter: str) -> str:
    """`{id}` is of the noun before it: /v1/databases/{id}/builds names a database."""
    if parameter != "id":
        return parameter.removesuffix("_id")
    before = route.partition("/{id}")[0].rpartition("/")[2]
    return before.removesuffix("s").replace("-", "_")
