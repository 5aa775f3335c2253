"""A registry of the OCI distribution specification, as a `Remote`: blobs and manifests over HTTP.

Used by the image store where a registry is configured. Credentials go to the registry, and to the token service that it
names, and nowhere else: not along a redirect or an upload's address to another origin, not over plain HTTP where the
registry itself is reached by TLS, not into errors and logs. An upload that broke off goes on where the registry says it
is. It refuses to know images.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx

from reflexdb.build.image import MANIFEST_TYPE, Blob
from reflexdb.build.remote import MAX_MANIFEST_BYTES
from reflexdb.model.errors import InvalidRequest, RegistryDenied, RegistryError, RegistryRefused, RegistryUnreachable

CHUNK_BYTES = 8 << 20
TRIES = 4
WAITS_S = (0.2, 1.0, 3.0)
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_HOST = r"(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]{1,5})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?P<host>{_HOST})/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)", re.ASCII)
_LOOPBACK = re.compile(r"(?:localhost|127(?:\.[0-9]+){3}|\[::1\])(?::[0-9]+)?")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]+)")
_BUSY = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str = field(repr=False)


Login = Callable[[], Credentials | None]
"""Asked again where a registry no longer takes what it took."""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository: `registry.example.com:5000/team/reflexdb`."""

    host: str
    repository: str
    plain: bool
    """Without TLS: what is asked for by name, and for a registry on this machine."""

    @classmethod
    def parse(cls, text: str, *, plain: bool = False) -> Place:
        """Raises InvalidRequest."""
        match = _NAME.fullmatch(text)
        if match is None or len(match["repository"]) > 255:
            raise InvalidRequest(
                f"{text[:300]!r} is no repository: give host and name, like registry.example.com/team/reflexdb, "
                "without a scheme, a tag or a password"
            )
        return cls(match["host"], match["repository"], plain or _LOOPBACK.fullmatch(match["host"]) is not None)

    @property
    def base(self) -> str:
        return f"{'http' if self.plain else 'https'}://{self.host}/v2/{self.repository}"

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}"


