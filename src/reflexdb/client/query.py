"""Asks a running instance: a query's text in, its JSON out.

Needs the instance's endpoint and one of the database's API keys; the control plane takes no part, and may be down.
"""

from __future__ import annotations

import json
from decimal import Decimal
from types import TracebackType
from typing import Any

from reflexdb.client.transport import Transport


class QueryClient:
    """`QueryClient(endpoint, key).query('users(plan = "pro") { id name }')`"""

    def __init__(self, endpoint: str, key: str, *, timeout: float = 60.0) -> None:
        self._http = Transport(endpoint.rstrip("/").removesuffix("/query"), key, timeout=timeout)

    def __enter__(self) -> QueryClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def query(self, text: str) -> Any:
        """The decoded answer. Numbers with a fraction are Decimal, so that every digit of the source is kept."""
        return json.loads(self.query_bytes(text), parse_float=Decimal)

    def query_bytes(self, text: str) -> bytes:
        """The answer as the server wrote it. A refused query is an ApiError with line, column and hint in `detail`."""
        return self._http.send("POST", "/query", text.encode(), "text/plain; charset=utf-8").content

    def health(self) -> dict[str, Any]:
        """What the instance says of itself; needs no valid key."""
        answer: dict[str, Any] = self._http.call("GET", "/health")
        return answer
