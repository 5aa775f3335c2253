"""What a request may weigh and how long it may take to arrive, before anything is known of who sends it.

Two middlewares' worth of it in one: headers and address have a size, a body has a time to arrive in, and only so many
requests are carried out at once. What a connection may do before it is a request is `wire`'s; the body's size is the
gate's. Refuses to know routes and accounts.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reflexdb.api.errors import from_error
from reflexdb.api.settings import ApiSettings
from reflexdb.model.errors import HeadersTooLarge, Overloaded, ReflexError, TooSlow

MAX_HEADER_BYTES = 32 << 10
MAX_HEADERS = 100
MAX_ADDRESS_BYTES = 8 << 10
CLOSE = {"Connection": "close"}
AGAIN = {"Retry-After": "1"}


class _Late(Exception):
    """Raised in the reader of a body that is not there in time; ends the request from inside."""


class Bounds:
    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._most = settings.max_requests
        self._patience_s = settings.request_timeout
        self._present = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if too_large := _too_large(scope):
            await from_error(too_large, CLOSE)(scope, receive, send)
        elif self._present >= self._most:
            crowd = Overloaded(f"{self._most} requests are being carried out; send this one again in a second")
            await from_error(crowd, AGAIN | CLOSE)(scope, receive, send)
        else:
            self._present += 1
            try:
                await self._in_time(scope, receive, send)
            finally:
                self._present -= 1

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        whole = False

        async def hurried() -> Message:
            nonlocal whole
            if whole:  # what follows a body is the end of the connection, which may be long in coming
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as exc:
                raise _Late from exc
            whole = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, hurried, send)
        except _Late:
            late = TooSlow(f"The body did not arrive within {self._patience_s:g} seconds; send it again")
            await from_error(late, CLOSE)(scope, receive, send)


def _too_large(scope: Scope) -> ReflexError | None:
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return HeadersTooLarge(f"The headers are more than {MAX_HEADERS}, or larger than {MAX_HEADER_BYTES} bytes")
    if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MAX_ADDRESS_BYTES:
        return HeadersTooLarge(f"The address is longer than {MAX_ADDRESS_BYTES} bytes")
    return None
