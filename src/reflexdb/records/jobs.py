"""Queries about jobs: what the reconciler has to carry out.

Called by control; every function runs in the caller's transaction.

A job is written in the transaction that accepts an action, owned by the process that carries it out, and finished in
the transaction that writes its outcome. At most one of a database is unfinished; an unfinished one with a foreign
owner was interrupted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy import Connection as Tx

from reflexdb.records.rows import JobRow, noun
from reflexdb.records.tables import jobs as table


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(attempt=1, **values))


def unfinished(tx: Tx) -> dict[str, JobRow]:
    """By database."""
    rows = [noun(JobRow, row) for row in tx.execute(select(table).where(table.c.finished_at.is_(None)))]
    return {row.database_id: row for row in rows}


def of_database(tx: Tx, database_id: str) -> JobRow | None:
    """The unfinished one."""
    row = tx.execute(select(table).where(table.c.database_id == database_id, table.c.finished_at.is_(None))).first()
    return noun(JobRow, row) if row else None


def last_chosen(tx: Tx, database_id: str) -> JobRow | None:
    """The newest that put a build in place because somebody wanted that one, and succeeded: not a restore."""
    kinds = ("provision", "rebuild", "redeploy", "rollback")
    chosen = (table.c.database_id == database_id, table.c.finished_at.is_not(None), table.c.error.is_(None))
    kind = func.coalesce(table.c.kind, table.c.action).in_(kinds)
    row = tx.execute(select(table).where(*chosen, kind).order_by(table.c.created_at.desc()).limit(1)).first()
    return noun(JobRow, row) if row else None


def of_build(tx: Tx, build_id: str) -> JobRow | None:
    """An unfinished one that works on this build."""
    row = tx.execute(select(table).where(table.c.build_id == build_id, table.c.finished_at.is_(None))).first()
    return noun(JobRow, row) if row else None


def get(tx: Tx, database_id: str, job_id: str) -> JobRow | None:
    row = tx.execute(select(table).where(table.c.database_id == database_id, table.c.id == job_id)).first()
    return noun(JobRow, row) if row else None


def by_id(tx: Tx, job_id: str) -> JobRow:
    return noun(JobRow, tx.execute(select(table).where(table.c.id == job_id)).one())


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; `before` is the time and id of one, and only those after it, newest first, are wanted."""

    outcome: str | None = None
    since: datetime | None = None
    before: tuple[datetime, str] | None = None


def _ended(outcome: str) -> ColumnElement[bool]:
    if outcome == "pending":
        return and_(table.c.finished_at.is_(None), table.c.started_at.is_(None))
    if outcome == "in_progress":
        return and_(table.c.finished_at.is_(None), table.c.started_at.is_not(None))
    good = or_(table.c.error.is_(None), table.c.error == "")
    return and_(table.c.finished_at.is_not(None), good if outcome == "succeeded" else ~good)


def deploying(tx: Tx, database_id: str, actions: Collection[str], wanted: JobFilter, *, limit: int) -> list[JobRow]:
    """Newest first."""
    query = select(table).where(table.c.database_id == database_id, table.c.action.in_(actions))
    if wanted.outcome is not None:
        query = query.where(_ended(wanted.outcome))
    if wanted.since is not None:
        query = query.where(table.c.created_at >= wanted.since)
    if wanted.before is not None:
        created, job_id = wanted.before
        query = query.where(or_(table.c.created_at < created, and_(table.c.created_at == created, table.c.id < job_id)))
    rows = tx.execute(query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit))
    return [noun(JobRow, row) for row in rows]


def change(tx: Tx, job_id: str, **values: Any) -> None:
    tx.execute(update(table).where(table.c.id == job_id).values(**values))


def finish(tx: Tx, job_id: str, now: datetime, **error: str | None) -> None:
    """`error`, with its `error_code` and `error_step`, where it failed."""
    change(tx, job_id, finished_at=now, **error)


def count(tx: Tx, database_id: str) -> int:
    return tx.execute(select(func.count()).select_from(table).where(table.c.database_id == database_id)).scalar_one()


def waiting(tx: Tx, owner: str) -> tuple[int, int, datetime | None]:
    """How many unfinished ones `owner` is busy with, how many wait, and when the oldest of these was asked for."""
    mine, other = table.c.owner == owner, or_(table.c.owner.is_(None), table.c.owner != owner)
    counted = select(func.count()).select_from(table).where(table.c.finished_at.is_(None))
    running = tx.execute(counted.where(mine)).scalar_one()
    queued = tx.execute(counted.where(other)).scalar_one()
    oldest = select(table.c.created_at).where(table.c.finished_at.is_(None), other).order_by(table.c.created_at)
    since: datetime | None = tx.execute(oldest.limit(1)).scalar()
    return running, queued, since
