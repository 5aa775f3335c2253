"""Queries about customers, their management keys and logins, and the operator's keys.

Called by control; every function runs in the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import delete, insert, select, update

from reflexdb.records.pages import EVERYTHING, KeyStatus, Page, of_key_status, paged
from reflexdb.records.rows import Customer, LoginRow, ManagementKey, OperatorKey, noun
from reflexdb.records.tables import customers, logins, management_keys, operator_keys


def add_customer(tx: Tx, **values: Any) -> None:
    tx.execute(insert(customers).values(**values))


def customer(tx: Tx, customer_id: str) -> Customer | None:
    row = tx.execute(select(customers).where(customers.c.id == customer_id)).first()
    return noun(Customer, row) if row else None


def hold_customer(tx: Tx, customer_id: str) -> Customer | None:
    """The customer, for this transaction alone: whatever is counted for it stays true until the end."""
    row = tx.execute(select(customers).where(customers.c.id == customer_id).with_for_update()).first()
    return noun(Customer, row) if row else None


def first_customer(tx: Tx) -> Customer | None:
    row = tx.execute(select(customers).order_by(customers.c.created_at, customers.c.id).limit(1)).first()
    return noun(Customer, row) if row else None


def customers_after(tx: Tx, after: tuple[datetime, str] | None, limit: int) -> list[Customer]:
    """Oldest first, those after a time and id."""
    query = select(customers).order_by(customers.c.created_at, customers.c.id).limit(limit)
    if after is not None:
        time, id_ = after
        created = customers.c.created_at
        query = query.where((created > time) | ((created == time) & (customers.c.id > id_)))
    return [noun(Customer, row) for row in tx.execute(query)]


def change_customer(tx: Tx, customer_id: str, **values: Any) -> None:
    tx.execute(update(customers).where(customers.c.id == customer_id).values(**values))


def add_management_key(tx: Tx, **values: Any) -> None:
    tx.execute(insert(management_keys).values(**values))


def management_keys_of(
    tx: Tx, customer_id: str, page: Page = EVERYTHING, status: tuple[KeyStatus, datetime] | None = None
) -> list[ManagementKey]:
    """Of the status as it is at the time given with it."""
    table = management_keys
    query = select(table).where(table.c.customer_id == customer_id)
    if status is not None:
        query = query.where(of_key_status(table, *status))
    return [noun(ManagementKey, row) for row in tx.execute(paged(query, table, page))]


def management_key_by_key_id(tx: Tx, key_id: str) -> ManagementKey | None:
    row = tx.execute(select(management_keys).where(management_keys.c.key_id == key_id)).first()
    return noun(ManagementKey, row) if row else None


def management_key(tx: Tx, customer_id: str, row_id: str) -> ManagementKey | None:
    table = management_keys
    row = tx.execute(select(table).where(table.c.id == row_id, table.c.customer_id == customer_id)).first()
    return noun(ManagementKey, row) if row else None


def touch_management_key(tx: Tx, row_id: str, now: datetime) -> None:
    tx.execute(update(management_keys).where(management_keys.c.id == row_id).values(last_used_at=now))


def revoke_management_key(tx: Tx, row_id: str, now: datetime) -> None:
    table = management_keys
    tx.execute(update(table).where(table.c.id == row_id, table.c.revoked_at.is_(None)).values(revoked_at=now))


def add_login(tx: Tx, **values: Any) -> None:
    tx.execute(insert(logins).values(**values))


def login_of_subject(tx: Tx, issuer: str, subject: str) -> LoginRow | None:
    row = tx.execute(select(logins).where(logins.c.issuer == issuer, logins.c.subject == subject)).first()
    return noun(LoginRow, row) if row else None


def login(tx: Tx, customer_id: str, row_id: str) -> LoginRow | None:
    row = tx.execute(select(logins).where(logins.c.id == row_id, logins.c.customer_id == customer_id)).first()
    return noun(LoginRow, row) if row else None


def logins_of(tx: Tx, customer_id: str) -> list[LoginRow]:
    query = select(logins).where(logins.c.customer_id == customer_id).order_by(logins.c.created_at, logins.c.id)
    return [noun(LoginRow, row) for row in tx.execute(query)]


def touch_login(tx: Tx, row_id: str, now: datetime) -> None:
    tx.execute(update(logins).where(logins.c.id == row_id).values(last_used_at=now))


def remove_login(tx: Tx, row_id: str) -> None:
    tx.execute(delete(logins).where(logins.c.id == row_id))


def add_operator_key(tx: Tx, **values: Any) -> None:
    tx.execute(insert(operator_keys).values(**values))


def has_operator_key(tx: Tx) -> bool:
    """Whether there ever was one, revoked or not."""
    return tx.execute(select(operator_keys.c.id).limit(1)).first() is not None


def operator_key_by_key_id(tx: Tx, key_id: str) -> OperatorKey | None:
    row = tx.execute(select(operator_keys).where(operator_keys.c.key_id == key_id)).first()
    return noun(OperatorKey, row) if row else None


def touch_operator_key(tx: Tx, row_id: str, now: datetime) -> None:
    tx.execute(update(operator_keys).where(operator_keys.c.id == row_id).values(last_used_at=now))


def revoke_operator_keys(tx: Tx, now: datetime) -> None:
    """Every one that is valid."""
    tx.execute(update(operator_keys).where(operator_keys.c.revoked_at.is_(None)).values(revoked_at=now))
