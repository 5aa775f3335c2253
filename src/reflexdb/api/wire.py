"""A connection before it is a request: how many there may be, and how long one may take to say what it wants.

`protocol(settings)` is the server's HTTP/1.1 with these limits, and with our form of the few answers that are given
before the application is asked. A caller that drips its headers, or opens connections and says nothing, holds one only
so long, and where no more connections may be open, an idle one of the address with the most makes room for a new one.
Refuses to know what is asked.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from reflexdb.api.settings import ApiSettings
from reflexdb.api.strict_head import hold_to_the_letter
from reflexdb.model.errors import InvalidRequest, Overloaded, ReflexError, TooSlow


def protocol(settings: ApiSettings) -> type[H11Protocol]:
    """The protocol class for uvicorn."""

    class Bounded(_Bounded):
        most = settings.max_connections
        patience_s = settings.request_timeout

    return Bounded


class _Bounded(H11Protocol):
    most: int
    patience_s: float
    _waiting: asyncio.TimerHandle | None = None
    _idle_since: float = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base does
        super().connection_made(transport)
        hold_to_the_letter(self.conn)
        self._idle_since = self.loop.time()
        if len(self.connections) > self.most and not self._make_room():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, Overloaded(f"{self.most} connections are open; come again"))
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._idle():
            self._wait()
        else:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the base's words are about itself
        self._refuse(HTTPStatus.BAD_REQUEST, InvalidRequest("This is not a request of HTTP/1.1, or it is too large"))

    def _make_room(self) -> bool:
        """Close an idle connection, the one that was idle first, of the address that has the most of them."""
        ours: list[_Bounded] = [each for each in self.connections if isinstance(each, _Bounded) and each is not self]
        idle = [each for each in ours if each._idle()]
        if not idle:
            return False
        by_address = Counter(each._address() for each in idle)
        crowd = max(by_address.values())
        longest = min(
            (each for each in idle if by_address[each._address()] == crowd), key=lambda each: each._idle_since
        )
        longest.transport.close()
        self.connections.discard(longest)
        return True

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _idle(self) -> bool:
        """Whether no request is being carried out."""
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        """Begin to wait for a request; more bytes of it don't make the wait longer."""
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.patience_s, self._tired)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _tired(self) -> None:
        self._waiting = None
        if self._idle() and not self.transport.is_closing():
            late = TooSlow(f"No whole request arrived within {self.patience_s:g} seconds")
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, late)

    def _refuse(self, status: HTTPStatus, why: ReflexError) -> None:
        """Answer without asking the application, and close."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": why.code, "message": why.message}).encode()
            self.transport.write(_plain_answer(status, body))
        self.transport.close()


def _plain_answer(status: HTTPStatus, body: bytes) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
