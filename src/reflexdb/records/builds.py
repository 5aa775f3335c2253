"""Queries about builds.

Called by control; every function runs in the caller's transaction. Numbers count from 1 per database, without gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection as Tx
from sqlalchemy import Select, String, func, insert, select, type_coerce, update

from reflexdb.records.pages import chunks
from reflexdb.records.rows import BuildRow, noun
from reflexdb.records.tables import HISTORY, databases
from reflexdb.records.tables import builds as table

UNFINISHED = ("queued", "in_progress")
_TYPICAL_OF = 20
"""Builds from which it is told how long one typically takes."""


def add(tx: Tx, *, database_id: str, **values: Any) -> None:
    add_many(tx, database_id, [values])


def add_many(tx: Tx, database_id: str, many: Sequence[Mapping[str, Any]]) -> None:
    """Oldest first; all of them with the same columns."""
    last = tx.execute(select(func.max(table.c.number)).where(table.c.database_id == database_id)).scalar() or 0
    numbered = [{"database_id": database_id, "number": last + place, **each} for place, each in enumerate(many, 1)]
    tx.execute(insert(table), numbered)


@dataclass(frozen=True, slots=True)
class BuildFilter:
    """Which builds of a database; `before` and `after` are numbers, and only those between them are wanted."""

    status: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    after: int | None = None
    trigger: str | None = None
    """What began it: api, schedule, ..."""


class Listed(NamedTuple):
    """A build as a list shows it; times are text as stored, which sorts, and most of all needs no reading."""

    number: int
    id: str
    status: str
    image_digest: str | None
    created_at: str
    finished_at: str | None
    duration_s: int | None
    compute_type: str | None
    cost_cents: int | None
    service_id: str | None
    logs_url: str | None


_NUMBERS = ("number", "duration_s", "cost_cents")
_LISTED = [table.c[name] if name in _NUMBERS else type_coerce(table.c[name], String) for name in Listed._fields]


def chosen(tx: Tx, database_id: str, wanted: BuildFilter) -> list[BuildRow]:
    """Newest first."""
    return [noun(BuildRow, row) for row in tx.execute(_wanted(select(table), database_id, wanted))]


def _wanted(query: Select[Any], database_id: str, wanted: BuildFilter) -> Select[Any]:
    query = query.where(table.c.database_id == database_id)
    if wanted.status is not None:
        query = query.where(table.c.status == wanted.status)
    if wanted.since is not None:
        query = query.where(table.c.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(table.c.created_at < wanted.until)
    if wanted.before is not None:
        query = query.where(table.c.number < wanted.before)
    if wanted.after is not None:
        query = query.where(table.c.number > wanted.after)
    if wanted.trigger is not None:
        query = query.where(table.c.trigger == wanted.trigger)
    return query.order_by(table.c.number.desc())


def history(tx: Tx, database_id: str, wanted: BuildFilter, limit: int | None = None) -> list[Listed]:
    """What a list of builds shows, newest first; read from one index, whatever else the rows hold."""
    query = _wanted(select(*_LISTED), database_id, wanted)
    return [Listed._make(row) for row in tx.execute(query if limit is None else query.limit(limit)).all()]


def newest(tx: Tx, database_id: str) -> BuildRow | None:
    query = select(table).where(table.c.database_id == database_id).order_by(table.c.number.desc())
    row = tx.execute(query.limit(1)).first()
    return noun(BuildRow, row) if row else None


def images(tx: Tx, database_id: str) -> list[str]:
    """The digests of the images that succeeded builds made, the newest first, each once."""
    made = (table.c.database_id == database_id) & (table.c.status == "succeeded") & table.c.image_digest.is_not(None)
    last = func.max(table.c.number)
    query = select(table.c.image_digest).where(made).group_by(table.c.image_digest).order_by(last.desc())
    return list(tx.execute(query).scalars())


def smoked(tx: Tx, database_id: str, digest: str) -> BuildRow | None:
    """The newest build of the database in which the server of this image was tried out."""
    tried = table.c.smoke_tests.is_not(None) & (table.c.image_digest == digest)
    query = select(table).where(table.c.database_id == database_id, tried).order_by(table.c.number.desc())
    row = tx.execute(query.limit(1)).first()
    return noun(BuildRow, row) if row else None


class ImageOf(NamedTuple):
    """An image as one of the builds that made it knows it."""

    number: int
    digest: str
    bytes: int | None
    pinned: bool


def images_of(tx: Tx, database_id: str) -> list[ImageOf]:
    """Of each succeeded build, the newest first."""
    made = (table.c.database_id == database_id) & (table.c.status == "succeeded") & table.c.image_digest.is_not(None)
    columns = (table.c.number, table.c.image_digest, table.c.image_bytes, table.c.pinned_at.is_not(None))
    return [ImageOf._make(row) for row in tx.execute(select(*columns).where(made).order_by(table.c.number.desc()))]


def newest_with_image(tx: Tx, database_id: str) -> str | None:
    """The id of the newest build that made an image."""
    query = select(table.c.id).where(table.c.database_id == database_id, table.c.image_digest.is_not(None))
    found: str | None = tx.execute(query.order_by(table.c.number.desc()).limit(1)).scalar()
    return found


def get(tx: Tx, database_id: str, build_id: str) -> BuildRow | None:
    row = tx.execute(select(table).where(table.c.id == build_id, table.c.database_id == database_id)).first()
    return noun(BuildRow, row) if row else None


def by_id(tx: Tx, build_id: str) -> BuildRow:
    return noun(BuildRow, tx.execute(select(table).where(table.c.id == build_id)).one())


def change(tx: Tx, build_id: str, **values: Any) -> None:
    """What a history shows of a build changes only until it is finished: what was read of it then stays true."""
    query = update(table).where(table.c.id == build_id).values(**values)
    if values.keys().isdisjoint(HISTORY):
        tx.execute(query)
        return
    changed = tx.execute(query.where(table.c.status.in_(UNFINISHED))).rowcount
    assert changed == 1, f"build {build_id} is finished, and {sorted(values)} of it are not changed any more"


def typical_seconds(tx: Tx) -> float | None:
    """The median of what the last builds took that made an image; None where there were none."""
    query = select(table.c.duration_s).where(table.c.status == "succeeded", table.c.duration_s.is_not(None))
    took = sorted(tx.execute(query.order_by(table.c.finished_at.desc()).limit(_TYPICAL_OF)).scalars())
    return float(took[len(took) // 2]) if took else None


def under_way(tx: Tx) -> list[datetime]:
    """Since when those are carried out that are now."""
    query = select(table.c.started_at).where(table.c.status == "in_progress", table.c.started_at.is_not(None))
    return list(tx.execute(query).scalars())


def pinned(tx: Tx, database_id: str) -> int:
    """How many of a database's builds are pinned."""
    query = select(func.count()).select_from(table)
    return tx.execute(query.where(table.c.database_id == database_id, table.c.pinned_at.is_not(None))).scalar_one()


