"""HEAD wherever GET is: the same head, without the body (RFC 9110, 9.3.2).

An ASGI middleware before everything that knows methods: to what is behind it a HEAD is a GET, so that it passes the
same checks and costs the same. An answer that would go on for ever, such as a live log, is ended after its head.
Refuses to know routes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Heads:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = asyncio.Event()

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif message["type"] == "http.response.body" and not ended.is_set():
                await send({"type": "http.response.body"})
                if message.get("more_body", False):
                    ended.set()

        asked = asyncio.ensure_future(self._app({**scope, "method": "GET"}, receive, without_body))
        cut = asyncio.ensure_future(ended.wait())
        try:
            await asyncio.wait({asked, cut}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                asked.result()
        finally:
            for each in (cut, asked):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
