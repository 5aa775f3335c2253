"""Queries about databases.

Called by control; every function runs in the caller's transaction. Deleted ones are not found by an account.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import func, insert, select, update

from reflexdb.records.pages import EVERYTHING, Page, paged
from reflexdb.records.rows import DatabaseRow, noun
from reflexdb.records.tables import databases as table


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(**values))


def of_customer(
    tx: Tx, customer_id: str, page: Page = EVERYTHING, statuses: Collection[str] | None = None
) -> list[DatabaseRow]:
    query = select(table).where(table.c.customer_id == customer_id, table.c.deleted_at.is_(None))
    if statuses is not None:
        query = query.where(table.c.status.in_(statuses))
    return [noun(DatabaseRow, row) for row in tx.execute(paged(query, table, page))]


def of_connection(tx: Tx, connection_id: str) -> list[DatabaseRow]:
    rows = tx.execute(
        select(table)
        .where(table.c.connection_id == connection_id, table.c.deleted_at.is_(None))
        .order_by(table.c.created_at, table.c.id)
    )
    return [noun(DatabaseRow, row) for row in rows]


def everyones(tx: Tx) -> list[DatabaseRow]:
    """All that are not deleted, of every account: what the reconciler looks after."""
    rows = tx.execute(select(table).where(table.c.deleted_at.is_(None)).order_by(table.c.created_at, table.c.id))
    return [noun(DatabaseRow, row) for row in rows]


def count(tx: Tx, customer_id: str) -> int:
    mine = (table.c.customer_id == customer_id, table.c.deleted_at.is_(None))
    return tx.execute(select(func.count()).select_from(table).where(*mine)).scalar_one()


def get(tx: Tx, customer_id: str, database_id: str) -> DatabaseRow | None:
    row = tx.execute(
        select(table).where(table.c.id == database_id, table.c.customer_id == customer_id, table.c.deleted_at.is_(None))
    ).first()
    return noun(DatabaseRow, row) if row else None


def by_id(tx: Tx, database_id: str) -> DatabaseRow:
    """A database that a job or a key refers to, deleted or not."""
    return noun(DatabaseRow, tx.execute(select(table).where(table.c.id == database_id)).one())


def taken(tx: Tx, column: str, value: object, *, connection_id: str | None = None, apart_from: str = "") -> bool:
    """Whether another database has this value; names are compared within one connection, the rest everywhere."""
    query = select(table.c.id).where(table.c[column] == value, table.c.deleted_at.is_(None), table.c.id != apart_from)
    if connection_id is not None:
        query = query.where(table.c.connection_id == connection_id)
    return tx.execute(query.limit(1)).first() is not None


def change(tx: Tx, database_id: str, now: datetime, **values: Any) -> None:
    tx.execute(update(table).where(table.c.id == database_id).values(updated_at=now, **values))


def note_schedule_checked(tx: Tx, database_id: str, now: datetime) -> None:
    """Not a change that a person made or wants to see, so `updated_at` stays."""
    tx.execute(update(table).where(table.c.id == database_id).values(schedule_checked_at=now))