def pinned_images(tx: Tx) -> set[str]:
    """Of pinned builds of databases that are still there."""
    alive = databases.c.id == table.c.database_id, databases.c.deleted_at.is_(None)
    query = select(table.c.image_digest).where(table.c.pinned_at.is_not(None), *alive)
    return set(tx.execute(query).scalars()) - {None}


def image_digests(tx: Tx) -> set[str]:
    """Of every image that a build has made."""
    return set(tx.execute(select(table.c.image_digest).where(table.c.image_digest.is_not(None)).distinct()).scalars())


def makers(tx: Tx, digests: Collection[str]) -> set[str]:
    """The databases whose builds made one of these images."""
    made = select(table.c.database_id).distinct()
    of_these = (made.where(table.c.image_digest.in_(some)) for some in chunks(digests))
    return {each for query in of_these for each in tx.execute(query).scalars()}


def other_images(tx: Tx) -> dict[str, set[str]]:
    """By an image's digest, those that were made with it for other platforms."""
    query = select(table.c.image_digest, table.c.other_images).where(table.c.other_images.is_not(None))
    found: dict[str, set[str]] = {}
    for digest, others in tx.execute(query.where(table.c.image_digest.is_not(None))):
        found.setdefault(digest, set()).update((others or {}).values())
    return found


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
