"""What the operator does to customers: make, rename, suspend and restore them, and link an issuer's users to them.

Called by the API's routes under /admin, which let nobody else in. A suspended customer's credentials are refused;
what runs goes on running. Nothing here removes a customer: its builds and its audit stay.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection as Tx

from reflexdb.control.audit import note, note_change
from reflexdb.control.logins import add_customer, add_login
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.model.errors import Conflict, NotFound, Unavailable
from reflexdb.records import accounts
from reflexdb.records.rows import Customer, LoginRow


class Customers:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def page(self, after: tuple[datetime, str] | None, limit: int) -> tuple[list[Customer], bool]:
        """Oldest first, and whether there are more."""
        with self._rooms.store.read() as tx:
            rows = accounts.customers_after(tx, after, limit + 1)
        return rows[:limit], len(rows) > limit

    def get(self, customer_id: str) -> Customer:
        """Raises NotFound, as everything here does for a customer that is not there."""
        with self._rooms.store.read() as tx:
            return _found(tx, customer_id)

    def create(self, name: str) -> Customer:
        customer_id = new_id()
        with self._rooms.store.write() as tx:
            add_customer(tx, self._rooms, customer_id, name)
            return _found(tx, customer_id)

    def change(self, customer_id: str, name: str | None, suspended: bool | None) -> Customer:
        """None leaves as it is."""
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            row = _found(tx, customer_id)
            changes: dict[str, object] = {}
            if name is not None and name != row.name:
                changes["name"] = name
            if suspended is not None and suspended is (row.suspended_at is None):
                changes["suspended_at"] = now if suspended else None
            if changes:
                accounts.change_customer(tx, row.id, **changes)
                note_change(tx, now, row.id, "customer.update", row, changes)
            return _found(tx, row.id)

    def logins(self, customer_id: str) -> list[LoginRow]:
        with self._rooms.store.read() as tx:
            return accounts.logins_of(tx, _found(tx, customer_id).id)

    def link(self, customer_id: str, subject: str, name: str) -> LoginRow:
        """From now on the issuer's user with this subject speaks for the customer."""
        issuer = self._rooms.settings.issuer
        if issuer is None:
            raise Unavailable(
                "No OIDC issuer is configured, so nobody can log in with its tokens; see `reflexdb serve`"
            )
        with self._rooms.store.write() as tx:
            customer = _found(tx, customer_id)
            if accounts.login_of_subject(tx, issuer.issuer, subject) is not None:
                raise Conflict("This subject already speaks for a customer; remove that login first")
            row_id = add_login(tx, self._rooms, customer.id, issuer.issuer, subject, name)
            made = accounts.login(tx, customer.id, row_id)
        assert made is not None
        return made

    def unlink(self, customer_id: str, login_id: str) -> None:
        with self._rooms.store.write() as tx:
            customer = _found(tx, customer_id)
            row = accounts.login(tx, customer.id, canonical_id(login_id, "login"))
            if row is None:
                raise NotFound("This customer has no login with this id")
            accounts.remove_login(tx, row.id)
            note(tx, self._rooms.now(), customer.id, "login.delete", row.id, before={"subject": row.subject})


def _found(tx: Tx, customer_id: str) -> Customer:
    row = accounts.customer(tx, canonical_id(customer_id, "customer"))
    if row is None:
        raise NotFound("There is no customer with this id")
    return row
