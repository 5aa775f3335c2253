"""What PostgreSQL's replication does not tell shows in its catalog, and is read again."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

pytestmark = pytest.mark.each_postgres

DEFINED = (
    "CREATE TYPE mood AS ENUM ('sad', 'glad')",
    "CREATE TABLE days (id int, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
    *(f"CREATE TABLE days_{n} PARTITION OF days FOR VALUES FROM ({n}) TO ({n + 1})" for n in range(6)),
    "INSERT INTO days SELECT n, n % 6 FROM generate_series(1, 30) n",
    "CREATE TABLE people (id int PRIMARY KEY, feels mood, n bigint)",
    "INSERT INTO people VALUES (1, 'sad', 1), (2, 'glad', 2)",
    "CREATE TABLE plain (id int PRIMARY KEY)",
    "INSERT INTO plain VALUES (1)",
)
SILENT = {
    "a partition is dropped": ("DROP TABLE days_0",),
    "a partition is detached": ("ALTER TABLE days DETACH PARTITION days_1",),
    "a partition is emptied": ("TRUNCATE days_2",),
    "a filled table becomes a partition": (
        "CREATE TABLE more (id int NOT NULL, day int NOT NULL)",
        "INSERT INTO more VALUES (100, 9)",
        "ALTER TABLE days ATTACH PARTITION more FOR VALUES FROM (9) TO (10)",
        "UPDATE days SET id = 101 WHERE id = 100",
    ),
    "a statement rewrites all rows": ("ALTER TABLE people ALTER n TYPE bigint USING n * 10",),
    "a label is renamed": ("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",),
    "the publication loses a table": ("ALTER PUBLICATION {name} DROP TABLE plain", "INSERT INTO plain VALUES (2)"),
    "the publication leaves out a kind of change": (
        "ALTER PUBLICATION {name} SET (publish = 'insert')",
        "DELETE FROM plain",
    ),
}
REPLACED = ("DROP TABLE plain", "CREATE TABLE plain (id int PRIMARY KEY)", "INSERT INTO plain VALUES (8)")
AFTERWARDS = (
    "INSERT INTO days VALUES (200, 3)",
    "INSERT INTO people VALUES (3, 'glad', 3)",
    "INSERT INTO plain VALUES (3)",
    "DELETE FROM plain WHERE id = 1",
)


@pytest.fixture
def place(follow: Follow, postgres_database: Any) -> Place:
    return follow((Backend.POSTGRES, postgres_database), *DEFINED)


def run(place: Place, *statements: str) -> None:
    place.execute(*(statement.replace("{name}", place.options.name) for statement in statements))


def test_what_the_stream_does_not_tell_is_noticed_while_it_runs(place: Place) -> None:
    for statements in SILENT.values():
        run(place, *statements)
        place.check()
    run(place, *AFTERWARDS)
    place.check()


def test_what_happened_while_nobody_looked_is_noticed_by_the_next_process(place: Place) -> None:
    place.kill()
    for statements in SILENT.values():
        run(place, *statements)
    run(place, *REPLACED)
    place.start()
    place.check()
    run(place, *AFTERWARDS)
    place.check()


def test_a_new_partition_without_rows_costs_nothing(place: Place) -> None:
    run(place, "CREATE TABLE days_7 PARTITION OF days FOR VALUES FROM (7) TO (8)")
    wait(lambda: place.health()["transactions"] > 0, "the stream goes on")
    run(place, "INSERT INTO days VALUES (70, 7)")
    place.check()
    place.kill()
    place.start()
    run(place, "INSERT INTO plain VALUES (9)")
    place.check()

    assert not place.log("tables_read_again")


def test_tables_that_inherit_are_read_with_their_parent(follow: Follow, postgres_database: Any) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database),
        "CREATE TABLE animals (id int PRIMARY KEY)",
        "CREATE TABLE cats (lives int) INHERITS (animals)",
        "CREATE TABLE plain (id int PRIMARY KEY)",
        interval_s=1,
    )
    run(place, "INSERT INTO cats VALUES (1, 9)", "INSERT INTO animals VALUES (2)")
    place.check()
