"""The customer that a token's user belongs to: as the issuer says, or as was written down for the user.

Asked by `control/accounts.py` once a token is verified. A claim of the issuer's wins; then the login that was kept for
the token's subject. Who has neither is refused or gets a new customer, as the operator has chosen. Refuses to know
how a token is checked.
"""

from __future__ import annotations

from dataclasses import replace

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.audit import note
from reflexdb.control.credentials import use_is_news
from reflexdb.control.origin import acting, origin
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.control.tokens import Token
from reflexdb.model.errors import NotAuthenticated, NotFound
from reflexdb.model.issuer import FirstLogin
from reflexdb.records import accounts

log = structlog.get_logger()


class Logins:
    def __init__(self, rooms: Rooms, first_login: FirstLogin) -> None:
        self._rooms = rooms
        self._first_login = first_login

    def customer_of(self, token: Token, *, operator: bool) -> str:
        """Raises NotAuthenticated where there is none; an operator without one gets the first customer."""
        known = self._known(token)
        if known is None and operator:
            with self._rooms.store.read() as tx:
                first = accounts.first_customer(tx)
            known = first.id if first else None
        return known or self._newcomer(token)

    def _known(self, token: Token) -> str | None:
        wanted = _claimed(token)
        with self._rooms.store.read() as tx:
            if wanted is not None:
                return wanted if accounts.customer(tx, wanted) else None
            login = accounts.login_of_subject(tx, token.issuer, token.subject)
        if login is None:
            return None
        now = self._rooms.now()
        if use_is_news(login.last_used_at, now):
            with self._rooms.store.write() as tx:
                accounts.touch_login(tx, login.id, now)
        return login.customer_id

    def _newcomer(self, token: Token) -> str:
        if self._first_login is FirstLogin.REFUSE:
            log.warning("login_refused", subject=token.subject, name=token.name, customer=_claimed(token))
            raise NotAuthenticated(
                "The token is good, but its user belongs to no account here; ask the operator for one"
            )
        wanted = _claimed(token)
        who = replace(origin(), key_id=token.handle, key_name=token.name)
        with acting(who), self._rooms.store.write() as tx:
            return self._made_for(tx, token) if wanted is None else self._made_as(tx, token, wanted)

    def _made_as(self, tx: Tx, token: Token, customer_id: str) -> str:
        if accounts.customer(tx, customer_id) is None:
            add_customer(tx, self._rooms, customer_id, token.name)
        return customer_id

    def _made_for(self, tx: Tx, token: Token) -> str:
        """A customer for the token's subject; the one that another request has made meanwhile, where there is one."""
        login = accounts.login_of_subject(tx, token.issuer, token.subject)
        if login is not None:
            return login.customer_id
        customer_id = new_id()
        add_customer(tx, self._rooms, customer_id, token.name)
        add_login(tx, self._rooms, customer_id, token.issuer, token.subject, token.name)
        return customer_id


def add_customer(tx: Tx, rooms: Rooms, customer_id: str, name: str) -> None:
    now, plan = rooms.now(), rooms.settings.plans.default
    accounts.add_customer(tx, id=customer_id, name=name, plan=plan, created_at=now)
    note(tx, now, customer_id, "customer.create", customer_id, after={"name": name, "plan": plan})


def add_login(tx: Tx, rooms: Rooms, customer_id: str, issuer: str, subject: str, name: str) -> str:
    now, row_id = rooms.now(), new_id()
    accounts.add_login(
        tx, id=row_id, customer_id=customer_id, issuer=issuer, subject=subject, name=name, created_at=now
    )
    made = {"issuer": issuer, "subject": subject, "name": name}
    note(tx, now, customer_id, "login.create", row_id, after=made)
    return row_id


def _claimed(token: Token) -> str | None:
    """The customer's id that the issuer has put into the token."""
    if token.customer is None:
        return None
    try:
        return canonical_id(token.customer, "customer")
    except NotFound:
        raise NotAuthenticated("The token's claim for the customer is not the id of one: it must be a UUID") from None
