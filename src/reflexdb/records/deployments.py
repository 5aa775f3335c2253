"""Queries about deployments. Called by control; every function runs in the caller's transaction.

A deployment is written before it is started, serves from `serving_at` to `retired_at`, and at most one of a database
serves.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import func, insert, select, update

from reflexdb.records.pages import chunks
from reflexdb.records.rows import DeploymentRow, noun
from reflexdb.records.tables import builds, databases
from reflexdb.records.tables import deployments as table

_SERVES = table.c.serving_at.is_not(None) & table.c.retired_at.is_(None)


def add(tx: Tx, **values: Any) -> None:
    tx.execute(insert(table).values(row_counts={}, replication_paused=False, **values))


def by_id(tx: Tx, deployment_id: str) -> DeploymentRow:
    return noun(DeploymentRow, tx.execute(select(table).where(table.c.id == deployment_id)).one())


def serving(tx: Tx, database_id: str) -> DeploymentRow | None:
    row = tx.execute(select(table).where(table.c.database_id == database_id, _SERVES)).first()
    return noun(DeploymentRow, row) if row else None


def all_serving(tx: Tx) -> dict[str, DeploymentRow]:
    """By database."""
    rows = [noun(DeploymentRow, row) for row in tx.execute(select(table).where(_SERVES))]
    return {row.database_id: row for row in rows}


def serving_ids(tx: Tx) -> dict[str, str]:
    """The deployment that serves, by database."""
    return {row.database_id: row.id for row in tx.execute(select(table.c.database_id, table.c.id).where(_SERVES))}


def serving_of(tx: Tx, database_ids: Collection[str]) -> dict[str, DeploymentRow]:
    """What serves of these, by database."""
    of_these = (select(table).where(table.c.database_id.in_(some), _SERVES) for some in chunks(database_ids))
    rows = [noun(DeploymentRow, row) for query in of_these for row in tx.execute(query)]
    return {row.database_id: row for row in rows}


def newest_live(tx: Tx, database_id: str) -> DeploymentRow | None:
    """The one that serves, or the one being started where none serves."""
    row = tx.execute(
        select(table)
        .where(table.c.database_id == database_id, table.c.retired_at.is_(None))
        .order_by(table.c.serving_at.is_(None), table.c.created_at.desc())
        .limit(1)
    ).first()
    return noun(DeploymentRow, row) if row else None


def last_served(tx: Tx, database_id: str) -> DeploymentRow | None:
    """The newest that ever served: what a paused database resumes."""
    row = tx.execute(
        select(table)
        .where(table.c.database_id == database_id, table.c.serving_at.is_not(None))
        .order_by(table.c.serving_at.desc())
        .limit(1)
    ).first()
    return noun(DeploymentRow, row) if row else None


def last_of_build(tx: Tx, build_id: str) -> DeploymentRow | None:
    """The newest that ever served this build."""
    row = tx.execute(
        select(table)
        .where(table.c.build_id == build_id, table.c.serving_at.is_not(None))
        .order_by(table.c.serving_at.desc())
        .limit(1)
    ).first()
    return noun(DeploymentRow, row) if row else None


def change(tx: Tx, deployment_id: str, now: datetime, **values: Any) -> None:
    tx.execute(update(table).where(table.c.id == deployment_id).values(updated_at=now, **values))


def retire_others(tx: Tx, database_id: str, now: datetime, *, but: str = "") -> None:
    """Everything of the database that is not `but` no longer runs."""
    tx.execute(
        update(table)
        .where(table.c.database_id == database_id, table.c.retired_at.is_(None), table.c.id != but)
        .values(retired_at=now, updated_at=now)
    )


def unreleased(tx: Tx, database_id: str | None = None) -> list[DeploymentRow]:
    """Retired ones that may have left something at their source, of one database or of all."""
    query = select(table).where(table.c.retired_at.is_not(None), table.c.capture_schema.is_not(None))
    if database_id is not None:
        query = query.where(table.c.database_id == database_id)
    return [noun(DeploymentRow, row) for row in tx.execute(query)]


def captured(tx: Tx, database_id: str) -> list[DeploymentRow]:
    """All of the database that may have something at their source, running or not."""
    query = select(table).where(table.c.database_id == database_id, table.c.capture_schema.is_not(None))
    return [noun(DeploymentRow, row) for row in tx.execute(query)]


def password_refs(tx: Tx) -> set[str]:
    """Passwords that running deployments, and the clearing up after retired ones, still need."""
    needed = table.c.retired_at.is_(None) | table.c.capture_schema.is_not(None)
    rows = tx.execute(select(table.c.password_ref).where(needed, table.c.password_ref.is_not(None)))
    return {row.password_ref for row in rows}


def image_digests(tx: Tx) -> set[str]:
    """Of builds that serve, are being put in place, or served last: what a paused database resumes with."""
    newer = table.alias()
    later = select(newer.c.id).where(
        newer.c.database_id == table.c.database_id, newer.c.serving_at > table.c.serving_at
    )
    last = table.c.serving_at.is_not(None) & ~later.exists()
    alive = databases.c.deleted_at.is_(None)
    needed = table.c.retired_at.is_(None) | (last & alive)
    query = select(builds.c.image_digest).where(
        builds.c.id == table.c.build_id, databases.c.id == table.c.database_id, needed
    )
    return set(tx.execute(query).scalars()) - {None}


def by_health(tx: Tx) -> dict[str, int]:
    """How many serve, by what they were last seen to be."""
    rows = tx.execute(select(table.c.health_status, func.count()).where(_SERVES).group_by(table.c.health_status)).all()
    return {health or "unreachable": count for health, count in rows}
