"""Queries about customers and their management keys.

Called by control; every function runs in the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import insert, select, update

from reflexdb.records.pages import EVERYTHING, KeyStatus, Page, of_key_status, paged
from reflexdb.records.rows import Customer, ManagementKey, noun
from reflexdb.records.tables import customers, management_keys


def add_customer(tx: Tx, **values: Any) -> None:
    tx.execute(insert(customers).values(**values))


def customer(tx: Tx, customer_id: str) -> Customer | None:
    row = tx.execute(select(customers).where(customers.c.id == customer_id)).first()
    return noun(Customer, row) if row else None


def first_customer(tx: Tx) -> Customer | None:
    row = tx.execute(select(customers).order_by(customers.c.created_at, customers.c.id).limit(1)).first()
    return noun(Customer, row) if row else None


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
