"""Whether a PostgreSQL database can be followed, judged before anything is read.

Each finding is a sentence with the statement that mends it. What is found here would otherwise lose changes silently,
or break the source's own writers.
"""

from __future__ import annotations

from collections.abc import Iterator

from reflexdb.sources import keyless
from reflexdb.sources.postgres.catalog import Catalog
from reflexdb.sources.postgres.connect import quoted
from reflexdb.sources.postgres.probe import blocking, facts, settings_warnings
from reflexdb.sources.postgres.publication import EVERYTHING, OWNERS_PUBLICATION, Publication

NAMED_MAX = 10
"""So many tables are named in one sentence."""
_STANDBY_FROM = 160_000
_NOT_OURS = """
    SELECT relname FROM pg_class WHERE oid = ANY(%s) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY relname"""


def judge(catalog: Catalog, publication: str, idle_slots: int) -> Iterator[str]:
    """Everything that stands in the way of following the catalog's plan by the publication. `idle_slots` are those
    in use that will make room."""
    settings, slots, may_replicate, role = facts(catalog.execute)
    yield from blocking(settings, slots - idle_slots, may_replicate, role)
    version, standby = catalog.execute("SELECT current_setting('server_version_num')::int, pg_is_in_recovery()")[0]
    if standby and version < _STANDBY_FROM:
        yield "The server is a standby, which can be followed from PostgreSQL 16 on. Give the primary's address."
    streamed = catalog.streamed()
    if not streamed:
        tables = [f"table {name!r}: {what}" for name, what in catalog.unstreamed().items()][:NAMED_MAX]
        yield f"No planned table can be followed: {' '.join(tables) or 'each is a view.'}"
        return
    oids = list(streamed.values())
    if not catalog.publishes(publication):
        yield from _publication(catalog, oids, role)


def warnings(catalog: Catalog, publication: str) -> Iterator[str]:
    """What can be followed, but not as well as it could be."""
    yield from settings_warnings(facts(catalog.execute)[0])
    yield from unpublished(catalog)
    if not catalog.publishes(publication) and catalog.publishes(OWNERS_PUBLICATION):
        yield from owners_warnings(catalog)
    for table in catalog.keyless():
        if table in catalog.streamed():
            yield keyless.note(table, f"{quoted(catalog.place.schema)}.{quoted(table)}")


def unpublished(catalog: Catalog) -> Iterator[str]:
    """Tables that can't be in a publication, with the statements that mend it."""
    for table, what in catalog.unstreamed().items():
        yield f"Table {table!r} can't be followed and is read again at each interval: {what}"


def broken_writes(publication: Publication) -> Iterator[str]:
    """Tables of which the server refuses UPDATE and DELETE because the publication has them."""
    for (schema, table), what in publication.broken().items():
        title = f"{quoted(schema)}.{quoted(table)}"
        yield (
            f"PostgreSQL refuses UPDATE and DELETE of {title} because of the publication {publication.name}: {what} "
            f"Or run: ALTER PUBLICATION {quoted(publication.name)} DROP TABLE {title};"
        )


def owners_warnings(catalog: Catalog) -> Iterator[str]:
    """What the publication that the owner made leaves out, and what it breaks."""
    publication = catalog.publication(OWNERS_PUBLICATION)
    told, narrowed = publication.told(), publication.narrowed()
    for table, oid in catalog.streamed().items():
        title = f"{quoted(catalog.place.schema)}.{quoted(table)}"
        if oid in narrowed:
            yield (
                f"The publication {OWNERS_PUBLICATION} has a row filter or a column list on table {table!r}, so that "
                f"the table is read again at each interval. Run: ALTER PUBLICATION {OWNERS_PUBLICATION} DROP TABLE "
                f"{title}; ALTER PUBLICATION {OWNERS_PUBLICATION} ADD TABLE {title};"
            )
        elif oid not in told:
            yield (
                f"The publication {OWNERS_PUBLICATION} lacks table {table!r}, which is read again at each interval. "
                f"Run: ALTER PUBLICATION {OWNERS_PUBLICATION} ADD TABLE {title};"
            )
    if not publication.is_ours():
        yield from broken_writes(publication)
        yield (
            f"The publication {OWNERS_PUBLICATION} belongs to another user, so that ReflexDB can't take a table out of "
            "it when the table loses its replica identity; PostgreSQL would then refuse UPDATE and DELETE of it. "
            f"Run: ALTER PUBLICATION {OWNERS_PUBLICATION} OWNER TO <the user of ReflexDB>;"
        )


def lacking(publication: Publication) -> list[str]:
    """Why the publication can't be trusted at all, with the statement that mends it."""
    if publication.name != OWNERS_PUBLICATION or publication.is_complete() or publication.is_ours():
        return []
    return [
        f"The publication {OWNERS_PUBLICATION} leaves out some kinds of changes. Run: ALTER PUBLICATION "
        f"{OWNERS_PUBLICATION} SET ({EVERYTHING});"
    ]


def _publication(catalog: Catalog, oids: list[int], role: str) -> Iterator[str]:
    tables = ", ".join(f"{quoted(catalog.place.schema)}.{quoted(table)}" for table in catalog.streamed())
    if catalog.publishes(OWNERS_PUBLICATION):
        publication = catalog.publication(OWNERS_PUBLICATION)
        yield from lacking(publication)
        if publication.told().isdisjoint(oids):
            yield (
                f"The publication {OWNERS_PUBLICATION} lacks every planned table. "
                f"Run: ALTER PUBLICATION {OWNERS_PUBLICATION} ADD TABLE {tables};"
            )
        return
    foreign = catalog.execute(_NOT_OURS, oids)
    may_create = catalog.execute("SELECT has_database_privilege(current_database(), 'CREATE')")[0][0]
    if foreign or not may_create:
        yield (
            f"User {role!r} may not publish these tables: their owner must. Run as the owner: CREATE PUBLICATION "
            f"{OWNERS_PUBLICATION} FOR TABLE {tables} WITH (publish_via_partition_root = true); and to let ReflexDB "
            f"take tables out of it: ALTER PUBLICATION {OWNERS_PUBLICATION} OWNER TO {quoted(role)};"
        )
