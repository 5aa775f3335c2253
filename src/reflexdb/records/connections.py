"""Queries about connections.

Called by control; every function runs in the caller's transaction. Deleted ones are not found.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import insert, select, update

from reflexdb.records.pages import EVERYTHING, Page, paged
from reflexdb.records.rows import ConnectionRow, noun
from reflexdb.records.tables import connections as table


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(**values))


def of_customer(tx: Tx, customer_id: str, page: Page = EVERYTHING) -> list[ConnectionRow]:
    query = select(table).where(table.c.customer_id == customer_id, table.c.deleted_at.is_(None))
    return [noun(ConnectionRow, row) for row in tx.execute(paged(query, table, page))]


def get(tx: Tx, customer_id: str, connection_id: str) -> ConnectionRow | None:
    row = tx.execute(
        select(table).where(
            table.c.id == connection_id, table.c.customer_id == customer_id, table.c.deleted_at.is_(None)
        )
    ).first()
    return noun(ConnectionRow, row) if row else None


def by_id(tx: Tx, connection_id: str) -> ConnectionRow:
    """A connection that a database refers to, whatever its account."""
    return noun(ConnectionRow, tx.execute(select(table).where(table.c.id == connection_id)).one())


def named(tx: Tx, customer_id: str, name: str) -> ConnectionRow | None:
    row = tx.execute(
        select(table).where(table.c.customer_id == customer_id, table.c.name == name, table.c.deleted_at.is_(None))
    ).first()
    return noun(ConnectionRow, row) if row else None


def change(tx: Tx, connection_id: str, now: datetime, **values: Any) -> None:
    tx.execute(update(table).where(table.c.id == connection_id).values(updated_at=now, **values))


def password_refs(tx: Tx) -> set[str]:
    rows = tx.execute(
        select(table.c.password_ref).where(table.c.deleted_at.is_(None), table.c.password_ref.is_not(None))
    )
    return {row.password_ref for row in rows}
