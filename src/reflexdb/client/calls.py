"""One call of the control plane's API, and the connection it goes over: what the operations are made of."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from reflexdb.client.transport import Transport


class Calls:
    """A context: closed at its end."""

    def __init__(self, url: str, key: str, *, timeout: float = 30.0) -> None:
        self._http = Transport(url, key, timeout=timeout)
        self.url = self._http.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _call(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """`query` without what is None; JSON's words for true and false."""
        place = "/v1/" + "/".join(quote(part, safe="") for part in path)
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        words = {name: str(value).lower() if isinstance(value, bool) else value for name, value in wanted.items()}
        return self._http.call(method, place + (f"?{urlencode(words)}" if words else ""), body, timeout=timeout)
