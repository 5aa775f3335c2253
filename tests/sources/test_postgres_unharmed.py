"""Being followed makes PostgreSQL refuse nothing: what the application could do before, it can do at any time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.changes import FollowOptions
from reflexdb.sources.postgres.follow import PostgresFollower
from tests.servers.plugin import TestDatabase
from tests.sources import postgres_tables
from tests.sources.applying import Applier, drained, keyed_plan
from tests.sources.helpers import postgres_address
from tests.sources.postgres_roles import documented
from tests.sources.postgres_tables import outcome, outcomes, writes

pytestmark = pytest.mark.each_postgres


def planned(database: TestDatabase) -> Plan:
    with contextlib.closing(open_source(postgres_address(database))) as source:
        return keyed_plan(source.introspect(database.schema))


@pytest.fixture(params=["owner", "documented"])
def reader(request: pytest.FixtureRequest, postgres_database: TestDatabase) -> Iterator[tuple[TestDatabase, list[str]]]:
    """A database of all kinds of tables, seen by their owner or by a user with the documented rights; their titles."""
    titles = list(postgres_tables.make(postgres_database))
    version = postgres_database.execute("SELECT current_setting('server_version_num')::int")[0][0]
    if request.param == "owner":
        yield postgres_database, titles
        return
    with documented(postgres_database, sorted(postgres_tables.followed(version))) as database:
        yield database, titles


@contextlib.contextmanager
def follower_of(database: TestDatabase) -> Iterator[PostgresFollower]:
    name = f"reflexdb_{database.schema}"
    follower = PostgresFollower(postgres_address(database), database.schema, FollowOptions(name, 1))
    try:
        yield follower
    finally:
        follower.close()
        follower.drop()


def refused(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Statements that worked before and do not any more."""
    return {statement: error for statement, error in now.items() if error and not before[statement]}


def present(database: TestDatabase) -> str:
    position: str = database.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    return position


def test_following_makes_the_server_refuse_nothing(
    postgres_database: TestDatabase, reader: tuple[TestDatabase, list[str]]
) -> None:
    database, titles = reader
    before = outcomes(postgres_database, titles)
    plan = planned(database)
    with follower_of(database) as follower:
        with follower.snapshot(plan) as view:
            assert not refused(before, outcomes(postgres_database, titles)), "while tables are read"
            applier = Applier(plan, view)
        version = postgres_database.execute("SELECT current_setting('server_version_num')::int")[0][0]
        unfollowed = follower.unfollowed(plan)
        names = {table.source_name for index, table in enumerate(plan.tables) if index not in unfollowed}
        assert names == postgres_tables.followed(version)

        stream = follower.stream(plan, applier.position)
        assert not refused(before, outcomes(postgres_database, titles)), "while it is followed"
        with postgres_database.connect() as application:
            for statement in before:
                if not before[statement] and statement.startswith(("UPDATE", "DELETE", "MERGE")):
                    application.execute(statement)
        until = present(postgres_database)
        drained(stream, applier, lambda: follower.reached(applier.position, until))
        stream.close()
        assert not applier.redefined
        assert not refused(before, outcomes(postgres_database, titles)), "while nobody reads"
    assert not refused(before, outcomes(postgres_database, titles)), "afterwards"


