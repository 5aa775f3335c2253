"""Queries about builds.

Called by control; every function runs in the caller's transaction. Numbers count from 1 per database, without gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import func, insert, select, update

from reflexdb.records.rows import BuildRow, noun
from reflexdb.records.tables import builds as table


def add(tx: Tx, *, database_id: str, **values: Any) -> None:
    last = tx.execute(select(func.max(table.c.number)).where(table.c.database_id == database_id)).scalar()
    tx.execute(insert(table).values(database_id=database_id, number=(last or 0) + 1, **values))


@dataclass(frozen=True, slots=True)
class BuildFilter:
    """Which builds of a database; `before` is a number, and only older ones are wanted."""

    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


def chosen(tx: Tx, database_id: str, wanted: BuildFilter) -> list[BuildRow]:
    """Newest first."""
    query = select(table).where(table.c.database_id == database_id)
    if wanted.status is not None:
        query = query.where(table.c.status == wanted.status)
    if wanted.since is not None:
        query = query.where(table.c.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(table.c.created_at < wanted.until)
    if wanted.before is not None:
        query = query.where(table.c.number < wanted.before)
    return [noun(BuildRow, row) for row in tx.execute(query.order_by(table.c.number.desc()))]


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


def image_digests(tx: Tx) -> set[str]:
    """Of every image that a build has made."""
    return set(tx.execute(select(table.c.image_digest).where(table.c.image_digest.is_not(None)).distinct()).scalars())


def move_images(tx: Tx, uri: Callable[[str], str]) -> None:
    """Every image is in another store now, which says where."""
    for digest in image_digests(tx):
        tx.execute(update(table).where(table.c.image_digest == digest).values(image_uri=uri(digest)))


def note_phase(tx: Tx, build_id: str, name: str, started: datetime, finished: datetime | None) -> None:
    """Add a phase, or the end of the one with this name and start."""
    entry = {"name": name, "startedAt": _text(started), "finishedAt": _text(finished)}
    known = tx.execute(select(table.c.phases).where(table.c.id == build_id)).scalar() or []
    others = [each for each in known if (each["name"], each["startedAt"]) != (name, entry["startedAt"])]
    change(tx, build_id, phases=[*others, entry])


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
