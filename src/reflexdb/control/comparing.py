"""Builds compared with each other, and a build with its source as it is now.

Asked by the API, and before a past build is deployed again. Plans come from the images: what can't be read can't be
compared. The source is given a moment to say what it has; one that is slow or away holds up no rollback.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from reflexdb.control.connections import source_address
from reflexdb.control.evidence import build_of
from reflexdb.control.rooms import Rooms
from reflexdb.control.shapes import SeenQueries, Shapes
from reflexdb.model.errors import Conflict, ImageDamaged, NotFound, ReflexError
from reflexdb.model.not_served import NotServed, newly
from reflexdb.model.plan import Plan
from reflexdb.model.plan_diff import Change, compare
from reflexdb.model.schema import SourceSchema
from reflexdb.model.seen_queries import Broken, broken
from reflexdb.records import builds, connections
from reflexdb.records.rows import BuildRow, DatabaseRow
from reflexdb.sources.apart import Introspect, within
from reflexdb.sync.drift import drift

log = structlog.get_logger()

SOURCE_LIMIT_S = 3.0
"""How long the source may take to say what it has before a past build is deployed without having been compared."""
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """From one build to another."""

    against: BuildRow
    build: BuildRow
    changes: list[Change]
    not_served: tuple[NotServed, ...]
    """What the build does not serve and the other did not name as such."""
    seen: SeenQueries | None
    """What is asked of the database; None where nothing ever was."""

    @property
    def broken(self) -> list[Broken | None]:
        """For each of the changes that break queries, which of those seen; None where it breaks none, or none was
        seen."""
        seen = self.seen
        return [broken(change, seen.shapes) if seen and change.breaking else None for change in self.changes]


class Comparing:
    def __init__(self, rooms: Rooms, shapes: Shapes | None = None) -> None:
        """Without shapes nothing is known of what is asked."""
        self._rooms = rooms
        self._shapes = shapes

    def difference(self, customer_id: str, database_id: str, build_id: str, against: str | None) -> Difference:
        """From `against`, or the newest build with an image before this one. Raises NotFound, Conflict."""
        with self._rooms.store.read() as tx:
            build = build_of(tx, customer_id, database_id, build_id)
            if against is not None:
                other = build_of(tx, customer_id, database_id, against)
            else:
                earlier = builds.chosen(
                    tx, build.database_id, builds.BuildFilter(status="succeeded", before=build.number)
                )
                if not earlier:
                    raise NotFound("There is no earlier build to compare with; name one with against")
                other = earlier[0]
        before, after = self._plan(other), self._plan(build)
        seen = self._shapes.seen(build.database_id) if self._shapes else None
        return Difference(other, build, compare(before, after), newly(before.not_served, after.not_served), seen)

    def misfit(self, row: DatabaseRow, digest: str) -> str | None:
        """Why an image can't be loaded from the source as it is now; None where it can, or nobody can tell."""
        schema = self._source(row)
        if schema is None:
            return None
        findings = drift(self._rooms.images.plan(digest), schema)
        if not findings:
            return None
        more = f"; and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
        return f"it does not fit the source as it is now: {'; '.join(findings[:SHOWN])}{more}"

    def _plan(self, build: BuildRow) -> Plan:
        if build.image_digest is None:
            raise Conflict(f"Build #{build.number} is {build.status.replace('_', ' ')} and has no image to compare")
        try:
            return self._rooms.images.plan(build.image_digest)
        except ImageDamaged as exc:
            raise Conflict(f"Build #{build.number} can't be compared: {exc.message}") from exc

    def _source(self, row: DatabaseRow) -> SourceSchema | None:
        with self._rooms.store.read() as tx:
            connection = connections.by_id(tx, row.connection_id)
        try:
            question = Introspect(source_address(self._rooms, connection), row.schema_name)
            return self._rooms.asking.ask(question, within(SOURCE_LIMIT_S))
        except (ReflexError, TimeoutError) as exc:
            log.info("not_compared_with_the_source", database=row.id, error=str(exc) or "it took too long")
            return None
