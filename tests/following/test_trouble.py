"""What sources and networks do to whoever follows: locks, two phases, large rows, bytes that come twice."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait
from tests.following.test_servers import database, own
from tests.servers import postgres

__all__ = ["own"]

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
ITEMS = "CREATE TABLE items (id int PRIMARY KEY, n int)"
LOCKS = {
    Backend.MYSQL: ("LOCK TABLES bare WRITE", "UNLOCK TABLES"),
    Backend.POSTGRES: ("BEGIN; LOCK TABLE bare IN ACCESS EXCLUSIVE MODE", "COMMIT"),
}
WAITING = {
    Backend.MYSQL: "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'",
    Backend.POSTGRES: "SELECT count(*) FROM pg_locks WHERE NOT granted",
}


def keyless(backend: Backend) -> tuple[str, ...]:
    """A table that is read again when it changes."""
    told = ("ALTER TABLE bare REPLICA IDENTITY FULL",) if backend is Backend.POSTGRES else ()
    return ("CREATE TABLE bare (n int)", *told)


def waits(place: Place) -> bool:
    return bool(place.database.execute(WAITING[place.backend])[0][0])


def test_a_table_that_is_locked_while_it_is_read_is_waited_for(follow: Follow, source: tuple[Backend, Any]) -> None:
    backend, found = source
    place = follow(source, ITEMS, *keyless(backend), "INSERT INTO bare VALUES (1)", config=RESUME)
    lock, unlock = LOCKS[backend]
    with contextlib.closing(found.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(lock)
        place.order("reload")
        wait(lambda: waits(place), "a reader waits for the lock")
        cursor.execute(unlock)
        place.check()

        place.execute("INSERT INTO bare VALUES (2)", "INSERT INTO items VALUES (1, 1)")
        place.check()
        cursor.execute(lock)
        inserter = threading.Thread(target=place.execute, args=("INSERT INTO items VALUES (2, 2)",))
        inserter.start()
        inserter.join()
        wait(lambda: len(place.ask("items { id }")) == 2, "other tables go on")
        cursor.execute("INSERT INTO bare VALUES (3)")
        cursor.execute(unlock)
        place.check()
    assert {row["n"] for row in place.ask("bare { n }")} == {1, 2, 3}


@pytest.mark.parametrize("size", [3, 200, 4_000])
def test_bytes_that_come_twice_leave_no_wrong_row(follow: Follow, source: tuple[Backend, Any], size: int) -> None:
    """A network that repeats what it carried: noticed by what it breaks, and never applied to the wrong rows."""
    place = follow(source, ITEMS, "INSERT INTO items VALUES (0, 0)", config=RESUME)
    place.check()
    for number in range(1, 40):
        place.cut.repeat(size)
        place.execute(
            f"INSERT INTO items VALUES ({number}, {number})",
            "UPDATE items SET n = n + 1",
            "DELETE FROM items WHERE n > 30",
        )
    place.cut.heal()
    place.check()


def test_rows_wider_than_a_megabyte_are_followed(follow: Follow, source: tuple[Backend, Any]) -> None:
    backend, _ = source
    kind = "LONGTEXT" if backend is Backend.MYSQL else "text"
    place = follow(source, f"CREATE TABLE wide (id int PRIMARY KEY, body {kind}, n int)", config=RESUME)
    place.execute(
        "INSERT INTO wide VALUES (1, repeat('äb', 1500000), 0), (2, 'small', 0)",
        "UPDATE wide SET n = 1",
        "INSERT INTO wide SELECT 3, body, 3 FROM wide WHERE id = 1",
    )
    place.check()
    assert len(place.ask("wide(id = 3) { body }")[0]["body"]) == 3_000_000


def test_a_transaction_in_two_phases_counts_from_its_second(follow: Follow, own: Any) -> None:
    _, server = own(postgres, max_prepared_transactions="5")
    with postgres.connect(server) as admin:
        admin.execute("CREATE DATABASE shop")
    place = follow((Backend.POSTGRES, database(postgres, server, "shop")), ITEMS, config=RESUME)
    place.execute("BEGIN", "INSERT INTO items VALUES (1, 1)", "PREPARE TRANSACTION 'kept'")
    place.execute("BEGIN", "INSERT INTO items VALUES (2, 2)", "PREPARE TRANSACTION 'dropped'")
    place.execute("INSERT INTO items VALUES (3, 3)")
    wait(lambda: place.ask("items { id }") == [{"id": 3}], "what is committed is answered, and no more")
    place.kill()
    place.start()
    place.execute("COMMIT PREPARED 'kept'", "ROLLBACK PREPARED 'dropped'")
    place.check()
    assert place.ask("items { id }") == [{"id": 1}, {"id": 3}]


def test_a_truncate_empties_all_that_depends_on_its_table(follow: Follow, postgres_database: Any) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database),
        ITEMS,
        "CREATE TABLE parts (id int PRIMARY KEY, item int REFERENCES items)",
        "CREATE TABLE grains (id int PRIMARY KEY, part int REFERENCES parts)",
        config=RESUME,
    )
    place.execute(
        "INSERT INTO items VALUES (1, 1)", "INSERT INTO parts VALUES (1, 1)", "INSERT INTO grains VALUES (1, 1)"
    )
    place.check()
    assert place.ask("grains { id }") == [{"id": 1}]
    place.execute("BEGIN", "TRUNCATE items CASCADE", "INSERT INTO items VALUES (2, 2)", "COMMIT")
    place.check()
    assert (place.ask("items { id }"), place.ask("parts { id }")) == ([{"id": 2}], [])


@pytest.mark.parametrize("identity", ["FULL", "NOTHING", "USING INDEX items_code"])
def test_whatever_identifies_replicated_rows_the_state_is_right(
    follow: Follow, postgres_database: Any, identity: str
) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database),
        "CREATE TABLE other (id int PRIMARY KEY)",
        "CREATE TABLE items (id int PRIMARY KEY, code text NOT NULL, body text)",
        "CREATE UNIQUE INDEX items_code ON items (code)",
        f"ALTER TABLE items REPLICA IDENTITY {identity}",
        "INSERT INTO items VALUES (1, 'a', repeat('x', 9000)), (2, 'b', NULL)",
        config=RESUME,
        interval_s=1,
    )
    place.execute(
        "UPDATE items SET code = 'c' WHERE id = 1",
        "UPDATE items SET id = 9 WHERE id = 2",
        "INSERT INTO items VALUES (3, 'd', 'e')",
        "DELETE FROM items WHERE id = 1",
    )
    place.check()


def test_text_in_a_narrower_charset_is_answered_as_text(follow: Follow, mariadb_database: Any) -> None:
    """Every byte is a character of latin1, also those that no keyboard has."""
    place = follow(
        (Backend.MYSQL, mariadb_database), "CREATE TABLE words (id int PRIMARY KEY, w varchar(20)) CHARSET latin1"
    )
    place.execute("INSERT INTO words VALUES (1, X'e4f6'), (2, X'8081')")
    place.check()
    assert place.ask("words(id = 1) { w }") == [{"w": "äö"}]
