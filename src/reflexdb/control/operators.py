"""The operator's own key: how a control plane without an OIDC issuer is administered.

`rok_<id>.<secret>`: made by the first start and by `reflexdb admin reset-key`, both on the machine that has the data
directory, and kept there in `operator.key`, mode 0600; the records have a hash. No request can make one: whoever could
already read the directory is who may.
"""

from __future__ import annotations

from collections.abc import Callable

from reflexdb.control import credentials
from reflexdb.control.audit import note
from reflexdb.control.rooms import Rooms, new_id
from reflexdb.model.errors import Conflict, NotAuthenticated
from reflexdb.records import accounts
from reflexdb.records.rows import Customer, OperatorKey

Keep = Callable[[str], None]
"""Puts a key where its owner finds it. Called before the key becomes valid: one that was not kept never was."""


class Operators:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def ensure_first(self, keep: Keep) -> bool:
        """Make the first key where there never was one; False where there was."""
        with self._rooms.store.read() as tx:
            if accounts.has_operator_key(tx):
                return False
        self.reset(keep)
        return True

    def reset(self, keep: Keep) -> None:
        """Make a key, and every earlier one invalid. Raises Conflict where no control plane has run here yet."""
        key_id, secret_hash, key = credentials.make(credentials.OPERATOR)
        now, row_id = self._rooms.now(), new_id()
        with self._rooms.store.write() as tx:
            home = accounts.first_customer(tx)
            if home is None:
                raise Conflict("There is nothing to operate here yet: `reflexdb serve` makes the first operator key")
            accounts.revoke_operator_keys(tx, now)
            accounts.add_operator_key(tx, id=row_id, key_id=key_id, secret_hash=secret_hash, created_at=now)
            note(tx, now, home.id, "operatorKey.create", row_id, after={"key_id": key_id})
            keep(key)

    def verify(self, credential: str) -> tuple[OperatorKey, Customer]:
        """The key and the customer it speaks for, the first. Raises NotAuthenticated."""
        key_id, secret = credentials.take_apart(credentials.OPERATOR, credential)
        with self._rooms.store.read() as tx:
            row = accounts.operator_key_by_key_id(tx, key_id)
            home = accounts.first_customer(tx)
        if not credentials.matches(row.secret_hash if row else None, secret) or row is None or row.revoked_at:
            raise NotAuthenticated(
                "This operator key is not valid: it is unknown or was reset; `reflexdb admin reset-key` makes another"
            )
        assert home is not None, "the first key is made after the first customer"
        now = self._rooms.now()
        if credentials.use_is_news(row.last_used_at, now):
            with self._rooms.store.write() as tx:
                accounts.touch_operator_key(tx, row.id, now)
        return row, home
