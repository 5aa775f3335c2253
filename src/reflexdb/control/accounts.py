"""Accounts and the management keys that speak for them.

A key is `rmk_<keyId>.<secret>`; the secret has 256 random bits, so one SHA-256 of it is kept and compared in constant
time. Called by the API for every request and at first start. Refuses to know HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from reflexdb.control.audit import note, note_change
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.model.errors import InvalidRequest, NotAuthenticated, NotFound
from reflexdb.records import accounts
from reflexdb.records.rows import ManagementKey

ADMIN_GROUP = "reflexdb-admins"
"""Who is in it runs the service: the operator's token, never an account's management key."""
_USE_NOTED_EVERY = timedelta(seconds=5)
"""Writing each use of a key would put a disk write into every request."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only moment its secret is known."""

    row: ManagementKey
    key: str


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who a credential is, and the customer it speaks for."""

    customer_id: str
    key_id: str
    """Of the credential; not secret."""
    name: str
    groups: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        return ADMIN_GROUP in self.groups


class Accounts:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def ensure_first(self) -> NewKey | None:
        """Create the account and its first key where there is none yet."""
        customer_id = new_id()
        with self._rooms.store.write() as tx:
            if accounts.first_customer(tx) is not None:
                return None
            accounts.add_customer(tx, id=customer_id, name="default", plan="free", created_at=self._rooms.now())
        return self.create_key(customer_id, "first key", None)

    def authenticate(self, credential: str) -> str:
        """The customer a credential speaks for; see `speaker`."""
        return self.speaker(credential).customer_id

    def speaker(self, credential: str) -> Speaker:
        """Who a credential is.

        Raises NotAuthenticated, with the same words whatever is wrong with the key itself.
        """
        prefix, _, rest = credential.partition("_")
        key_id, dot, secret = rest.partition(".")
        if prefix != "rmk" or not dot or not credential.isascii():
            raise NotAuthenticated("This is not a management key: one looks like rmk_<id>.<secret>")
        with self._rooms.store.read() as tx:
            row = accounts.management_key_by_key_id(tx, key_id)
        stored = row.secret_hash if row else _hash("")
        matches = hmac.compare_digest(stored, _hash(secret))
        if row is None or not matches or row.revoked_at is not None:
            raise NotAuthenticated("This management key is not valid: it is unknown or revoked")
        now = self._rooms.now()
        if row.expires_at is not None and row.expires_at <= now:
            raise NotAuthenticated("This management key has expired; create another")
        if row.last_used_at is None or now - row.last_used_at > _USE_NOTED_EVERY:
            with self._rooms.store.write() as tx:
                accounts.touch_management_key(tx, row.id, now)
        return Speaker(row.customer_id, row.key_id, row.name)

    def keys(self, customer_id: str) -> list[ManagementKey]:
        with self._rooms.store.read() as tx:
            return accounts.management_keys_of(tx, customer_id)

    def create_key(self, customer_id: str, name: str, expires_at: datetime | None) -> NewKey:
        now = self._rooms.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("expiresAt is in the past; a key with it could never be used")
        row_id, key_id, secret = new_id(), secrets.token_hex(8), secrets.token_urlsafe(32)
        with self._rooms.store.write() as tx:
            accounts.add_management_key(
                tx,
                id=row_id,
                customer_id=customer_id,
                key_id=key_id,
                name=name,
                secret_hash=_hash(secret),
                created_at=now,
                expires_at=expires_at,
            )
            row = accounts.management_key(tx, customer_id, row_id)
            made = {"name": name, "key_id": key_id, "expires_at": expires_at}
            note(tx, now, customer_id, "managementKey.create", row_id, after=made)
        assert row is not None
        return NewKey(row, f"rmk_{key_id}.{secret}")

    def revoke_key(self, customer_id: str, row_id: str) -> None:
        row_id = canonical_id(row_id, "management key")
        with self._rooms.store.write() as tx:
            row = accounts.management_key(tx, customer_id, row_id)
            if row is None:
                raise NotFound("There is no management key with this id in your account")
            now = self._rooms.now()
            accounts.revoke_management_key(tx, row_id, now)
            if row.revoked_at is None:
                note_change(tx, now, customer_id, "managementKey.revoke", row, {"revoked_at": now})


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