class Registry:
    """Remote on one repository. For any thread; each call has a connection of its own."""

    def __init__(self, place: Place, login: Login = lambda: None, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._place = place
        self._login = login
        self._chunk_bytes = chunk_bytes
        self._authorization: str | None = None

    def address(self, digest: str) -> str:
        return f"{self._place}@{digest}"

    def put_blob(self, blob: Blob) -> bool:
        with self._client() as http:
            known = self._ask(http, "HEAD", f"{self._place.base}/blobs/{blob.digest}")
            if known.status_code == 200:
                return False
            self._expect(known, {404})
            self._upload(http, blob)
        return True

    def put_manifest(self, manifest: Blob, tag: str) -> None:
        headers = {"Content-Type": manifest.media_type}
        with self._client() as http:
            url = f"{self._place.base}/manifests/{quote(tag)}"
            self._expect(self._ask(http, "PUT", url, headers, manifest.content), {201})

    def manifest(self, reference: str) -> bytes | None:
        with self._client() as http:
            url = f"{self._place.base}/manifests/{quote(reference, safe=':')}"
            reply = self._ask(http, "GET", url, {"Accept": MANIFEST_TYPE}, most=MAX_MANIFEST_BYTES)
            if reply.status_code == 404:
                return None
            self._expect(reply, {200})
            return reply.content

    def blob(self, digest: str, size: int) -> bytes:
        with self._client() as http:
            reply = self._ask(http, "GET", f"{self._place.base}/blobs/{quote(digest, safe=':')}", most=size)
            self._expect(reply, {200})
            return reply.content

    def _upload(self, http: httpx.Client, blob: Blob) -> None:
        """In chunks; after a break the registry is asked how far it got."""
        begun = self._ask(http, "POST", f"{self._place.base}/blobs/uploads/")
        self._expect(begun, {202})
        where, sent, broken = self._location(begun), 0, 0
        while sent < len(blob.content):
            chunk = blob.content[sent : sent + self._chunk_bytes]
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{sent}-{sent + len(chunk) - 1}",
            }
            try:
                reply = self._ask(http, "PATCH", where, headers, chunk, tries=1)
                self._expect(reply, {202})
                where, sent = self._location(reply), sent + len(chunk)
            except RegistryUnreachable:
                if broken == len(WAITS_S):
                    raise
                time.sleep(WAITS_S[broken])
                broken += 1
                where, sent = self._progress(http, where, blob)
        closing = where + ("&" if "?" in where else "?") + "digest=" + quote(blob.digest, safe="")
        self._expect(self._ask(http, "PUT", closing), {201})

    def _progress(self, http: httpx.Client, where: str, blob: Blob) -> tuple[str, int]:
        """Where an upload goes on, and from which byte; where the registry has forgotten it, from the beginning."""
        reply = self._ask(http, "GET", where)
        if reply.status_code == 404:
            begun = self._ask(http, "POST", f"{self._place.base}/blobs/uploads/")
            self._expect(begun, {202})
            return self._location(begun), 0
        self._expect(reply, {204})
        match = _RANGE.fullmatch(reply.headers.get("Range", ""))
        last = int(match[1]) if match else 0
        arrived = last + 1 if last else 0  # 0-0 is what registries say of nothing
        return self._location(reply, where), min(arrived, len(blob.content))

    def _location(self, reply: httpx.Response, default: str | None = None) -> str:
        location: str | None = reply.headers.get("Location", default)
        if location is None:
            raise RegistryRefused(f"{self._place} does not say where to upload to")
        return urljoin(str(reply.url), location)

    def _client(self) -> httpx.Client:
        # A proxy from the environment is for the outside; asking it for this machine's own ports leads nowhere.
        return httpx.Client(timeout=_TIMEOUT, trust_env=_LOOPBACK.fullmatch(self._place.host) is None)

    def _ask(
        self,
        http: httpx.Client,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        *,
        most: int = MAX_MANIFEST_BYTES,
        tries: int = TRIES,
    ) -> httpx.Response:
        """One answer, logged in where that is asked for; what may pass by itself is tried again."""
        for left in reversed(range(tries)):
            try:
                reply = self._authorized(http, method, url, dict(headers or {}), content, most)
            except httpx.HTTPError as exc:
                if not left:
                    raise RegistryUnreachable(f"{self._place} can't be reached: {_said(exc)}") from exc
            else:
                if not left or reply.status_code not in _BUSY:
                    return reply
            time.sleep(WAITS_S[min(tries - 1 - left, len(WAITS_S) - 1)])
        raise AssertionError("the last attempt returns or raises")

    def _authorized(
        self, http: httpx.Client, method: str, url: str, headers: dict[str, str], content: bytes | None, most: int
    ) -> httpx.Response:
        ours = _same_origin(url, self._place.base)
        authorization = self._authorization
        if ours and authorization is not None:
            headers["Authorization"] = authorization
        reply = self._send(http, method, url, headers, content, most)
        if reply.status_code != 401 or not ours:
            return reply
        self._authorization = self._log_in(http, reply)
        headers["Authorization"] = self._authorization
        return self._send(http, method, url, headers, content, most)

    def _send(
        self, http: httpx.Client, method: str, url: str, headers: dict[str, str], content: bytes | None, most: int
    ) -> httpx.Response:
        """Redirects are followed for reading alone; httpx takes the credentials off at another origin."""
        request = http.build_request(method, url, headers=headers, content=content)
        reply = http.send(request, stream=True, follow_redirects=method in {"GET", "HEAD"})
        try:
            body = bytearray()
            for piece in reply.iter_bytes():
                body += piece
                if len(body) > most:
                    raise RegistryRefused(f"{self._place} sends more than the {most:,} bytes that were expected")
        finally:
            reply.close()
        headers_alone = [(name, value) for name, value in reply.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(reply.status_code, headers=headers_alone, content=bytes(body), request=reply.request)

    def _log_in(self, http: httpx.Client, refused: httpx.Response) -> str:
        """The Authorization that answers the challenge. Raises RegistryDenied."""
        challenge = refused.headers.get("WWW-Authenticate", "")
        kind, _, rest = challenge.partition(" ")
        credentials = self._login()
        if kind.lower() == "basic":
            if credentials is None:
                raise self._denied("it asks for a user and a password, and none are configured")
            pair = f"{credentials.user}:{credentials.password}".encode()
            return "Basic " + base64.b64encode(pair).decode("ascii")
        if kind.lower() != "bearer":
            raise self._denied(f"it asks for {kind[:40]!r}, which is not known here")
        return "Bearer " + self._token(http, dict(_PARAMETER.findall(rest)), credentials)

    def _token(self, http: httpx.Client, asked: Mapping[str, str], credentials: Credentials | None) -> str:
        realm = urlsplit(asked.get("realm", ""))
        if realm.scheme not in {"http", "https"} or (realm.scheme == "http" and not self._place.plain):
            raise self._denied("the token service that it names is not reached by TLS")
        query = {name: asked[name] for name in ("service", "scope") if name in asked}
        query.setdefault("scope", f"repository:{self._place.repository}:pull,push")
        login = (credentials.user, credentials.password) if credentials is not None else None
        reply = http.get(realm.geturl(), params=query, auth=login or httpx.USE_CLIENT_DEFAULT)
        if reply.status_code in {401, 403}:
            raise self._denied("the user or the password was refused")
        try:
            document: Any = reply.raise_for_status().json()
            return str(document.get("token") or document["access_token"])
        except (httpx.HTTPStatusError, ValueError, KeyError, AttributeError) as exc:
            raise self._denied(f"its token service answered {reply.status_code} and no token") from exc

    def _expect(self, reply: httpx.Response, statuses: set[int]) -> None:
        status = reply.status_code
        if status in statuses:
            return
        if status in {401, 403}:
            raise self._denied("the user or the password was refused, or may not do this")
        what = f"{self._place} answered {status} to {reply.request.method}: {_reason(reply)}"
        kind: type[RegistryError] = RegistryUnreachable if status in _BUSY else RegistryRefused
        raise kind(what)

    def _denied(self, why: str) -> RegistryDenied:
        return RegistryDenied(f"{self._place} does not let us in: {why}")


def _same_origin(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.netloc) == (b.scheme, b.netloc)


def _reason(reply: httpx.Response) -> str:
    """What the registry says is wrong, in one line; its form is the specification's."""
    try:
        first = reply.json()["errors"][0]
        text = f"{first.get('code', '')} {first.get('message', '')}".strip()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = reply.reason_phrase
    return "".join(character if character.isprintable() else " " for character in text)[:200] or "no reason"


def _said(exc: httpx.HTTPError) -> str:
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        return "nothing answers there; check the address, and whether it runs"
    if isinstance(exc, httpx.TimeoutException):
        return "it did not answer in time"
    return f"the exchange broke off ({type(exc).__name__})"
