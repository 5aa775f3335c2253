"""One table's trouble is that table's: the others go on, it is named, and it comes back by itself."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
LOT = (
    "CREATE TABLE lot (id int PRIMARY KEY, price int NOT NULL, pieces int NOT NULL)",
    "INSERT INTO lot VALUES (1, 100, 4), (2, 90, 3)",
    "CREATE VIEW lot_each AS SELECT id, price / pieces AS each FROM lot",
)


def tables(place: Place) -> list[str]:
    return [told["table"] for told in place.health().get("tables") or []]


def test_a_view_that_fails_for_a_row_is_stale_alone(follow: Follow, postgres_database: Any) -> None:
    place = follow((Backend.POSTGRES, postgres_database), *LOT, config=RESUME, interval_s=0.5)
    place.execute("UPDATE lot SET pieces = 0 WHERE id = 2")
    wait(lambda: place.ask("lot(id = 2) { pieces }") == [{"pieces": 0}], "the table's change")
    wait(lambda: tables(place) == ["lot_each"], "the view to be named")
    health = place.health()
    place.execute("INSERT INTO lot VALUES (3, 10, 5)")
    wait(lambda: len(place.ask("lot { id }")) == 3, "the table to go on", 5)

    assert "division by zero" in health["tables"][0]["reason"]
    assert health["state"] == "failing"
    assert place.status()["status"] == "degraded"
    assert place.ask("lot_each { each }") == [{"each": 25}, {"each": 30}]
    assert len(place.log("swapped")) < 5

    place.execute("UPDATE lot SET pieces = 9 WHERE id = 2")
    wait(lambda: not tables(place), "the view to come back")
    place.check()
    wait(lambda: place.status()["status"] == "ok", "health")


def test_a_table_that_becomes_unreadable_is_left_alone(follow: Follow, postgres_database: Any) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database),
        "CREATE TABLE bare (n int)",
        "ALTER TABLE bare REPLICA IDENTITY FULL",
        "CREATE TABLE items (id int PRIMARY KEY)",
        "INSERT INTO bare VALUES (1)",
        config=RESUME,
    )
    place.execute("ALTER TABLE bare RENAME TO hidden", "CREATE VIEW bare AS SELECT 1 / 0 AS n")
    place.order("reload")
    place.execute("INSERT INTO items VALUES (1)")
    wait(lambda: place.ask("items { id }") == [{"id": 1}], "the other table", 30)
    wait(lambda: tables(place) == ["bare"], "the table to be named")
    place.execute("DROP VIEW bare", "ALTER TABLE hidden RENAME TO bare", "INSERT INTO bare VALUES (2)")
    place.check()


SLOW = "CREATE VIEW slow AS SELECT id, pg_sleep(2) IS NULL AS slept FROM items LIMIT 1"


def test_a_slow_view_is_never_in_the_way_of_tables(follow: Follow, postgres_database: Any) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database),
        "CREATE TABLE items (id int PRIMARY KEY)",
        "INSERT INTO items VALUES (0)",
        SLOW,
        "CREATE VIEW doubled AS SELECT id * 2 AS twice FROM items",
        config=RESUME,
        interval_s=0.2,
    )
    longest = 0.0
    for number in range(1, 25):
        began = time.monotonic()
        place.execute(f"INSERT INTO items VALUES ({number})")
        asked = f"items(id = {number}) {{ id }}"
        wait(partial(place.ask, asked), "the row", 20)
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.1)
    assert longest < 1.5, "a view's reading takes two seconds"
    wait(lambda: len(place.ask("doubled { twice }")) == 25, "the other view")


def test_views_of_an_idle_database_are_not_read(follow: Follow, postgres_database: Any) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database),
        "CREATE TABLE items (id int PRIMARY KEY)",
        "CREATE SEQUENCE reads",
        *(f"CREATE VIEW v{number} AS SELECT count(*) AS c FROM items" for number in range(5)),
        config=RESUME,
        interval_s=0.1,
    )
    scans = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'items'"
    wait(lambda: len(place.log("following")) > 0, "the stream")
    time.sleep(6)
    before = postgres_database.execute(scans)[0][0]
    time.sleep(4)
    assert postgres_database.execute(scans)[0][0] - before <= 1
    place.execute("INSERT INTO items VALUES (1)")
    wait(lambda: place.ask("v4 { c }") == [{"c": 1}], "the views to follow")
