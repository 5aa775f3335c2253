"""Queries about databases.

Called by control; every function runs in the caller's transaction. Deleted ones are not found by an account.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import Select, String, func, insert, select, type_coerce, update

from reflexdb.model.lifecycle import NOTHING_RUNS, STABLE
from reflexdb.records.columns import rows_as_json
from reflexdb.records.pages import Page, chunks, paged
from reflexdb.records.rows import DatabaseRow, noun
from reflexdb.records.tables import connections, deployments
from reflexdb.records.tables import databases as table

_ALIVE = table.c.deleted_at.is_(None)


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(**values))


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


def versions(tx: Tx, customer_id: str, page: Page, statuses: Collection[str] | None) -> str:
    """Of each database, oldest first: when it was made, its id, and what changes whenever anything does that a list
    shows of it. A JSON array of arrays, to be compared with an earlier one before anybody reads it."""
    query = (
        select(
            type_coerce(table.c.created_at, String),
            table.c.id,
            type_coerce(table.c.updated_at, String),
            type_coerce(connections.c.updated_at, String).label("connected"),
            deployments.c.id.label("deployment"),
            deployments.c.endpoint_url,
            deployments.c.health_status,
            deployments.c.health_reason,
        )
        .join(connections, connections.c.id == table.c.connection_id)
        .outerjoin(
            deployments,
            (deployments.c.database_id == table.c.id)
            & deployments.c.serving_at.is_not(None)
            & deployments.c.retired_at.is_(None),
        )
        .where(table.c.customer_id == customer_id, _ALIVE)
    )
    if statuses is not None:
        query = query.where(table.c.status.in_(statuses))
    return rows_as_json(tx, paged(query, table, page))


def desiring(tx: Tx) -> set[str]:
    """Those that something is queued for."""
    return set(tx.execute(select(table.c.id).where(table.c.desired_state.is_not(None), _ALIVE)).scalars())


def scheduled(tx: Tx) -> set[str]:
    """Those that pause and resume by the clock."""
    return set(tx.execute(select(table.c.id).where(table.c.pause_schedule.is_not(None), _ALIVE)).scalars())


def without_need(tx: Tx, running: Collection[str]) -> set[str]:
    """Those of the running ones of which nothing should run."""
    resting = table.c.status.in_([status.value for status in NOTHING_RUNS])
    return {
        each for some in chunks(running) for each in tx.execute(_of(select(table.c.id), some).where(resting)).scalars()
    }


def alive(tx: Tx, ids: Collection[str]) -> set[str]:
    """Those of these ids that are not deleted."""
    return {each for some in chunks(ids) for each in tx.execute(_of(select(table.c.id), some)).scalars()}


def these(tx: Tx, ids: Collection[str]) -> list[DatabaseRow]:
    """Those of these ids that are not deleted, oldest first."""
    rows = [noun(DatabaseRow, row) for some in chunks(ids) for row in tx.execute(_of(select(table), some))]
    return sorted(rows, key=lambda row: (row.created_at, row.id))


def _of(query: Select[Any], ids: list[str]) -> Select[Any]:
    return query.where(table.c.id.in_(ids), _ALIVE)


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


def by_status(tx: Tx) -> dict[str, int]:
    """How many there are in each status."""
    counted = select(table.c.status, func.count()).where(table.c.deleted_at.is_(None)).group_by(table.c.status)
    return {row[0]: row[1] for row in tx.execute(counted)}


def oldest_desire(tx: Tx) -> datetime | None:
    """When the longest waiting desired state that could be pursued now was written down."""
    at_rest = [status.value for status in STABLE]
    query = select(table.c.updated_at).where(
        table.c.desired_state.is_not(None), table.c.deleted_at.is_(None), table.c.status.in_(at_rest)
    )
    found: datetime | None = tx.execute(query.order_by(table.c.updated_at).limit(1)).scalar()
    return found
