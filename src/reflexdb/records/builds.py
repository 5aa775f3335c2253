"""Queries about builds.

Called by control; every function runs in the caller's transaction. Numbers count from 1 per database, without gaps.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import func, insert, select, update

from reflexdb.records.rows import BuildRow, noun
from reflexdb.records.tables import builds as table


def add(tx: Tx, *, database_id: str, **values: Any) -> None:
    last = tx.execute(select(func.max(table.c.number)).where(table.c.database_id == database_id)).scalar()
    tx.execute(insert(table).values(database_id=database_id, number=(last or 0) + 1, **values))


def of_database(tx: Tx, database_id: str) -> list[BuildRow]:
    """Newest first."""
    rows = tx.execute(select(table).where(table.c.database_id == database_id).order_by(table.c.number.desc()))
    return [noun(BuildRow, row) for row in rows]


def get(tx: Tx, database_id: str, build_id: str) -> BuildRow | None:
    row = tx.execute(select(table).where(table.c.id == build_id, table.c.database_id == database_id)).first()
    return noun(BuildRow, row) if row else None


def by_id(tx: Tx, build_id: str) -> BuildRow:
    return noun(BuildRow, tx.execute(select(table).where(table.c.id == build_id)).one())


def change(tx: Tx, build_id: str, **values: Any) -> None:
    tx.execute(update(table).where(table.c.id == build_id).values(**values))
