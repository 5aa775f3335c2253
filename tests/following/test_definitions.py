"""Definitions that change at the source while it is followed."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

pytestmark = pytest.mark.each_binlog

ITEMS = "CREATE TABLE items (id int PRIMARY KEY, name varchar(40), cents bigint)"
OTHER = "CREATE TABLE other (id int PRIMARY KEY, n int)"
FIRST = "INSERT INTO items VALUES (1, 'a', 10), (2, 'b', 20)"

SWAP = {
    Backend.MYSQL: (
        "CREATE TABLE fresh LIKE items",
        "INSERT INTO fresh SELECT * FROM items",
        "RENAME TABLE items TO old_items, fresh TO items",
        "DROP TABLE old_items",
    ),
    Backend.POSTGRES: (
        "CREATE TABLE fresh (LIKE items INCLUDING ALL)",
        "INSERT INTO fresh SELECT * FROM items",
        "BEGIN",
        "ALTER TABLE items RENAME TO old_items",
        "ALTER TABLE fresh RENAME TO items",
        "COMMIT",
        "DROP TABLE old_items",
    ),
}
HARMLESS = {
    "a column added": ("ALTER TABLE items ADD COLUMN more int DEFAULT 7",),
    "a table swapped": None,
    "a table made anew": ("DROP TABLE items", ITEMS, FIRST),
    "a text widened": None,
}


def changed(place: Place) -> list[str]:
    return [found["table"] for found in place.health()["schemaChanged"]]


@pytest.mark.parametrize("what", sorted(HARMLESS))
def test_a_table_that_still_has_what_is_planned_is_followed_on(
    follow: Follow, source: tuple[Backend, Any], what: str
) -> None:
    place = follow(source, ITEMS, OTHER, FIRST)
    statements = HARMLESS[what] or SWAP[source[0]]
    if what == "a text widened":
        change = "MODIFY name varchar(80)" if source[0] is Backend.MYSQL else "ALTER name TYPE varchar(80)"
        statements = (f"ALTER TABLE items {change}",)
    place.execute(*statements)
    place.check()

    for n in range(3, 6):
        place.execute(f"INSERT INTO items (id, name, cents) VALUES ({n}, 'later', {n})")
        place.execute(f"UPDATE items SET cents = cents + 1 WHERE id = {n - 1}", f"INSERT INTO other VALUES ({n}, 1)")
        place.check()
    assert changed(place) == []


def lose(place: Place) -> None:
    place.execute("ALTER TABLE items DROP COLUMN cents", "INSERT INTO items (id, name) VALUES (7, 'lost')")
    place.execute("INSERT INTO other VALUES (7, 7)")


def test_a_table_that_lacks_what_is_planned_stays_while_others_go_on(
    follow: Follow, source: tuple[Backend, Any]
) -> None:
    place = follow(source, ITEMS, OTHER, FIRST)
    lose(place)
    wait(lambda: place.ask("other { id n }") == [{"id": 7, "n": 7}], "the other table goes on")
    wait(lambda: changed(place) == ["items"], "the change is told")

    assert place.ask("items { id cents }") == [{"id": 1, "cents": 10}, {"id": 2, "cents": 20}]
    assert "schema_changed" in wait(lambda: place.health().get("lastError"), "it is the last error")
    place.execute("ALTER TABLE items ADD COLUMN cents bigint", "UPDATE items SET cents = 5")
    place.check()
    wait(lambda: changed(place) == [] and place.health()["state"] == "ok", "it is followed again")
    place.execute("UPDATE items SET cents = 6 WHERE id = 7")
    place.check()


def test_what_a_table_missed_is_read_also_by_the_next_process(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, ITEMS, OTHER, FIRST)
    lose(place)
    wait(lambda: changed(place) == ["items"], "the change is told")
    wait(lambda: place.ask("other { id }") == [{"id": 7}], "the stream is beyond it")
    place.kill()
    place.execute("ALTER TABLE items ADD COLUMN cents bigint", "UPDATE items SET cents = 5")
    place.start()
    place.check()


def test_what_a_table_missed_is_read_again_after_a_checkpoint_from_meanwhile(
    follow: Follow, source: tuple[Backend, Any]
) -> None:
    place = follow(source, ITEMS, OTHER, FIRST, options=("--checkpoint-s", "1"))
    lose(place)
    wait(lambda: changed(place) == ["items"], "the change is told")
    wait(lambda: place.ask("other { id }") == [{"id": 7}], "the stream is beyond it")
    for n in (8, 9):  # the first that is written after it may have been begun before
        written = place.status()["checkpoint"]["written"]
        place.execute(f"INSERT INTO other VALUES ({n}, {n})")
        wait(lambda: place.status()["checkpoint"]["written"] > written, "a checkpoint")  # noqa: B023
    meanwhile = {path.name: path.read_bytes() for path in place.server.directory.glob("checkpoint*")}
    place.execute("ALTER TABLE items ADD COLUMN cents bigint", "UPDATE items SET cents = 5")
    place.check()
    wait(lambda: changed(place) == [], "it is followed again")

    place.crash_server(meanwhile)
    wait(lambda: place.status()["checkpoint"]["restored"], "the rows from meanwhile")
    place.check()


def test_another_primary_key_is_another_definition(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, ITEMS, OTHER, "INSERT INTO other VALUES (1, 1)")
    drop = "DROP PRIMARY KEY" if source[0] is Backend.MYSQL else "DROP CONSTRAINT other_pkey"
    place.execute(f"ALTER TABLE other {drop}, ADD PRIMARY KEY (n)")
    place.execute("INSERT INTO items VALUES (1, 'a', 1)")
    wait(lambda: changed(place) == ["other"], "the change is told")
    wait(lambda: place.ask("items { id }") == [{"id": 1}], "the other table goes on")
