"""How often one caller may ask: token buckets for credentials, and for the failures of addresses.

Two ASGI middlewares around the gate. `Attempts`, before it, refuses an address that has failed too often, without
looking at what it sends now; a credential that was found good before passes all the same, so that nobody can lock out
others behind the same proxy. `Quota`, behind it, counts what a credential asks. Both count in this process alone and
on its event loop, so they need no lock. The headers are those of the IETF's draft "RateLimit header fields for HTTP".
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reflexdb.api.errors import from_error
from reflexdb.api.gate import OPEN_PATHS
from reflexdb.api.settings import ApiSettings
from reflexdb.model.errors import RateLimited

MOST_BUCKETS = 10_000
"""Callers remembered; the one that was silent for longest is forgotten first."""

_IPV6_SITE_BITS = 64
_S_PER_MIN = 60


@dataclass(slots=True)
class _Level:
    tokens: float
    at: float


class Buckets:
    """One token bucket per name: `size` tokens at first and at most, `per_s` new ones each second."""

    def __init__(self, policy: str, per_s: float, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._per_s = per_s
        self._size = size
        self._clock = clock
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def take(self, name: str) -> bool:
        """Take a token; False where there is none."""
        level = self._level(name)
        if level.tokens < 1:
            return False
        level.tokens -= 1
        return True

    def empty(self, name: str) -> bool:
        return self._level(name).tokens < 1

    def headers(self, name: str) -> dict[str, str]:
        """How much is left, and in how many seconds everything will be there again."""
        level = self._level(name)
        refill = math.ceil((self._size - level.tokens) / self._per_s)
        window = math.ceil(self._size / self._per_s)
        return {
            "RateLimit-Policy": f'"{self._policy}";q={self._size};w={window}',
            "RateLimit": f'"{self._policy}";r={int(level.tokens)};t={refill}',
        }

    def refusal(self, name: str) -> dict[str, str]:
        """The same, and when to come again."""
        wait = (1 - self._level(name).tokens) / self._per_s
        return {"Retry-After": str(max(1, math.ceil(wait))), **self.headers(name)}

    def _level(self, name: str) -> _Level:
        now = self._clock()
        level = self._levels.pop(name, None) or _Level(self._size, now)
        level.tokens = min(self._size, level.tokens + (now - level.at) * self._per_s)
        level.at = now
        self._levels[name] = level
        if len(self._levels) > MOST_BUCKETS:
            self._levels.popitem(last=False)
        return level


class Quota:
    """Behind the gate: what one credential may ask."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        limited = settings.rate_limit > 0
        self._buckets = Buckets("credential", settings.rate_limit, settings.rate_burst) if limited else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        speaker = scope.get("state", {}).get("speaker")
        if self._buckets is None or speaker is None:
            await self._app(scope, receive, send)
            return
        name = f"{speaker.customer_id}/{speaker.key_id}"
        if self._buckets.take(name):
            await self._app(scope, receive, _adding(self._buckets.headers(name), send))
            return
        waiting = self._buckets.refusal(name)
        refused = RateLimited(f"Too many requests with this credential; wait {waiting['Retry-After']} seconds")
        await from_error(refused, waiting)(scope, receive, send)


class Attempts:
    """Before the gate: how often an address may fail to say who it is."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        a_minute = settings.auth_failures
        self._failures = Buckets("failures", a_minute / _S_PER_MIN, a_minute) if a_minute > 0 else None
        self._good: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._failures is None or scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        failures, address, credential = self._failures, _address(scope), _credential(scope)
        if failures.empty(address) and credential not in self._good:
            waiting = failures.refusal(address)
            refused = RateLimited(
                f"Too many failed authentications from this address; wait {waiting['Retry-After']} seconds"
            )
            await from_error(refused, waiting)(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                if scope.get("state", {}).get("account") is not None:
                    self._remember(credential)
                elif message["status"] == 401:
                    self._good.pop(credential, None)
                    failures.take(address)
            await send(message)

        await self._app(scope, receive, counting)

    def _remember(self, credential: bytes) -> None:
        self._good[credential] = None
        self._good.move_to_end(credential)
        if len(self._good) > MOST_BUCKETS:
            self._good.popitem(last=False)


def _adding(headers: Mapping[str, str], send: Send) -> Send:
    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return added


def _credential(scope: Scope) -> bytes:
    """A digest: what was sent is not kept."""
    given = Headers(scope=scope).getlist("authorization")
    return hashlib.sha256("\n".join(given).encode()).digest()


def _address(scope: Scope) -> str:
    """An IPv6 caller has a whole network of addresses to fail from: they count as one."""
    client = scope.get("client")
    text = str(client[0]) if client else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.version == 4:
        return text
    return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))
