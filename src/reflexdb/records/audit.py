"""Queries about the audit. Called by control; every function runs in the caller's transaction.

An entry is written in the transaction of the change that it tells of, so that there is never one without the other.
The database itself refuses to change or remove one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import insert, select

from reflexdb.records.rows import AuditRow, noun
from reflexdb.records.tables import audit as table


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; `before` is a number, and only older ones are wanted."""

    action: str | None = None
    target_id: str | None = None
    key_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(**values))


def chosen(tx: Tx, customer_id: str, wanted: AuditFilter, limit: int) -> list[AuditRow]:
    """Newest first."""
    query = select(table).where(table.c.customer_id == customer_id)
    for column in ("action", "target_id", "key_id"):
        if (value := getattr(wanted, column)) is not None:
            query = query.where(table.c[column] == value)
    if wanted.since is not None:
        query = query.where(table.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(table.c.at < wanted.until)
    if wanted.before is not None:
        query = query.where(table.c.number < wanted.before)
    return [noun(AuditRow, row) for row in tx.execute(query.order_by(table.c.number.desc()).limit(limit))]
