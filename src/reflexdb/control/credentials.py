"""Keys of our own making, `<kind>_<key id>.<secret>`: made, taken apart, and compared with what is kept of them.

Used for management keys (`rmk`) and the operator's (`rok`). The secret has 256 random bits, so one SHA-256 of it is
kept and compared in constant time. Refuses to know who a key speaks for.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from reflexdb.model.errors import NotAuthenticated

MANAGEMENT = "rmk"
OPERATOR = "rok"
USE_NOTED_EVERY = timedelta(seconds=5)
"""Writing each use of a key would put a disk write into every request."""


def make(kind: str) -> tuple[str, str, str]:
    """Key id, hash of the secret, and the whole key: the only moment it is known."""
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return key_id, _hash(secret), f"{kind}_{key_id}.{secret}"


def take_apart(kind: str, credential: str) -> tuple[str, str]:
    """Key id and secret. Raises NotAuthenticated where it does not have the form of this kind."""
    prefix, _, rest = credential.partition("_")
    key_id, dot, secret = rest.partition(".")
    if prefix != kind or not dot or not credential.isascii():
        what = "a management key" if kind == MANAGEMENT else "an operator key"
        raise NotAuthenticated(f"This is not {what}: one looks like {kind}_<id>.<secret>")
    return key_id, secret


def matches(stored_hash: str | None, secret: str) -> bool:
    """In a time that does not tell how much of it is right, or whether the key is known at all."""
    return hmac.compare_digest(stored_hash or _hash(""), _hash(secret)) and stored_hash is not None


def use_is_news(last_used_at: datetime | None, now: datetime) -> bool:
    """Whether this use is to be written down."""
    return last_used_at is None or now - last_used_at > USE_NOTED_EVERY


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
