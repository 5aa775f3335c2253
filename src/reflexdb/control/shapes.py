"""What clients ask of databases, collected from the instances now and then, and when a comparison wants to know it.

An instance tells what was asked since it was last asked for it, so that what it told and nobody could write down is
lost, as is what was asked of one that died: these are numbers to judge by, not to bill by. Only shapes are kept, which
are names of the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reflexdb.control.leases import Leases
from reflexdb.control.rooms import Rooms
from reflexdb.deploy.base import Asked
from reflexdb.model.errors import InstanceUnreachable, ReflexError
from reflexdb.model.seen_queries import Seen
from reflexdb.records import deployments, query_shapes

log = structlog.get_logger()

KEPT = timedelta(days=30)
"""A query that was not asked for so long breaks nobody."""


@dataclass(frozen=True, slots=True)
class SeenQueries:
    """Of one database, lately."""

    shapes: list[Seen]
    other: int
    """Queries that were not told apart."""
    since: datetime

    @property
    def queries(self) -> int:
        return sum(each.queries for each in self.shapes) + self.other


class Shapes:
    def __init__(self, rooms: Rooms, leases: Leases) -> None:
        self._rooms = rooms
        self._leases = leases

    def collect(self) -> None:
        """From every instance of ours."""
        with self._rooms.store.read() as tx:
            serving = deployments.serving_ids(tx)
        for database_id in sorted(filter(self._leases.holds, serving)):
            self.collect_of(database_id)

    def seen(self, database_id: str) -> SeenQueries | None:
        """What is known, its instance asked now; None where no query was ever seen."""
        if self._leases.holds(database_id):
            self.collect_of(database_id)
        with self._rooms.store.read() as tx:
            rows = query_shapes.of(tx, database_id)
        if not rows:
            return None
        told_apart = [Seen.of(row.shape, row.queries) for row in rows if row.shape is not None]
        other = sum(row.queries for row in rows if row.shape is None)
        return SeenQueries(told_apart, other, min(row.first_seen_at for row in rows))

    def collect_of(self, database_id: str) -> None:
        """From one; also before it makes way for another, which was asked nothing yet."""
        try:
            asked = self._rooms.deployer.shapes(database_id)
        except InstanceUnreachable:
            return
        except ReflexError as exc:  # an instance of an earlier version does not know the question
            log.debug("shapes_not_told", database=database_id, error=exc.message)
            return
        fresh = list(_fresh(asked))
        if not fresh:
            return
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            query_shapes.add(tx, database_id, fresh, now)
            query_shapes.forget(tx, database_id, now - KEPT)


def _fresh(asked: Asked) -> list[tuple[dict[str, object] | None, int]]:
    shapes: list[tuple[dict[str, object] | None, int]] = [(dict(shape), count) for shape, count in asked.shapes]
    return [*shapes, *([(None, asked.other)] if asked.other else [])]
