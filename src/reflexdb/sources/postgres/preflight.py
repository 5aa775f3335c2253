"""Whether a PostgreSQL database can be followed, judged before anything is read.

Each finding is a sentence with the statement that mends it. What is found here would otherwise lose changes silently,
or break the source's own writers.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from reflexdb.sources import keyless
from reflexdb.sources.postgres.catalog import Catalog
from reflexdb.sources.postgres.connect import quoted
from reflexdb.sources.postgres.probe import blocking, facts, settings_warnings

OWNERS_PUBLICATION = "reflexdb"
"""What an owner calls a publication made for us where we may not make one."""
EVERYTHING = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
"""What a publication must tell."""
_STANDBY_FROM = 160_000
_SECURED = "SELECT relname FROM pg_class WHERE oid = ANY(%s) AND row_security_active(oid) ORDER BY relname"
_NOT_OURS = """
    SELECT relname FROM pg_class WHERE oid = ANY(%s) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY relname"""
_PUBLISHED = "SELECT tablename FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s"
_COMPLETE = """
    SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate AND (pubviaroot OR NOT %s)
    FROM pg_publication WHERE pubname = %s"""
_NARROWED = """
    SELECT c.relname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    JOIN pg_class c ON c.oid = r.prrelid
    WHERE p.pubname = %s AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)"""


def judge(catalog: Catalog, publication: str, idle_slots: int, user: str) -> Iterator[str]:
    """Everything that stands in the way of following the catalog's plan by the publication. `idle_slots` are those
    in use that will make room."""
    settings, slots, may_replicate, role = facts(catalog.execute)
    yield from blocking(settings, slots - idle_slots, may_replicate, role)
    version, standby = catalog.execute("SELECT current_setting('server_version_num')::int, pg_is_in_recovery()")[0]
    if standby and version < _STANDBY_FROM:
        yield "The server is a standby, which can be followed from PostgreSQL 16 on. Give the primary's address."
    streamed = catalog.streamed()
    if not streamed:
        yield (
            "No planned table can be followed: each is a view, unlogged or without a primary key. "
            "Run: ALTER TABLE <table> ADD PRIMARY KEY (<columns>);"
        )
        return
    oids = [catalog.relations[table].oid for table in streamed]
    for (table,) in catalog.execute(_SECURED, oids):
        yield (
            f"Row security hides rows of table {table!r} from user {user!r}, which replication would show. "
            f"Run: ALTER ROLE {quoted(role)} BYPASSRLS;"
        )
    if not catalog.publishes(publication):
        yield from _publication(catalog, streamed, oids, role, version)


def warnings(catalog: Catalog) -> Iterator[str]:
    """What can be followed, but not as well as it could be."""
    yield from settings_warnings(facts(catalog.execute)[0])
    streamed = set(catalog.streamed())
    for table in catalog.unstreamed_tables():
        name = f"{quoted(catalog.place.schema)}.{quoted(table)}"
        yield (
            f"Table {table!r} has no primary key or is of a kind of which replication is silent, so that it is read "
            f"again at each interval. Run: ALTER TABLE {name} ADD PRIMARY KEY (...);"
        )
    for table in catalog.keyless():
        if table in streamed:
            yield keyless.note(table, f"{quoted(catalog.place.schema)}.{quoted(table)}")


def is_complete(catalog: Catalog, publication: str) -> bool:
    """Whether it tells every kind of change, and partitions' as their table's."""
    has_partitions = any(found.kind == "p" for found in catalog.relations.values())
    return all(row[0] for row in catalog.execute(_COMPLETE, has_partitions, publication))


def lacking(catalog: Catalog, publication: str) -> list[str]:
    """What the publication does not tell of the streamed tables, with the statements that mend it."""
    version = catalog.execute("SELECT current_setting('server_version_num')::int")[0][0]
    return list(_owners(catalog, catalog.streamed(), version)) if publication == OWNERS_PUBLICATION else []


def _publication(catalog: Catalog, streamed: list[str], oids: list[int], role: str, version: int) -> Iterator[str]:
    if catalog.publishes(OWNERS_PUBLICATION):
        yield from _owners(catalog, streamed, version)
        return
    foreign = [table for (table,) in catalog.execute(_NOT_OURS, oids)]
    may_create = catalog.execute("SELECT has_database_privilege(current_database(), 'CREATE')")[0][0]
    if foreign or not may_create:
        tables = ", ".join(f"{quoted(catalog.place.schema)}.{quoted(table)}" for table in sorted(streamed))
        yield (
            f"User {role!r} may not publish these tables: their owner must. Run as the owner: CREATE PUBLICATION "
            f"{OWNERS_PUBLICATION} FOR TABLE {tables} WITH (publish_via_partition_root = true);"
        )


def _owners(catalog: Catalog, streamed: list[str], version: int) -> Iterator[str]:
    """What the publication that the owner made lacks."""
    published = {table for (table,) in catalog.execute(_PUBLISHED, OWNERS_PUBLICATION, catalog.place.schema)}
    if missing := sorted(set(streamed) - published):
        tables = ", ".join(f"{quoted(catalog.place.schema)}.{quoted(table)}" for table in missing)
        yield (
            f"The publication {OWNERS_PUBLICATION} lacks planned tables. "
            f"Run: ALTER PUBLICATION {OWNERS_PUBLICATION} ADD TABLE {tables};"
        )
    if not is_complete(catalog, OWNERS_PUBLICATION):
        yield (
            f"The publication {OWNERS_PUBLICATION} leaves out some kinds of changes. Run: ALTER PUBLICATION "
            f"{OWNERS_PUBLICATION} SET ({EVERYTHING});"
        )
    if version >= 150_000:
        for (table,) in catalog.execute(sql.SQL(_NARROWED), OWNERS_PUBLICATION):
            yield (
                f"The publication {OWNERS_PUBLICATION} has a row filter or a column list on table {table!r}, which "
                f"would hide changes. Run: ALTER PUBLICATION {OWNERS_PUBLICATION} DROP TABLE {quoted(table)}; and add "
                "it without them."
            )
