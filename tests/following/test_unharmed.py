"""The application's writes go on while its definitions change: running, paused, killed, and afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait
from tests.servers.plugin import TestDatabase
from tests.sources.postgres_roles import documented

pytestmark = pytest.mark.each_postgres
LEAVES_WITHIN_S = 30.0
"""Two seconds on a machine that is not busy."""
DEFINED = (
    "CREATE TABLE users (id int PRIMARY KEY, n int)",
    "CREATE TABLE days (id int, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
    "CREATE TABLE days_0 PARTITION OF days FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE other (id int PRIMARY KEY)",
    "INSERT INTO users VALUES (1, 1), (2, 2)",
    "INSERT INTO days VALUES (1, 1)",
)
LOST = "ALTER TABLE users REPLICA IDENTITY NOTHING"
BACK = "ALTER TABLE users REPLICA IDENTITY DEFAULT"


@pytest.fixture
def place(follow: Follow, postgres_database: TestDatabase) -> Iterator[Place]:
    """Followed by a user with exactly the documented rights."""
    for statement in DEFINED:
        postgres_database.execute(statement)
    with documented(postgres_database, ["users", "days", "other"]) as database:
        place = follow((Backend.POSTGRES, database), interval_s=2)
        yield place
        place.close()


def accepts(place: Place, statement: str) -> bool:
    try:
        place.execute(statement)
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return False
    return True


def test_writes_are_accepted_again_whatever_goes_on(place: Place) -> None:
    place.execute(LOST)
    wait(lambda: accepts(place, "UPDATE users SET n = n + 1"), "an UPDATE while it runs", LEAVES_WITHIN_S)
    place.execute("INSERT INTO other VALUES (5)")
    place.check()
    wait(lambda: 'ALTER TABLE "public"."users"' in str(place.health()["warning"]), "the warning names the statement")

    place.order("pause")
    place.execute("ALTER TABLE days_0 REPLICA IDENTITY NOTHING")
    wait(lambda: accepts(place, "DELETE FROM days"), "a DELETE while sync is paused", LEAVES_WITHIN_S)
    place.resume()
    place.check()

    place.kill()
    place.execute("ALTER TABLE other REPLICA IDENTITY NOTHING")
    assert not accepts(place, "UPDATE other SET id = 6")
    place.start(interval_s=2)
    wait(lambda: accepts(place, "UPDATE other SET id = 6"), "an UPDATE once a process runs again", LEAVES_WITHIN_S)
    place.check()


def test_a_dropped_key_stops_its_table_alone(place: Place) -> None:
    place.execute("ALTER TABLE users DROP CONSTRAINT users_pkey")
    wait(lambda: accepts(place, "UPDATE users SET n = n + 1"), "an UPDATE is accepted", LEAVES_WITHIN_S)
    wait(lambda: place.health()["schemaChanged"], "the changed key is told")
    place.execute("INSERT INTO other VALUES (7)")
    wait(lambda: place.ask("other { id }") == [{"id": 7}], "the other table is followed")
    place.execute("ALTER TABLE users ADD PRIMARY KEY (id)")
    place.check()


def test_a_table_is_followed_again_without_a_gap(follow: Follow, postgres_database: TestDatabase) -> None:
    place = follow((Backend.POSTGRES, postgres_database), *DEFINED, interval_s=600)
    place.execute(LOST)
    wait(lambda: accepts(place, "UPDATE users SET n = n + 1"), "an UPDATE is accepted", LEAVES_WITHIN_S)
    place.check()
    place.execute(BACK)
    number, again = 10, place.log("tables_read_again")
    while len(place.log("tables_read_again")) == len(again):
        number += 1
        place.execute(f"INSERT INTO users VALUES ({number}, 0)", f"UPDATE users SET n = {number} WHERE id < 5")
        time.sleep(0.02)
    place.check()
    read = len(place.log("tables_read_again"))
    place.execute("UPDATE users SET n = -1")
    place.check()
    assert len(place.log("tables_read_again")) == read
    wait(lambda: place.health()["warning"] is None, "the warning ends")


def test_nothing_is_left_when_it_ends(place: Place) -> None:
    place.close()
    place.execute(LOST, "UPDATE users SET n = 9", "DELETE FROM users", "TRUNCATE days", "DROP PUBLICATION reflexdb")
    place.execute("ALTER TABLE other SET UNLOGGED")