CHANGES: dict[str, tuple[str, str]] = {
    "its primary key is dropped": (
        "ALTER TABLE plain DROP CONSTRAINT plain_pkey",
        "ALTER TABLE plain ADD PRIMARY KEY (id)",
    ),
    "its primary key becomes deferrable": (
        "ALTER TABLE plain DROP CONSTRAINT plain_pkey, ADD CONSTRAINT plain_later PRIMARY KEY (id) DEFERRABLE",
        "ALTER TABLE plain DROP CONSTRAINT plain_later, ADD CONSTRAINT plain_pkey PRIMARY KEY (id)",
    ),
    "its identity becomes NOTHING": (
        "ALTER TABLE plain REPLICA IDENTITY NOTHING",
        "ALTER TABLE plain REPLICA IDENTITY DEFAULT",
    ),
    "FULL ends without a key": (
        "ALTER TABLE keyless_full REPLICA IDENTITY DEFAULT",
        "ALTER TABLE keyless_full REPLICA IDENTITY FULL",
    ),
    "FULL ends with a deferrable key": (
        "ALTER TABLE deferred_full REPLICA IDENTITY DEFAULT",
        "ALTER TABLE deferred_full REPLICA IDENTITY FULL",
    ),
    "its index is dropped": (
        "DROP INDEX by_index_id",
        "CREATE UNIQUE INDEX by_index_id ON by_index (id); "
        "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_id",
    ),
    "a generated column comes into its identity": (
        "ALTER TABLE generated REPLICA IDENTITY FULL",
        "ALTER TABLE generated REPLICA IDENTITY DEFAULT",
    ),
    "a generated column is added": (
        "ALTER TABLE keyed_full ADD COLUMN g int GENERATED ALWAYS AS (v + 1) STORED",
        "ALTER TABLE keyed_full DROP COLUMN g",
    ),
    "a partition's identity becomes NOTHING": (
        "ALTER TABLE parted_1 REPLICA IDENTITY NOTHING",
        "ALTER TABLE parted_1 REPLICA IDENTITY DEFAULT",
    ),
    "a deep partition's identity becomes NOTHING": (
        "ALTER TABLE parted_twice_00 REPLICA IDENTITY NOTHING",
        "ALTER TABLE parted_twice_00 REPLICA IDENTITY DEFAULT",
    ),
    "a partition without identity is attached": (
        "ALTER TABLE parted ATTACH PARTITION later FOR VALUES FROM (1000) TO (2000)",
        "ALTER TABLE parted DETACH PARTITION later",
    ),
    "the key of a partitioned table is dropped": (
        "ALTER TABLE parted_leaf_full DROP CONSTRAINT parted_leaf_full_pkey",
        "ALTER TABLE parted_leaf_full ADD PRIMARY KEY (id)",
    ),
}
"""By what happens: the statement, and others that mend it."""
NAMES = ("keyless_full", "deferred_full", "by_index", "keyed_full", "generated", "parted_twice", "parted_leaf_full")
TOUCHED = {
    change: [next((name for name in NAMES if name in first), "parted" if "parted" in first else "plain")]
    for change, (first, _) in CHANGES.items()
}
"""By what happens, the table."""


def told(database: TestDatabase) -> set[str]:
    """Names of the tables in the publications of the database."""
    return {name for (name,) in database.execute("SELECT tablename FROM pg_publication_tables")}


def test_a_table_leaves_before_writes_fail_and_returns(postgres_database: TestDatabase) -> None:
    """Each change is followed by one look, as the process does every two seconds."""
    database = postgres_database
    postgres_tables.make(database)
    database.execute("CREATE TABLE elsewhere.later (id int PRIMARY KEY, v int)")
    database.execute("ALTER TABLE elsewhere.later REPLICA IDENTITY NOTHING")
    database.execute("ALTER TABLE elsewhere.later SET SCHEMA public")
    expected = {change: writes(database, TOUCHED[change], first) for change, (first, _) in CHANGES.items()}
    plan = planned(database)
    with follower_of(database) as follower:
        with follower.snapshot(plan) as view:
            applier = Applier(plan, view)
        stream = follower.stream(plan, applier.position)
        published = told(database)
        for change, (statement, mend) in CHANGES.items():
            database.execute(statement)
            said = follower.withdraw()
            assert not refused(expected[change], writes(database, TOUCHED[change])), change
            assert len(said) == len(published - told(database)) <= 1, change
            assert all("Run: ALTER TABLE" in sentence for sentence in said)
            for step in mend.split("; "):
                database.execute(step)
            drained(stream, applier, lambda: told(database) == published)
            assert not refused(expected[change], writes(database, TOUCHED[change])), f"{change}, and is mended"
        stream.close()


