"""Asks a running instance: a query's text in, its JSON out.

Needs the instance's endpoint and one of the database's API keys; the control plane takes no part, and may be down.
"""

from __future__ import annotations

import json
from decimal import Decimal
from types import TracebackType
from typing import Any

from reflexdb.client.errors import ClientError
from reflexdb.client.transport import Transport


class QueryClient:
    """`QueryClient(endpoint, key).query('users(plan = "pro") { id name }')`"""

    def __init__(self, endpoint: str, key: str, *, timeout: float = 60.0) -> None:
        self.position: str | None = None
        """What the last answer's snapshot had reached in the source's history: as `min_position` of another query, it
        gives a state no older than that answer's."""
        self._http = Transport(endpoint.rstrip("/").removesuffix("/query"), key, timeout=timeout)

    def __enter__(self) -> QueryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def query(self, text: str, *, min_position: str | None = None, wait_ms: int | None = None) -> Any:
        """The decoded answer. Numbers with a fraction are Decimal, so that every digit of the source is kept."""
        return json.loads(self.query_bytes(text, min_position=min_position, wait_ms=wait_ms), parse_float=Decimal)

    def query_bytes(self, text: str, *, min_position: str | None = None, wait_ms: int | None = None) -> bytes:
        """The answer as the server wrote it. A refused query is an ApiError with line, column and hint in `detail`.

        `min_position`: answer from a snapshot that contains this position of the source (a GTID, an LSN, a snapshot's
        version), and wait for it up to `wait_ms`; an ApiError `position_not_reached` (503) says that it did not come.
        """
        asked = {} if min_position is None else {"X-ReflexDB-Min-Position": _one_line(min_position)}
        if wait_ms is not None:
            asked["X-ReflexDB-Wait-Ms"] = str(wait_ms)
        answer = self._http.send("POST", "/query", text.encode(), "text/plain; charset=utf-8", more=asked)
        self.position = answer.headers.get("X-ReflexDB-Position")
        return answer.content

    def health(self) -> dict[str, Any]:
        """What the instance says of itself; needs no valid key."""
        answer: dict[str, Any] = self._http.call("GET", "/health")
        return answer


def _one_line(position: str) -> str:
    """As a header's value: MySQL prints long sets over several lines. Raises ClientError for what is none."""
    cleaned = "".join(position.split())
    if not cleaned.isascii() or not cleaned.isprintable():
        raise ClientError("min_position has characters that no source's position has")
    return cleaned
