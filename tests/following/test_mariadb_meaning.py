"""The same of MariaDB as test_postgres_meaning: its log tells definitions, but neither rights nor what they hid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.agreement import agree, announced
from tests.following.conftest import Follow
from tests.following.place import wait

PASSWORD = "reader's ä"
ROWS = "(1, 'a', 'b', 'x'), (2, 'c', 'd', 'y')"
CHANGES: dict[str, tuple[str, ...]] = {
    "swapped": ("ALTER TABLE {t} CHANGE v x text, CHANGE w v text", "ALTER TABLE {t} CHANGE x w text"),
    "swapped_and_back": (
        "ALTER TABLE {t} RENAME COLUMN v TO w, RENAME COLUMN w TO v",
        "UPDATE {t} SET v = 'in between' WHERE id = 2",
        "ALTER TABLE {t} RENAME COLUMN v TO w, RENAME COLUMN w TO v",
    ),
    "expanded": (
        "ALTER TABLE {t} ADD v_new text",
        "UPDATE {t} SET v_new = upper(v)",
        "ALTER TABLE {t} RENAME COLUMN v TO v_old, RENAME COLUMN v_new TO v",
    ),
    "label_changed": ("ALTER TABLE {t} MODIFY e enum('z', 'x', 'y')",),
    "made_anew_at_once": ("ALTER TABLE {t} DROP v, ADD v text DEFAULT 'anew'",),
    "computed": (
        "ALTER TABLE {t} ADD d int GENERATED ALWAYS AS (id * 2) STORED, DROP w",
        "ALTER TABLE {t} CHANGE d w text GENERATED ALWAYS AS (id * 3) STORED",
    ),
}


@contextlib.contextmanager
def reader(database: Any, *tables: str) -> Iterator[Any]:
    """A user with the documented rights, and SELECT on these tables alone."""
    user = f"r_{database.schema}"
    database.execute(f"CREATE USER {user}@'%%' IDENTIFIED BY %s", PASSWORD)
    try:
        database.execute(f"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {user}@'%'")
        for table in tables:
            database.execute(f"GRANT SELECT ON {database.schema}.{table} TO {user}@'%'")
        yield replace(database, user=user, password=PASSWORD)
    finally:
        database.execute(f"DROP USER {user}@'%'")


@pytest.mark.parametrize("state", ["followed", "dead"])
def test_every_change_of_meaning_is_noticed(follow: Follow, mariadb_database: Any, state: str) -> None:
    for name in CHANGES:
        mariadb_database.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, v text, w text, e enum('x', 'y', 'z') CHARSET utf8mb4)"
        )
        mariadb_database.execute(f"INSERT INTO {name} VALUES {ROWS}")
    with reader(mariadb_database, *CHANGES) as database:
        place = follow((Backend.MYSQL, database))
        assert agree(place) == set()
        if state == "dead":
            place.kill()
        for name, statements in CHANGES.items():
            place.execute(*(statement.replace("{t}", name) for statement in statements))
        place.heal()
        agree(place)
        for name in CHANGES:
            place.execute(f"UPDATE {name} SET v = 'afterwards' WHERE id = 1")
        agree(place)
        place.close()


def test_a_lost_grant_is_announced_and_mended(follow: Follow, mariadb_database: Any) -> None:
    for name in ("items", "other"):
        mariadb_database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY)")
    with reader(mariadb_database, "items", "other") as database:
        place = follow((Backend.MYSQL, database))
        place.execute(f"REVOKE SELECT ON {database.schema}.items FROM {database.user}@'%'")
        wait(lambda: announced(place) == {"items"}, "the lost grant is announced")
        place.execute("INSERT INTO items VALUES (1)", "INSERT INTO other VALUES (1)")
        wait(lambda: place.ask("other { id }") == [{"id": 1}], "the other table goes on")
        assert place.ask("items { id }") == []
        place.execute(f"GRANT SELECT ON {database.schema}.items TO {database.user}@'%'")
        agree(place)
        assert place.ask("items { id }") == [{"id": 1}]
        place.close()
