"""Queries about requests with an Idempotency-Key and the answers kept for them.

Called by control; every function runs in the caller's transaction. Request and answer are sealed: an answer may hold
a key that is shown once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import delete, insert, select, update

from reflexdb.records.rows import RepeatRow, noun
from reflexdb.records.tables import repeats as table


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(**values))


def get(tx: Tx, customer_id: str, key: str) -> RepeatRow | None:
    row = tx.execute(select(table).where(table.c.customer_id == customer_id, table.c.key == key)).first()
    return noun(RepeatRow, row) if row else None


def change(tx: Tx, customer_id: str, key: str, **values: Any) -> None:
    tx.execute(update(table).where(table.c.customer_id == customer_id, table.c.key == key).values(**values))


def remove(tx: Tx, customer_id: str, key: str) -> None:
    tx.execute(delete(table).where(table.c.customer_id == customer_id, table.c.key == key))


def forget_before(tx: Tx, time: datetime) -> None:
    tx.execute(delete(table).where(table.c.created_at < time))
