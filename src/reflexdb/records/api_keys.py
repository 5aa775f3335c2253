"""Queries about the keys that an instance accepts.

Called by control; every function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import insert, or_, select, update

from reflexdb.records.pages import EVERYTHING, KeyStatus, Page, of_key_status, paged
from reflexdb.records.rows import ApiKeyRow, noun
from reflexdb.records.tables import api_keys as table


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(**values))


def of_database(
    tx: Tx, database_id: str, page: Page = EVERYTHING, status: tuple[KeyStatus, datetime] | None = None
) -> list[ApiKeyRow]:
    """Of the status as it is at the time given with it."""
    query = select(table).where(table.c.database_id == database_id)
    if status is not None:
        query = query.where(of_key_status(table, *status))
    return [noun(ApiKeyRow, row) for row in tx.execute(paged(query, table, page))]


def find(tx: Tx, database_id: str, key: str) -> ApiKeyRow | None:
    """By its key id, or by the id of its record."""
    row = tx.execute(
        select(table).where(table.c.database_id == database_id, or_(table.c.key_id == key, table.c.id == key))
    ).first()
    return noun(ApiKeyRow, row) if row else None


def accepted(tx: Tx, database_id: str) -> dict[str, datetime | None]:
    """Key id to the time it expires, of every key that is not revoked."""
    rows = tx.execute(
        select(table.c.key_id, table.c.expires_at).where(
            table.c.database_id == database_id, table.c.revoked_at.is_(None)
        )
    )
    return {row.key_id: row.expires_at for row in rows}


def revoke(tx: Tx, row_id: str, now: datetime) -> None:
    tx.execute(update(table).where(table.c.id == row_id, table.c.revoked_at.is_(None)).values(revoked_at=now))


def note_use(tx: Tx, database_id: str, uses: Mapping[str, datetime]) -> None:
    """Keep the newest time each key was used; an instance that restarted may report less than we know."""
    for key_id, used_at in uses.items():
        tx.execute(
            update(table)
            .where(
                table.c.database_id == database_id,
                table.c.key_id == key_id,
                or_(table.c.last_used_at.is_(None), table.c.last_used_at < used_at),
            )
            .values(last_used_at=used_at)
        )
