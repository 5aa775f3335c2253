"""A value of a kind that its column did not have when the image was built is the trouble of its table alone."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sync.feed_server import FeedServer
from tests.sync.test_process import Place
from tests.sync.waiting import until

OTHER = ("CREATE TABLE z(id INTEGER PRIMARY KEY)", "INSERT INTO z VALUES (1)")
Shaped = Callable[..., tuple[Place, FeedServer]]


@pytest.fixture
def shaped(tmp_path: Path) -> Iterator[Shaped]:
    """Synced without an interval that a test would wait for."""
    with contextlib.ExitStack() as opened:

        def begin(*statements: str) -> tuple[Place, FeedServer]:
            place = Place(tmp_path, *statements, *OTHER)
            server = FeedServer(place.directory, place.plan)
            opened.callback(server.close)
            opened.callback(place.end)
            place.start(interval_s=3600)
            until(lambda: server.status.get("state") == "ok")
            return place, server

        yield begin


def goes_on(place: Place, server: FeedServer) -> None:
    """Another table takes a change."""
    place.run("INSERT INTO z VALUES (2)")
    other = len(place.plan.tables) - 1
    until(lambda: server.tables[other] == [(1,), (2,)])


def told(server: FeedServer) -> list[str]:
    return [entry["table"] for entry in server.status["tables"]]


def test_a_sum_that_is_no_integer_any_more(shaped: Shaped) -> None:
    place, server = shaped(
        "CREATE TABLE sale(id INTEGER PRIMARY KEY, amount)",
        "INSERT INTO sale VALUES (1, 2), (2, 3)",
        "CREATE VIEW takings AS SELECT sum(amount) AS total FROM sale",
    )
    names = [table.name for table in place.plan.tables]
    place.run("INSERT INTO sale VALUES (3, 2.5)")
    until(lambda: "takings" in told(server))
    goes_on(place, server)
    assert server.tables[names.index("takings")] == [(5,)]
    (entry,) = (entry for entry in server.status["tables"] if entry["table"] == "takings")
    assert "total" in entry["reason"]
    assert "  " not in entry["reason"]

    place.run("DELETE FROM sale WHERE id = 3")
    until(lambda: told(server) == [])


def test_an_untyped_column_that_was_empty(shaped: Shaped) -> None:
    place, server = shaped("CREATE TABLE item(id INTEGER PRIMARY KEY, value)")
    place.run("INSERT INTO item VALUES (1, x'ff')")
    until(lambda: "item" in told(server))
    goes_on(place, server)
    place.run("UPDATE item SET value = 'text'")
    until(lambda: told(server) == [])
    assert server.tables[0] == [(1, b"text")]


def test_a_union_whose_arms_differ(shaped: Shaped) -> None:
    place, server = shaped(
        "CREATE TABLE n(id INTEGER PRIMARY KEY)",
        "CREATE TABLE t(name TEXT)",
        "INSERT INTO n VALUES (1)",
        "CREATE VIEW both AS SELECT id AS v FROM n UNION ALL SELECT name FROM t",
    )
    place.run("INSERT INTO t VALUES ('x')")
    until(lambda: "both" in told(server))
    goes_on(place, server)
    place.run("DELETE FROM t")
    until(lambda: told(server) == [])


def test_a_key_by_an_applications_collation(tmp_path: Path) -> None:
    """Only the table that nobody else can read is left out."""
    file = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.create_collation("OWN", lambda a, b: (a > b) - (a < b))
        connection.execute("CREATE TABLE own(name TEXT COLLATE OWN PRIMARY KEY) WITHOUT ROWID")
        connection.execute("INSERT INTO own VALUES ('a')")
    place = Place(tmp_path, *OTHER)
    assert [table.name for table in place.plan.tables] == ["z"]
    (entry,) = place.plan.not_served
    assert entry.table == "own"
    assert "OWN" in entry.reason or "no query solution" in entry.reason
