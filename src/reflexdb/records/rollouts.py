"""Queries about deployments that go step by step, or whose predecessor stands by.

Called by control; every function runs in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import insert, select, update

from reflexdb.records.pages import chunks
from reflexdb.records.rows import RolloutRow, noun
from reflexdb.records.tables import rollouts as table

_UNFINISHED = select(table).where(table.c.ended_at.is_(None))


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(step=0, **values))


def of_job(tx: Tx, job_id: str) -> RolloutRow | None:
    row = tx.execute(select(table).where(table.c.job_id == job_id)).first()
    return noun(RolloutRow, row) if row else None


def of_jobs(tx: Tx, job_ids: list[str]) -> dict[str, RolloutRow]:
    """By job."""
    rows = [noun(RolloutRow, row) for row in tx.execute(select(table).where(table.c.job_id.in_(job_ids)))]
    return {row.job_id: row for row in rows}


def unfinished(tx: Tx) -> list[RolloutRow]:
    return [noun(RolloutRow, row) for row in tx.execute(_UNFINISHED)]


def unfinished_of(tx: Tx, database_ids: Collection[str]) -> dict[str, RolloutRow]:
    """Those of these databases, by database."""
    of_these = (_UNFINISHED.where(table.c.database_id.in_(some)) for some in chunks(database_ids))
    rows = [noun(RolloutRow, row) for query in of_these for row in tx.execute(query)]
    return {row.database_id: row for row in rows}


def of_database(tx: Tx, database_id: str) -> RolloutRow | None:
    """The one that has not ended."""
    row = tx.execute(_UNFINISHED.where(table.c.database_id == database_id)).first()
    return noun(RolloutRow, row) if row else None


def change(tx: Tx, job_id: str, **values: Any) -> None:
    tx.execute(update(table).where(table.c.job_id == job_id).values(**values))
