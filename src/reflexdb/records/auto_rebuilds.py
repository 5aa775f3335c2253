"""Queries about databases that rebuild by themselves.

Called by control; every function runs in the caller's transaction. A database without a row does not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import insert, select, update

from reflexdb.records.rows import AutoRebuildRow, noun
from reflexdb.records.tables import auto_rebuilds as table
from reflexdb.records.tables import databases


def get(tx: Tx, database_id: str) -> AutoRebuildRow | None:
    row = tx.execute(select(table).where(table.c.database_id == database_id)).first()
    return noun(AutoRebuildRow, row) if row else None


def enabled(tx: Tx) -> list[AutoRebuildRow]:
    """Of databases that are not deleted."""
    query = (
        select(table)
        .join(databases, databases.c.id == table.c.database_id)
        .where(table.c.enabled, databases.c.deleted_at.is_(None))
    )
    return [noun(AutoRebuildRow, row) for row in tx.execute(query)]


def put(tx: Tx, database_id: str, now: datetime, **values: Any) -> None:
    """Change the row, or make it."""
    changed = tx.execute(update(table).where(table.c.database_id == database_id).values(updated_at=now, **values))
    if changed.rowcount == 0:
        tx.execute(
            insert(table).values({"enabled": False, "tries": 0, "database_id": database_id, "updated_at": now} | values)
        )
