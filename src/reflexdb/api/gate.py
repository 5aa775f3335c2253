"""What every request passes before any route sees it:

the caller is known, and the body is of a bearable size and the right kind.

An ASGI middleware, so that nothing of a request is parsed before its credential was checked. It leaves the account's
id in `scope["state"]["account"]` and who speaks in `["speaker"]`. Refuses to know routes, apart from the few that are
open.
"""

from __future__ import annotations

from dataclasses import replace

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reflexdb.api.errors import answer, from_error
from reflexdb.control.accounts import Accounts
from reflexdb.control.origin import Origin, acting
from reflexdb.model.errors import NotAuthenticated, ReflexError

MAX_BODY_BYTES = 1 << 20
_HOW = "Send a management key, Authorization: Bearer rmk_<id>.<secret>, or a token of the configured issuer"
OPEN_PATHS = frozenset({"/healthz", "/v1/openapi.json", "/v1/billing/webhook"})
_YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


class Gate:
    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or not scope["path"].startswith("/v1"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        who = Origin("api", address=client[0] if client else None, request_id=scope.get("state", {}).get("request_id"))
        try:
            with acting(who):
                credential = _credential(headers.getlist("authorization"))
                speaker = self._accounts.remembered(credential)
                if speaker is None:
                    speaker = await to_thread.run_sync(self._accounts.speaker, credential)
        except ReflexError as exc:  # also where the records, or the issuer's keys, can't be asked
            await from_error(exc)(scope, receive, send)
            return
        scope.setdefault("state", {})["account"] = speaker.customer_id
        scope["state"]["speaker"] = speaker
        body = await _read(receive, headers)
        if body is None:
            refusal = answer(
                413, "too_large", f"The body is larger than {MAX_BODY_BYTES} bytes", {"Connection": "close"}
            )
            await refusal(scope, receive, send)
        elif body and not _right_kind(scope, headers):
            expected = "application/yaml" if _takes_yaml(scope) else "application/json"
            await answer(400, "bad_request", f"Send the body with Content-Type: {expected}")(scope, receive, send)
        else:
            with acting(replace(who, key_id=speaker.key_id, key_name=speaker.name)):
                await self._app(scope, _replay(body, receive), send)


def _credential(given: list[str]) -> str:
    if len(given) != 1:
        raise NotAuthenticated(_HOW)
    scheme, _, credential = given[0].strip().partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise NotAuthenticated(_HOW)
    return credential.strip()


async def _read(receive: Receive, headers: Headers) -> bytes | None:
    """The whole body, or None where it is too large."""
    announced = headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _takes_yaml(scope: Scope) -> bool:
    ending = {"PUT": "/config", "POST": "/config/check"}.get(scope["method"])
    return ending is not None and bool(scope["path"].endswith(ending))


def _right_kind(scope: Scope, headers: Headers) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if _takes_yaml(scope):
        return kind in _YAML_TYPES
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
