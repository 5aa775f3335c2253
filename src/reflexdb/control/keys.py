"""API keys of a database: `rxk_<keyId>.<hex HMAC-SHA256(secret, keyId)>`, checked inside its instance.

The key itself is never stored: it can be computed from the database's secret. A change is written first and then told
to the running instance; where that fails, the database is remembered as stale and the health poller tells it again
until it is heard.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime

import structlog

from reflexdb.control.audit import note, note_change
from reflexdb.control.databases import database_secret, found
from reflexdb.control.rooms import Rooms, new_id
from reflexdb.deploy.base import ApiKeySet
from reflexdb.model.errors import InvalidRequest, NotFound, ReflexError
from reflexdb.records import api_keys, deployments
from reflexdb.records.pages import EVERYTHING, KeyStatus, Page
from reflexdb.records.rows import ApiKeyRow

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewApiKey:
    row: ApiKeyRow
    key: str


class Keys:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._stale: set[str] = set()
        self._lock = threading.Lock()
        self._tellings: dict[str, threading.Lock] = {}
        """By database: of two sets of keys the instance must hear the newer one last."""

    def of_database(
        self, customer_id: str, database_id: str, page: Page = EVERYTHING, status: KeyStatus | None = None
    ) -> list[ApiKeyRow]:
        now = self._rooms.now()
        with self._rooms.store.read() as tx:
            database_id = found(tx, customer_id, database_id).id
            return api_keys.of_database(tx, database_id, page, (status, now) if status else None)

    def create(self, customer_id: str, database_id: str, name: str, expires_at: datetime | None) -> NewApiKey:
        now = self._rooms.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest("expiresAt is in the past; a key with it could never be used")
        key_id = secrets.token_hex(8)
        with self._rooms.store.write() as tx:
            row_id, database_id = new_id(), found(tx, customer_id, database_id).id
            api_keys.add(
                tx,
                id=row_id,
                database_id=database_id,
                key_id=key_id,
                name=name,
                created_at=now,
                expires_at=expires_at,
            )
            row = api_keys.find(tx, database_id, row_id)
            made = {"database_id": database_id, "name": name, "key_id": key_id, "expires_at": expires_at}
            note(tx, now, customer_id, "apiKey.create", row_id, after=made)
        assert row is not None
        self.tell(database_id)
        secret = self._rooms.secrets.get(database_secret(database_id))
        return NewApiKey(row, f"rxk_{key_id}.{hmac.new(secret, key_id.encode(), hashlib.sha256).hexdigest()}")

    def revoke(self, customer_id: str, database_id: str, key: str) -> None:
        """By key id or record id. A key that is revoked already stays so."""
        with self._rooms.store.write() as tx:
            database_id = found(tx, customer_id, database_id).id
            row = api_keys.find(tx, database_id, key)
            if row is None:
                raise NotFound("This database has no API key with this id")
            now = self._rooms.now()
            api_keys.revoke(tx, row.id, now)
            if row.revoked_at is None:
                note_change(tx, now, customer_id, "apiKey.revoke", row, {"revoked_at": now})
        self.tell(database_id)

    def accepted(self, database_id: str) -> ApiKeySet:
        """What the database's instance should accept now."""
        with self._rooms.store.read() as tx:
            keys = api_keys.accepted(tx, database_id)
        return ApiKeySet(secret=self._rooms.secrets.get(database_secret(database_id)), keys=keys)

    def tell(self, database_id: str) -> None:
        """Give a running instance its keys; where it can't be reached now, it will be told later."""
        with self._rooms.store.read() as tx:
            if deployments.serving(tx, database_id) is None:
                return
        with self._lock:
            telling = self._tellings.setdefault(database_id, threading.Lock())
        try:
            with telling:
                self._rooms.deployer.set_keys(database_id, self.accepted(database_id))
        except ReflexError as exc:
            log.warning("keys_not_heard", database=database_id, error=exc.message)
            self.mark_stale(database_id)
        else:
            with self._lock:
                self._stale.discard(database_id)

    def mark_stale(self, database_id: str) -> None:
        """The instance may not know its newest keys."""
        with self._lock:
            self._stale.add(database_id)

    def tell_stale(self) -> None:
        with self._lock:
            waiting, self._stale = self._stale, set()
        for database_id in waiting:
            self.tell(database_id)
