"""Queries about the shapes of what is asked of a database.

Called by control; every function runs in the caller's transaction. How many shapes of a database are kept is bounded:
those that were seen longest ago go first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import delete, insert, select, update

from reflexdb.records.rows import ShapeRow, noun
from reflexdb.records.tables import query_shapes as table

MAX_KEPT = 1_000
OTHER = "other"


def add(tx: Tx, database_id: str, shapes: Iterable[tuple[Mapping[str, Any] | None, int]], now: datetime) -> None:
    """Each with how many queries more had it."""
    for shape, queries in shapes:
        digest = _digest(shape)
        place = (table.c.database_id == database_id) & (table.c.digest == digest)
        changed = tx.execute(update(table).where(place).values(queries=table.c.queries + queries, last_seen_at=now))
        if changed.rowcount == 0:
            seen = {"queries": queries, "first_seen_at": now, "last_seen_at": now}
            tx.execute(insert(table).values(database_id=database_id, digest=digest, shape=shape, **seen))


def forget(tx: Tx, database_id: str, before: datetime) -> None:
    """What was last seen before that time, and the oldest of too many."""
    mine = table.c.database_id == database_id
    tx.execute(delete(table).where(mine, table.c.last_seen_at < before))
    newest = select(table.c.digest).where(mine).order_by(table.c.last_seen_at.desc(), table.c.digest)
    spare = list(tx.execute(newest.offset(MAX_KEPT).limit(10 * MAX_KEPT)).scalars())
    if spare:
        tx.execute(delete(table).where(mine, table.c.digest.in_(spare)))


def of(tx: Tx, database_id: str) -> list[ShapeRow]:
    """The most asked first."""
    query = select(table).where(table.c.database_id == database_id)
    return [noun(ShapeRow, row) for row in tx.execute(query.order_by(table.c.queries.desc(), table.c.digest))]


def _digest(shape: Mapping[str, Any] | None) -> str:
    if shape is None:
        return OTHER
    return hashlib.sha256(json.dumps(shape, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()
