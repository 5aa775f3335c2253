"""The keys that an OIDC issuer signs with: discovered, kept, and fetched again when they rotate.

Asked by `control/tokens.py` for every token. A key that is known costs nothing. One that is not leads to a fetch, at
most every `refetch_s` seconds, so that made-up key ids can't make us ask for ever; known keys are renewed in the
background once they are old, so that withdrawn ones end. An issuer that fails keeps the keys it has published last.
Refuses to know claims.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from reflexdb.model.errors import NotAuthenticated, Unavailable
from reflexdb.model.issuer import IssuerSettings, is_fetchable

log = structlog.get_logger()

Fetch = Callable[[str], bytes]

MAX_AGE_S = 3600.0
"""Known keys are renewed when they are older."""
MAX_KEYS = 64
_MIN_RSA_BITS = 2048
_WAITERS = 8
"""How many requests may wait for keys at a time: they must not take every thread away from those that need none."""

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVE = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
    "Ed25519": frozenset({"EdDSA"}),
    "Ed448": frozenset({"EdDSA"}),
}
ALGORITHMS = _RSA.union(*_OF_CURVE.values())
"""Signatures by a private key that only the issuer has. `none` and HS* are not among them, and never may be."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    public: Any
    algorithms: frozenset[str]
    """Those a token may name with this key: the key decides, not the token."""


class Issuer:
    def __init__(self, settings: IssuerSettings, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._waiters = threading.BoundedSemaphore(_WAITERS)
        self._renewal = threading.Lock()
        self._keys: Mapping[str | None, SigningKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def key(self, key_id: str | None) -> SigningKey:
        """The key of this id; without an id, the issuer's only key.

        Raises NotAuthenticated where the issuer has no such key, Unavailable where its keys can't be had.
        """
        found = self._known(key_id)
        if found is not None:
            self._renew_if_old()
            return found
        if not self._may_try() or not self._waiters.acquire(blocking=False):
            return self._missing()
        try:
            with self._lock:
                found = self._known(key_id)
                if found is None and self._may_try():
                    self._refresh()
                    found = self._known(key_id)
        finally:
            self._waiters.release()
        return found or self._missing()

    def warm(self) -> None:
        """Fetch the keys in the background, so that the first token finds them and the log tells what is wrong."""
        if self._renewal.acquire(blocking=False):
            threading.Thread(target=self._renew, name="issuer-keys", daemon=True).start()

    def _known(self, key_id: str | None) -> SigningKey | None:
        keys = self._keys
        if key_id is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(key_id)

    def _missing(self) -> SigningKey:
        if self._fetched_at is None:
            raise Unavailable(
                "Tokens can't be checked now: the keys of their issuer can't be had; the control plane's log says why. "
                "Management keys work"
            )
        raise NotAuthenticated("The token is signed with a key that its issuer does not publish; log in again")

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= self._settings.refetch_s

    def _renew_if_old(self) -> None:
        if self._fetched_at is None or self._clock() - self._fetched_at < MAX_AGE_S or not self._may_try():
            return
        self.warm()

    def _renew(self) -> None:
        try:
            with self._lock:
                if self._may_try():
                    self._refresh()
        finally:
            self._renewal.release()

    def _refresh(self) -> None:
        """Fetch the keys; what is known stays where that fails."""
        try:
            keys = signing_keys(self._document(self._jwks_url()))
            if not keys:
                raise Unavailable("its key set has no key that tokens may be signed with")
        except Unavailable as exc:
            log.warning("issuer_failed", issuer=self._settings.issuer, error=exc.message, known_keys=len(self._keys))
        else:
            self._keys = keys
            self._fetched_at = self._clock()
            log.info("issuer_keys", issuer=self._settings.issuer, keys=len(keys))
        finally:
            self._tried_at = self._clock()

    def _jwks_url(self) -> str:
        if self._settings.jwks_url is not None:
            return self._settings.jwks_url
        place = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = self._document(place)
        if found.get("issuer") != self._settings.issuer:
            raise Unavailable(f"{place} describes another issuer; --oidc-issuer must be exactly what it says")
        url = found.get("jwks_uri")
        plain = self._settings.issuer.startswith("http://")
        if not isinstance(url, str) or not is_fetchable(url) or (not plain and not url.startswith("https://")):
            raise Unavailable(f"{place} has no usable jwks_uri: it must be https://")
        return url

    def _document(self, url: str) -> dict[str, Any]:
        try:
            document = json.loads(self._fetch(url))
        except (ValueError, RecursionError) as exc:
            raise Unavailable(f"{url} is not JSON") from exc
        if not isinstance(document, dict):
            raise Unavailable(f"{url} is not a JSON object")
        return document


def signing_keys(document: Mapping[str, Any]) -> dict[str | None, SigningKey]:
    """The usable keys of a JWK set by their ids; what is not for signatures, too weak or not understood is left out."""
    listed = document.get("keys")
    found: dict[str | None, SigningKey] = {}
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        key = _signing_key(entry) if isinstance(entry, dict) else None
        key_id = entry.get("kid") if key else None
        if key is not None and (key_id is None or isinstance(key_id, str)):
            found.setdefault(key_id, key)
    return found


def _signing_key(entry: dict[str, Any]) -> SigningKey | None:
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return None
    allowed = _RSA if entry.get("kty") == "RSA" else _OF_CURVE.get(str(entry.get("crv")), frozenset())
    if "alg" in entry:
        allowed &= {entry["alg"]} if isinstance(entry["alg"], str) else set()
    if not allowed:
        return None
    public_parts = {name: value for name, value in entry.items() if name in {"kty", "crv", "n", "e", "x", "y"}}
    try:
        public = jwt.PyJWK(public_parts, algorithm=min(allowed)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        return None
    return SigningKey(public, frozenset(allowed))