def test_the_stream_goes_on_for_the_other_tables(postgres_database: TestDatabase) -> None:
    database = postgres_database
    for name in ("one", "two"):
        database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v int)")
    plan = planned(database)
    with follower_of(database) as follower:
        with follower.snapshot(plan) as view:
            applier = Applier(plan, view)
        stream = follower.stream(plan, applier.position)
        database.execute("ALTER TABLE one REPLICA IDENTITY NOTHING")
        follower.withdraw()
        database.execute("INSERT INTO one VALUES (1, 1)")
        database.execute("INSERT INTO two VALUES (2, 2)")
        drained(stream, applier, lambda: bool(applier.tables[1]) and bool(applier.stale))
        assert applier.stale == [(0, "replication tells nothing of it any more: it has REPLICA IDENTITY NOTHING")]
        assert stream.warning is not None
        assert 'ALTER TABLE "public"."one" REPLICA IDENTITY DEFAULT;' in stream.warning
        assert follower.unfollowed(plan) == {0}

        database.execute("ALTER TABLE one REPLICA IDENTITY DEFAULT")
        drained(stream, applier, lambda: (0, "replication tells of it again") in applier.stale)
        assert stream.warning is None
        with follower.snapshot(plan) as view:  # as it is read again
            applier.tables[0] = Applier(plan, view).tables[0]
            position = view.position
        drained(stream, applier, lambda: follower.reached(applier.position, position))
        database.execute("INSERT INTO one VALUES (3, 3)")
        drained(stream, applier, lambda: (3,) in applier.tables[0])
        assert applier.tables[0] == {(1,): (1, 1), (3,): (3, 3)}
        stream.close()


def test_a_table_that_is_locked_stops_no_other(postgres_database: TestDatabase) -> None:
    """A long VACUUM or index build keeps a table in the publication: then that tells no more updates at all."""
    database = postgres_database
    for name in ("one", "two"):
        database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v int)")
    plan = planned(database)
    with follower_of(database) as follower:
        with follower.snapshot(plan) as view:
            applier = Applier(plan, view)
        stream = follower.stream(plan, applier.position)
        database.execute("ALTER TABLE one REPLICA IDENTITY NOTHING")
        with database.connect() as busy, busy.transaction():
            busy.execute("LOCK TABLE one IN SHARE UPDATE EXCLUSIVE MODE")
            assert len(follower.withdraw()) == 1
            database.execute("UPDATE one SET v = 1")
            database.execute("UPDATE two SET v = 1")
        drained(stream, applier, lambda: told(database) == {"two"} and len({table for table, _ in applier.stale}) == 2)
        assert database.execute("SELECT pubupdate FROM pg_publication") == [(True,)]
        stream.close()


def test_what_a_publication_refuses_is_known(postgres_database: TestDatabase) -> None:
    database = postgres_database
    database.execute("CREATE TABLE plain (id int PRIMARY KEY)")
    with follower_of(database) as follower, follower.snapshot(planned(database)), database.connect() as application:
        said = outcome(application, "ALTER TABLE plain SET UNLOGGED")
        assert "because it is part of a publication" in said
    with database.connect() as application:
        assert not outcome(application, "ALTER TABLE plain SET UNLOGGED")


def test_the_owners_publication_rests_once_nobody_follows(postgres_database: TestDatabase) -> None:
    database = postgres_database
    database.execute("CREATE TABLE plain (id int PRIMARY KEY, v int)")
    with documented(database, ["plain"]) as reader:
        plan = planned(reader)
        with follower_of(reader) as follower:
            for _ in range(2):
                with follower.snapshot(plan):
                    assert database.execute("SELECT pubupdate FROM pg_publication") == [(True,)]
                follower.drop()
                database.execute("ALTER TABLE plain REPLICA IDENTITY NOTHING")
                database.execute("UPDATE plain SET v = 1")
                database.execute("ALTER TABLE plain REPLICA IDENTITY DEFAULT")
                assert not follower.preflight(plan)
