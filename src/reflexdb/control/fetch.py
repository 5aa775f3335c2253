"""One document from the web, with limits: how control asks an OIDC issuer for what it publishes.

Called by `control/issuer.py`, which takes it as an argument. https only, except from this machine itself; redirects
are not followed; size and total time are bounded, however slowly the other side sends. Refuses to know what it
fetches. A certificate is checked against the usual authorities, or those in SSL_CERT_FILE.
"""

from __future__ import annotations

import os
import ssl
import time
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

from reflexdb.model.errors import Unavailable
from reflexdb.model.issuer import is_fetchable, is_loopback

TOTAL_TIMEOUT_S = 8.0
_STEP_TIMEOUT_S = 4.0
MAX_DOCUMENT_BYTES = 256 * 1024


def fetch(url: str) -> bytes:
    """The body of a 200. Raises Unavailable, with a sentence that names the address and what is wrong."""
    if not is_fetchable(url):
        raise Unavailable(f"{url} is not fetched: it must be https://, or http:// on this machine")
    local = is_loopback(urlsplit(url).hostname or "")
    try:
        with (
            httpx.Client(
                timeout=_STEP_TIMEOUT_S, trust_env=not local, verify=_trust(os.environ.get("SSL_CERT_FILE"))
            ) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise Unavailable(f"{url} answered {response.status_code}, not 200")
            return _read(url, response)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        raise Unavailable(f"{url} can't be fetched: {_why(exc)}") from exc


@lru_cache(maxsize=1)
def _trust(_cert_file: str | None) -> ssl.SSLContext:
    """Reading the authorities takes a while. The argument is where they are: with another, they are read again."""
    return httpx.create_ssl_context()


def _read(url: str, response: httpx.Response) -> bytes:
    deadline = time.monotonic() + TOTAL_TIMEOUT_S
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise Unavailable(f"{url} answered with more than {MAX_DOCUMENT_BYTES} bytes")
        if time.monotonic() > deadline:
            raise Unavailable(f"{url} took longer than {TOTAL_TIMEOUT_S:.0f} s to answer")
    return bytes(body)


def _why(exc: Exception) -> str:
    if isinstance(exc, httpx.TimeoutException):
        return "no answer in time"
    return str(exc) or type(exc).__name__
