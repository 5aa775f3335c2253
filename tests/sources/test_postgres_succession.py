"""A follower of PostgreSQL that succeeds another one goes on from wherever the other could have gone on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from reflexdb.model.errors import PositionLost, SourceError
from reflexdb.sources.changes import FollowOptions, Stale
from reflexdb.sources.postgres.follow import PostgresFollower
from tests.following.test_servers import Own, database, own
from tests.servers import postgres
from tests.sources.helpers import postgres_address
from tests.sources.test_postgres_follow import ACCOUNTS, Following, follow

pytestmark = pytest.mark.each_postgres

__all__ = ["follow", "own"]
SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() ORDER BY 1"


@pytest.fixture
def succeeding() -> Iterator[Callable[[Following], PostgresFollower]]:
    """Makes a successor of what follows a database; it leaves nothing behind."""
    made: list[PostgresFollower] = []

    def successor(one: Following) -> PostgresFollower:
        name = f"reflexdb_{one.database.schema}"
        options = FollowOptions(f"{name}_next", 1, publication=name, former=name)
        made.append(PostgresFollower(postgres_address(one.database), one.database.schema, options))
        return made[-1]

    yield successor
    for each in made:
        each.drop(shared=False)


Succeeding = Callable[[Following], PostgresFollower]


def slots(one: Following) -> list[str]:
    return [row[0] for row in one.database.execute(SLOTS)]


def test_a_successor_goes_on_while_the_former_does(follow: Callable[..., Following], succeeding: Succeeding) -> None:
    one = follow(ACCOUNTS, "INSERT INTO accounts VALUES (1, 'Ann', 5)")
    one.database.execute("INSERT INTO accounts VALUES (2, 'Bo', 5)")  # told after the position that both begin at
    follower = succeeding(one)
    follower.succeed()
    held, before = one.replica.tables[0].copy(), one.replica.position
    one.catch_up()  # by which its own slot moves on
    one.stream.confirm(one.replica.position)

    stream = follower.stream(one.plan, before)
    one.database.execute("UPDATE accounts SET cents = 6 WHERE id = 1")
    expected = dict(one.replica.tables[0])
    one.check()
    assert expected != held
    one.stream.close()
    one.stream, one.replica.tables[0], one.replica.position = stream, held, before
    one.check()


def test_a_successor_of_one_that_runs_no_more_begins_at_its_position(
    follow: Callable[..., Following], succeeding: Succeeding
) -> None:
    one = follow(ACCOUNTS)
    one.stream.close()
    one.database.execute("INSERT INTO accounts VALUES (1, 'Ann', 5)")
    follower = succeeding(one)
    assert one.follower.kept_bytes() > 0
    follower.succeed()
    one.follower.drop(shared=False)
    assert slots(one) == [f"reflexdb_{one.database.schema}_next"]
    follower.succeed()  # what is there already is left alone
    one.stream = follower.stream(one.plan, one.replica.position)
    one.check()


def test_without_a_former_slot_the_source_must_be_read(
    follow: Callable[..., Following], succeeding: Succeeding
) -> None:
    one = follow(ACCOUNTS)
    one.stream.close()
    one.follower.drop(shared=False)
    follower = succeeding(one)
    with pytest.raises(PositionLost, match="does not exist any more"):
        follower.succeed()
    with pytest.raises(PositionLost, match="does not exist any more"):
        follower.stream(one.plan, one.replica.position)
    one.follower.drop()
    with pytest.raises(PositionLost, match="publication"):
        follower.stream(one.plan, one.replica.position)


def test_a_publication_that_is_younger_than_the_position_costs_a_reading(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS)
    one.stream.close()
    name = f"reflexdb_{one.database.schema}"
    one.database.execute(f"DROP PUBLICATION {name}")
    one.database.execute("INSERT INTO accounts VALUES (1, 'Ann', 5)")
    one.database.execute(f"CREATE PUBLICATION {name} FOR TABLE accounts WITH (publish_via_partition_root = true)")
    one.resume()
    if one.database.execute("SELECT current_setting('server_version_num')::int < 180000")[0][0]:
        with pytest.raises(PositionLost, match="younger"):
            one.catch_up()
    else:  # which goes on without the publication, and says so to nobody
        one.catch_up()
        assert [event.reason for event in one.replica.events if isinstance(event, Stale)] == [
            "its publication was changed"
        ]


def test_a_copy_that_is_refused_is_said_and_leaves_nothing(
    follow: Callable[..., Following], succeeding: Succeeding
) -> None:
    one = follow(ACCOUNTS)
    follower = succeeding(one)
    user = f"reader_{one.database.schema}"
    name = sql.Identifier(user)
    with one.database.connect() as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'reader'").format(name))
        try:
            address = postgres_address(one.database, user=user, password="reader")
            options = FollowOptions("reflexdb_refused", 1, former=f"reflexdb_{one.database.schema}")
            with pytest.raises(SourceError, match="REPLICATION"):
                PostgresFollower(address, one.database.schema, options).succeed()
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(name))
    assert slots(one) == [f"reflexdb_{one.database.schema}"]
    assert follower.kept_bytes() == 0


def test_where_all_slots_are_in_use_one_that_nobody_reads_makes_room(own: Own, succeeding: Succeeding) -> None:
    _, server = own(postgres, max_replication_slots="1")
    with postgres.connect(server) as admin:
        admin.execute("CREATE DATABASE shop")
    shop = database(postgres, server, "shop")
    shop.execute(ACCOUNTS)
    one = Following(shop)
    one.begin()
    follower = succeeding(one)
    try:
        with pytest.raises(SourceError, match="replication slots are in use"):
            follower.succeed()
        assert slots(one) == ["reflexdb_shop"]  # somebody reads it
        one.stream.close()
        one.until_idle()
        assert not any("slots are in use" in issue for issue in follower.preflight(one.plan))
        with pytest.raises(SourceError, match="replication slots are in use"):
            follower.succeed()
        with follower.snapshot(one.plan) as reader:
            one.replica.load(reader)
        one.stream = follower.stream(one.plan, one.replica.position)
        one.database.execute("INSERT INTO accounts VALUES (1, 'Ann', 5)")
        one.catch_up()
        assert len(one.replica.tables[0]) == 1
    finally:
        one.close()
