"""Which planned tables are in the publication a follower reads by, kept in step with what the server would accept.

A table leaves before anything else is done, and comes back once the server accepts its writes with it. Used by one
thread, beside the catalog whose connection it uses.
"""

from __future__ import annotations

from collections.abc import Iterator

from reflexdb.model.errors import PositionLost, SourceError
from reflexdb.sources.postgres.catalog import Catalog
from reflexdb.sources.postgres.connect import quoted
from reflexdb.sources.postgres.preflight import broken_writes, lacking
from reflexdb.sources.postgres.publication import OWNERS_PUBLICATION


class Membership:
    """One follower's."""

    def __init__(self, catalog: Catalog, publication: str) -> None:
        self._catalog = catalog
        self._publication = catalog.publication(publication)
        self._is_owners = publication == OWNERS_PUBLICATION

    def followed(self) -> frozenset[str]:
        """Names of the planned tables whose changes the publication tells, and may tell."""
        told = self._publication.told()
        return frozenset(name for name, oid in self._catalog.streamed().items() if oid in told)

    def adjust(self) -> None:
        """Take out what must not be published, put in what can be; of the owner's, only take out what does harm."""
        publication = self._publication
        if not publication.is_ours():
            return
        if self._is_owners:
            publication.withdraw()
            if not publication.is_complete() and not publication.broken():
                publication.complete()  # it rested, or could not let go of a table
            return
        streamed, listed = self._catalog.streamed(), publication.listed()
        if leaving := listed.keys() - set(streamed.values()):
            publication.withdraw(leaving)
        schema = self._catalog.place.schema
        publication.admit({oid: (schema, name) for name, oid in streamed.items() if oid not in listed})
        if not publication.is_complete() and publication.listed().keys() <= set(streamed.values()):
            publication.complete()

    def look(self) -> Iterator[tuple[str, str]]:
        """Look at the catalog, adjust, and give the planned tables that the stream tells of no more or tells of again:
        each must be read again. Raises SourceError where only the owner can mend the publication, and PositionLost
        without one."""
        if not self._publication.exists():
            raise PositionLost(f"The publication {self._publication.name!r} does not exist any more: it was dropped.")
        before = self._catalog.followed
        self._catalog.look()
        self.adjust()
        if issues := lacking(self._publication):
            raise SourceError(" ".join(issues))
        now = self._catalog.followed = self.followed()
        for name in sorted(before - now):
            what = self._catalog.obstacles.get(name)
            reason = what.reason if what is not None else "its publication lacks it"
            yield name, f"replication tells nothing of it any more: {reason}"
        for name in sorted(now - before):
            yield name, "replication tells of it again"

    def warning(self) -> str | None:
        """Tables that are not followed and could be; first those whose writes the server refuses meanwhile."""
        found = [] if self._publication.is_ours() else list(broken_writes(self._publication))
        found += [
            f"Table {name!r} is read again at each interval: {what}"
            for name, what in self._catalog.unstreamed().items()
            if what.mend
        ]
        found += [
            f"Table {name!r} is read again at each interval: the publication lacks it. "
            f"Run: ALTER PUBLICATION {quoted(self._publication.name)} ADD TABLE "
            f"{quoted(self._catalog.place.schema)}.{quoted(name)};"
            for name in sorted(self._catalog.streamed().keys() - self._catalog.followed)
        ]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return f"{found[0]}{more}" if found else None
