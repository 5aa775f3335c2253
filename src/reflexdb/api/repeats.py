"""Idempotency-Key: a POST that is sent again gets the answer of the first time instead of being done again.

An ASGI middleware behind the gate, which has read the body and knows who asks; only who asked gets the answer again.
Answers of 2xx are kept; a request that was refused did nothing and may be sent again. Refuses to know routes.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reflexdb.api.errors import from_error
from reflexdb.control.repeats import Kept, Repeats
from reflexdb.model.errors import Conflict, InvalidRequest, ReflexError

HEADER = "idempotency-key"
REPLAYED = "Idempotent-Replayed"
_WAIT_S = 60.0
_POLL_S = 0.05
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Repeatable:
    def __init__(self, app: ASGIApp, repeats: Repeats) -> None:
        self._app = app
        self._repeats = repeats

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else []
        account = scope.get("state", {}).get("account")
        if not keys or account is None:
            await self._app(scope, receive, send)
            return
        try:
            key = _checked(keys)
            body = (await receive()).get("body", b"")
            new = await to_thread.run_sync(self._repeats.begin, account, key, _digest(scope, body))
            kept = None if new else await self._wait(account, key)
        except ReflexError as exc:
            await from_error(exc)(scope, receive, send)
            return
        if kept is None:
            await self._first(account, key, scope, _again(body, receive), send)
        else:
            headers = {REPLAYED: "true", "Content-Type": kept.content_type}
            await Response(kept.body, kept.status, headers)(scope, receive, send)

    async def _wait(self, account: str, key: str) -> Kept:
        deadline = time.monotonic() + _WAIT_S
        while (kept := await to_thread.run_sync(self._repeats.answer, account, key)) is None:
            if time.monotonic() > deadline:
                raise Conflict("The first request with this Idempotency-Key is still carried out; ask again later")
            await asyncio.sleep(_POLL_S)
        return kept

    async def _first(self, account: str, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request out; its answer is kept before any of it is sent."""
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        try:
            await self._app(scope, receive, hold)
        except BaseException:
            await to_thread.run_sync(self._repeats.doubt, account, key)
            raise
        await to_thread.run_sync(self._settle, account, key, held)
        for message in held:
            await send(message)

    def _settle(self, account: str, key: str, held: list[Message]) -> None:
        status = int(held[0]["status"])
        if status < 300:
            kind = Headers(raw=held[0]["headers"]).get("content-type", "application/json")
            body = b"".join(message.get("body", b"") for message in held[1:])
            self._repeats.keep(account, key, Kept(status, kind, body))
        elif status < 500:
            self._repeats.release(account, key)
        else:
            self._repeats.doubt(account, key)


def _checked(keys: list[str]) -> str:
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidRequest("Idempotency-Key must be given once, as 1 to 255 visible ASCII characters")
    return keys[0]


def _digest(scope: Scope, body: bytes) -> bytes:
    """Of what is asked and by whom: one credential's answer, which may hold a secret, is none for another's eyes."""
    speaker = scope.get("state", {}).get("speaker")
    digest = hashlib.sha256()
    for part in (
        (speaker.key_id if speaker else "").encode(),
        scope["path"].encode(),
        scope.get("query_string", b""),
        body,
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _again(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
