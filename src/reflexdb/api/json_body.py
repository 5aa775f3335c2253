"""A body that is sent as JSON is JSON, in one reading: what two parsers could understand differently is refused.

An ASGI middleware behind the gate, which has read the body. RFC 8259 leaves open what a name given twice means and how
large a number may be, and Python's parser takes NaN and other encodings besides; here each is refused by the path of
its field. What is no JSON at all is left to the routes, which say where it breaks off. Refuses to know which fields
there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reflexdb.api.errors import from_error, shown
from reflexdb.model.errors import InvalidRequest

MAX_DEPTH = 32
MAX_DIGITS = 100


@dataclass(frozen=True, slots=True)
class _Odd:
    """Stands where a value was that can't be taken."""

    why: str


class StrictJson:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("state", {}).get("account") is None or scope["method"] == "PUT":
            await self._app(scope, receive, send)
            return
        first = await receive()
        body = first.get("body", b"")
        try:
            if body:
                _check_encoding(Headers(scope=scope))
                check(body)
        except InvalidRequest as exc:
            await from_error(exc)(scope, receive, send)
            return
        await self._app(scope, _again(first, receive), send)


def check(body: bytes) -> None:
    """Raises InvalidRequest with the field's path. A body that is no JSON passes."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"the body must be UTF-8; byte {exc.start} is not") from exc
    if text.startswith("\ufeff"):
        raise InvalidRequest("the body begins with a byte order mark; send it without")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_fraction
        )
    except RecursionError as exc:
        raise _too_deep() from exc
    except json.JSONDecodeError:
        return
    for path, why in _odd(value):
        raise InvalidRequest(f"{'.'.join(shown(part) for part in path) or 'the body'}: {why}")


def _check_encoding(headers: Headers) -> None:
    _, *parameters = headers.get("content-type", "").split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in {"utf-8", "utf8"}:
            raise InvalidRequest("Content-Type: JSON is UTF-8; send the body with charset=utf-8, or without a charset")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest("Content-Encoding: a compressed body is not taken; send it as it is")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = _Odd("is given twice; send it once") if name in found else value
    return found


def _constant(text: str) -> _Odd:
    return _Odd(f"{text} is not a JSON number; leave the field out where there is no value")


def _integer(digits: str) -> object:
    return int(digits) if len(digits) <= MAX_DIGITS else _Odd(f"is a number of more than {MAX_DIGITS} digits")


def _fraction(text: str) -> object:
    number = float(text)
    return number if math.isfinite(number) else _Odd("is a number too large to be held")


def _odd(value: object) -> Iterator[tuple[tuple[object, ...], str]]:
    """Everything that can't be taken, in no particular order. Raises InvalidRequest at too great a depth."""
    waiting: list[tuple[tuple[object, ...], object]] = [((), value)]
    while waiting:
        path, each = waiting.pop()
        if isinstance(each, _Odd):
            yield path, each.why
        elif isinstance(each, dict | list):
            if len(path) >= MAX_DEPTH:
                raise _too_deep()
            inner = each.items() if isinstance(each, dict) else enumerate(each)
            waiting.extend(((*path, name), part) for name, part in inner)


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"the body is nested more than {MAX_DEPTH} levels deep")


def _again(first: Message, receive: Receive) -> Receive:
    messages = [first]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
