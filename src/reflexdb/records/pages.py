"""A part of a list, oldest first: how every list query is cut; and how what is asked for by its ids is.

Used by the query modules. The order is that of creation, with the id to tell apart what was created at once; both stay,
so a place in it stays right whatever is added or removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, Table, and_, or_


@dataclass(frozen=True, slots=True)
class Page:
    """Everything, where nothing is said."""

    limit: int | None = None
    """One more is read, which tells whether there are more."""
    after: tuple[datetime, str] | None = None
    """The time and id of the last one that is not wanted any more."""
    since: datetime | None = None
    """Created then or later."""


EVERYTHING = Page()
_AT_ONCE = 500


class KeyStatus(StrEnum):
    """Of a key of either kind: a revoked one stays revoked when its time is over."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def paged(query: Select[tuple[object, ...]], table: Table, page: Page) -> Select[tuple[object, ...]]:
    created, row_id = table.c.created_at, table.c.id
    if page.since is not None:
        query = query.where(created >= page.since)
    if page.after is not None:
        time, last_id = page.after
        query = query.where(or_(created > time, and_(created == time, row_id > last_id)))
    query = query.order_by(created, row_id)
    return query if page.limit is None else query.limit(page.limit + 1)


def of_key_status(table: Table, status: KeyStatus, now: datetime) -> ColumnElement[bool]:
    revoked, expires = table.c.revoked_at, table.c.expires_at
    match status:
        case KeyStatus.REVOKED:
            return revoked.is_not(None)
        case KeyStatus.EXPIRED:
            return and_(revoked.is_(None), expires <= now)
    return and_(revoked.is_(None), or_(expires.is_(None), expires > now))


def chunks(ids: Collection[str]) -> Iterator[list[str]]:
    """All of them in order: a statement may hold only so many values."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
