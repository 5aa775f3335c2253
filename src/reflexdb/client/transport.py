"""One HTTP exchange with a ReflexDB server: bearer key, time limits, errors translated, and retries of GET alone.

Used by `ReflexClient` and `QueryClient`. A POST is never sent twice: whether the first arrived cannot be known.
Redirects are not followed, so that a key goes to the address it was given for and nowhere else. Knows no resource and
no shape.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from reflexdb.client.errors import ApiError, ClientError, Unreachable, UnusableKey

CONNECT_TIMEOUT_S = 5.0
RETRY_DELAYS_S = (0.1, 0.3, 0.9)
RETRIED_STATUSES = frozenset({502, 503, 504})
STREAM_READ_TIMEOUT_S = 300.0


class Transport:
    """Talks to one base address. Not shared between threads without a lock of the caller's."""

    def __init__(self, url: str, key: str | None, *, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ClientError(f"{url!r} is not an address; it must start with http:// or https://")
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise UnusableKey("the key has characters that no key of ReflexDB has; was it copied whole, and alone?")
        self.url = url.rstrip("/")
        self._authorization = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy from the environment is for the outside; asking it for this machine's own ports leads nowhere.
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=CONNECT_TIMEOUT_S), trust_env=not is_loopback(parts.hostname)
        )

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, *, timeout: float | None = None) -> Any:
        """Send JSON, return the decoded JSON answer; None for an empty one."""
        content = None if body is None else json.dumps(body).encode()
        kind = None if body is None else "application/json"
        response = self.send(method, path, content, kind, timeout=timeout)
        if response.status_code == 204 or not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise Unreachable(f"{self.url} answered {method} {path} with something that is not JSON") from error

    def send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        kind: str | None,
        *,
        timeout: float | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> httpx.Response:
        """One request, `more` being further headers; any status of 400 or above is raised as ApiError."""
        headers = {**self._authorization, **more}
        if kind:
            headers["Content-Type"] = kind
        request = self._http.build_request(method, self.url + path, content=content, headers=headers)
        if timeout is not None:
            request.extensions["timeout"] = httpx.Timeout(timeout, connect=CONNECT_TIMEOUT_S).as_dict()
        response = self._attempt(request)
        if response.status_code >= 300:
            raise api_error(response)
        return response

    def _attempt(self, request: httpx.Request) -> httpx.Response:
        delays = RETRY_DELAYS_S if request.method == "GET" else ()
        for delay in (*delays, None):
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if delay is None:
                    raise unreachable(self.url, error) from error
            except httpx.HTTPError as error:
                raise unreachable(self.url, error) from error
            else:
                if delay is None or response.status_code not in RETRIED_STATUSES:
                    return response
            time.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def lines(self, url: str, more: Mapping[str, str] | None = None) -> Iterator[Iterator[str]]:
        """Stream a text answer line by line, as it comes, with `more` headers sent. The key is sent only to this
        transport's own origin."""
        address = urljoin(self.url + "/", url)
        headers = {**(self._authorization if same_origin(address, self.url) else {}), **(more or {})}
        timeout = httpx.Timeout(STREAM_READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            with self._http.stream("GET", address, headers=headers, timeout=timeout) as response:
                if response.status_code >= 300:
                    response.read()
                    raise api_error(response)
                yield response.iter_lines()
        except httpx.HTTPError as error:
            raise unreachable(address, error) from error


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def same_origin(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.hostname, a.port) == (b.scheme, b.hostname, b.port)


def api_error(response: httpx.Response) -> ApiError:
    """The error object of an answer; for an answer without one (a proxy's page, say) the status alone."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or "error" not in document:
        text = f"HTTP {response.status_code} {response.reason_phrase}".strip()
        return ApiError(response.status_code, "http_error", f"{text} from {response.request.url}")
    code = str(document["error"])
    return ApiError(response.status_code, code, str(document.get("message") or code), document)


def unreachable(url: str, error: Exception) -> Unreachable:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unreachable(f"nothing answers at {url}; is it running, and is the address right?")
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"{url} did not answer in time")
    return Unreachable(f"the exchange with {url} broke off: {error or type(error).__name__}")
