"""Who speaks: from a credential to a person or program, and the customer it speaks for.

Three kinds of credentials: a customer's management key (`rmk_`), the operator's own key (`rok_`), and a token of the
configured OIDC issuer. Called by the API for every request and at first start. Refuses to know HTTP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection as Tx

from reflexdb.control import credentials
from reflexdb.control.audit import note, note_change
from reflexdb.control.held import Held
from reflexdb.control.logins import Logins
from reflexdb.control.operators import Operators
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.control.tokens import Tokens, looks_like_token
from reflexdb.model.errors import InvalidRequest, NotAuthenticated, NotFound
from reflexdb.records import accounts
from reflexdb.records.pages import EVERYTHING, KeyStatus, Page
from reflexdb.records.rows import Customer, ManagementKey

ADMIN_GROUP = "reflexdb-admins"
"""Who is in it runs the service: the operator's token, never an account's management key."""

_MOST_KNOWN = 10_000
"""Credentials."""


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


@dataclass(frozen=True, slots=True)
class _Known:
    """A management key that was found good, of an account in good standing."""

    speaker: Speaker
    state: int
    """Of the records, before they were asked."""
    until: datetime
    """When it expires, or its use is to be noted again."""


class Accounts:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._known: Held[_Known] = Held(_MOST_KNOWN, lambda _: 1)
        self.operators = Operators(rooms)
        issuer = rooms.settings.issuer
        self._tokens = Tokens(issuer, rooms.fetch) if issuer else None
        self._logins = Logins(rooms, issuer.first_login) if issuer else None

    def start(self) -> None:
        """Get ready to check tokens, where there is an issuer; waits for nothing."""
        if self._tokens is not None:
            self._tokens.warm()

    def ensure_first(self, keep: Callable[[str], None] = lambda _: None) -> NewKey | None:
        """Create the account and its first key where there is none yet; `keep` has the key before it becomes valid."""
        with self._rooms.store.write() as tx:
            if accounts.first_customer(tx) is not None:
                return None
            customer_id = new_id()
            accounts.add_customer(
                tx,
                id=customer_id,
                name="default",
                plan=self._rooms.settings.plans.default,
                created_at=self._rooms.now(),
            )
            made = self._add_key(tx, customer_id, "first key", None)
            keep(made.key)
            return made

    def remembered(self, credential: str) -> Speaker | None:
        """Who a credential is, where the records are as they were when it was found good; else they must be asked.

        For the event loop, which must not wait: every request of a busy caller begins with this question.
        """
        known = self._known.get(_digest(credential))
        if known is None or known.state != self._rooms.store.state() or known.until <= self._rooms.now():
            return None
        return known.speaker

    def authenticate(self, credential: str) -> str:
        """The customer a credential speaks for; see `speaker`."""
        return self.speaker(credential).customer_id

    def speaker(self, credential: str) -> Speaker:
        """Who a credential is.

        Raises NotAuthenticated, with the same words whatever is wrong with the key itself; Unavailable where a token
        can't be checked now. An operator is let in whatever becomes of the customer, to be able to change it back.
        """
        if credential.startswith(f"{credentials.OPERATOR}_"):
            key, home = self.operators.verify(credential)
            return Speaker(home.id, key.key_id, "operator", frozenset({ADMIN_GROUP}))
        is_token = looks_like_token(credential) and not credential.startswith(f"{credentials.MANAGEMENT}_")
        if not is_token:
            return self._of_key(credential)
        speaker = self._of_token(credential)
        if not speaker.is_admin:
            with self._rooms.store.read() as tx:
                _refuse_suspended(accounts.customer(tx, speaker.customer_id))
        return speaker

    def _of_key(self, credential: str) -> Speaker:
        key_id, secret = credentials.take_apart(credentials.MANAGEMENT, credential)
        state = self._rooms.store.state()
        with self._rooms.store.read() as tx:
            row = accounts.management_key_by_key_id(tx, key_id)
            customer = accounts.customer(tx, row.customer_id) if row else None
        if not credentials.matches(row.secret_hash if row else None, secret) or row is None or row.revoked_at:
            raise NotAuthenticated("This management key is not valid: it is unknown or revoked")
        now = self._rooms.now()
        if row.expires_at is not None and row.expires_at <= now:
            raise NotAuthenticated("This management key has expired; create another")
        if credentials.use_is_news(row.last_used_at, now):
            with self._rooms.store.write() as tx:
                accounts.touch_management_key(tx, row.id, now)
        _refuse_suspended(customer)
        speaker = Speaker(row.customer_id, row.key_id, row.name)
        if state is not None and row.last_used_at is not None:
            until = row.last_used_at + credentials.USE_NOTED_EVERY
            until = until if row.expires_at is None else min(until, row.expires_at)
            self._known.put(_digest(credential), _Known(speaker, state, until))
        return speaker

    def _of_token(self, credential: str) -> Speaker:
        if self._tokens is None or self._logins is None:
            raise NotAuthenticated(
                "Tokens are not accepted: no OIDC issuer is configured here; use a management key, rmk_<id>.<secret>"
            )
        token = self._tokens.read(credential)
        customer_id = self._logins.customer_of(token, operator=ADMIN_GROUP in token.groups)
        return Speaker(customer_id, token.handle, token.name, token.groups)

    def keys(self, customer_id: str, page: Page = EVERYTHING, status: KeyStatus | None = None) -> list[ManagementKey]:
        now = self._rooms.now()
        with self._rooms.store.read() as tx:
            return accounts.management_keys_of(tx, customer_id, page, (status, now) if status else None)

    def create_key(self, customer_id: str, name: str, expires_at: datetime | None) -> NewKey:
        if expires_at is not None and expires_at <= self._rooms.now():
            raise InvalidRequest("expiresAt is in the past; a key with it could never be used")
        with self._rooms.store.write() as tx:
            return self._add_key(tx, customer_id, name, expires_at)

    def _add_key(self, tx: Tx, customer_id: str, name: str, expires_at: datetime | None) -> NewKey:
        now, row_id = self._rooms.now(), new_id()
        key_id, secret_hash, key = credentials.make(credentials.MANAGEMENT)
        accounts.add_management_key(
            tx,
            id=row_id,
            customer_id=customer_id,
            key_id=key_id,
            name=name,
            secret_hash=secret_hash,
            created_at=now,
            expires_at=expires_at,
        )
        made = {"name": name, "key_id": key_id, "expires_at": expires_at}
        note(tx, now, customer_id, "managementKey.create", row_id, after=made)
        row = accounts.management_key(tx, customer_id, row_id)
        assert row is not None
        return NewKey(row, key)

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


def _refuse_suspended(customer: Customer | None) -> None:
    if customer is None or customer.suspended_at is not None:
        raise NotAuthenticated("This account is suspended; ask the operator of the control plane")


def _digest(credential: str) -> str:
    """What is remembered in the place of a credential: what was sent is not kept."""
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
