"""Queries about the control planes that share the records, and about the leases that divide the work among them.

Called by control; every function runs in the caller's transaction. A lease is held as long as its holder has an entry
in `planes`: whoever takes a plane for dead removes both, in one transaction. That entry is the fencing token, which
`Store.fence` asks for in every writing transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection as Tx
from sqlalchemy import delete, insert, select, update

from reflexdb.records.rows import PlaneRow, noun
from reflexdb.records.tables import leases, planes, site


def clock(tx: Tx) -> datetime:
    """The database's clock, which all planes see alike."""
    if tx.dialect.name != "postgresql":
        return datetime.now(UTC)
    now: datetime = tx.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return now.astimezone(UTC)


def ensure_site(tx: Tx, site_id: str, directory: str) -> tuple[str, str]:
    """Id and directory of the site that the records belong to; this one where they belong to none yet."""
    row = tx.execute(select(site)).first()
    if row is None:
        tx.execute(insert(site).values(id=site_id, directory=directory))
        return site_id, directory
    return row.id, row.directory


def all_planes(tx: Tx) -> list[PlaneRow]:
    return [noun(PlaneRow, row) for row in tx.execute(select(planes).order_by(planes.c.id))]


def is_alive(tx: Tx, plane_id: str | None) -> bool:
    """Whether nobody has taken this plane for dead."""
    return tx.execute(select(planes.c.id).where(planes.c.id == plane_id)).first() is not None


def add_plane(tx: Tx, plane: PlaneRow) -> None:
    tx.execute(
        insert(planes).values(
            id=plane.id, url=plane.url, host=plane.host, process=plane.process, expires_at=plane.expires_at
        )
    )


def renew(tx: Tx, plane_id: str, until: datetime) -> bool:
    """False where the plane was taken for dead."""
    return tx.execute(update(planes).where(planes.c.id == plane_id).values(expires_at=until)).rowcount == 1


def bury(tx: Tx, plane: PlaneRow) -> bool:
    """End a plane and its leases, unless it has been renewed since `plane` was read."""
    seen = tx.execute(
        select(planes.c.id).where(planes.c.id == plane.id, planes.c.expires_at == plane.expires_at).with_for_update()
    ).first()
    if seen is None:
        return False
    tx.execute(delete(leases).where(leases.c.holder == plane.id))
    tx.execute(delete(planes).where(planes.c.id == plane.id))
    return True


def leave(tx: Tx, plane_id: str) -> None:
    tx.execute(delete(leases).where(leases.c.holder == plane_id))
    tx.execute(delete(planes).where(planes.c.id == plane_id))


def holders(tx: Tx) -> dict[str, str]:
    """Name to holder, of every lease."""
    return {row.name: row.holder for row in tx.execute(select(leases))}


def claim(tx: Tx, names: Collection[str], plane_id: str) -> set[str]:
    """Take what nobody holds; those of the names that this plane holds now."""
    held = holders(tx)
    free = set(names) - held.keys()
    if free:
        tx.execute(insert(leases), [{"name": name, "holder": plane_id} for name in sorted(free)])
    return free | {name for name in names if held.get(name) == plane_id}


def release(tx: Tx, names: Collection[str], plane_id: str) -> None:
    tx.execute(delete(leases).where(leases.c.name.in_(list(names)), leases.c.holder == plane_id))
