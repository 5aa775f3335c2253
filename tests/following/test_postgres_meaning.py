"""Every way in which stored values get another meaning, or the reader other rights: while it is followed, while it is
paused, and while no process runs. Afterwards each table equals what the reader's own SELECT gives, or is announced."""

from __future__ import annotations

import time
from typing import Any

import psycopg
import pytest

from reflexdb.model.schema import Backend
from reflexdb.sources.postgres.look import LOOK_EVERY_S
from tests.following import meanings
from tests.following.agreement import agree, announced
from tests.following.conftest import Follow
from tests.following.place import wait
from tests.following.reader import grants, reader

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
STATES = ("followed", "paused", "dead")
pytestmark = pytest.mark.each_postgres


@pytest.mark.parametrize("state", STATES)
def test_every_change_of_meaning_is_noticed(follow: Follow, postgres_database: Any, state: str) -> None:
    with reader(postgres_database) as database, meanings.group(database):
        place = follow((Backend.POSTGRES, database), *meanings.definitions(database), config=RESUME)
        try:
            assert agree(place) == set()
            if state == "paused":
                place.order("pause")
            if state == "dead":
                place.kill()
            place.execute(*meanings.changes(database))
            if state == "paused":
                place.resume()
            if state == "dead":
                place.start()
            cases = meanings.chosen(database)
            assert agree(place) == {name for name, case in cases.items() if case.is_misfit} | {meanings.ROW_TYPE}

            for name, case in cases.items():
                place.execute(*(meanings.of(database, name, statement) for statement in case.after))
            place.execute("UPDATE parted SET v = 'afterwards' WHERE id = 15")
            agree(place)
        finally:
            place.close()


def test_a_lost_grant_is_named_and_mended(follow: Follow, postgres_database: Any) -> None:
    with reader(postgres_database) as database:
        place = follow(
            (Backend.POSTGRES, database),
            "CREATE TABLE items (id int PRIMARY KEY, v text)",
            "CREATE TABLE other (id int PRIMARY KEY)",
            "INSERT INTO items VALUES (1, 'a')",
            *grants(database, ["items", "other"]),
        )
        place.execute(f"REVOKE SELECT ON items FROM {database.user}", "INSERT INTO items VALUES (2, 'b')")
        wait(lambda: announced(place) == {"items"}, "the lost grant is announced")
        (told,) = place.health()["schemaChanged"]
        assert "may not SELECT" in told["what"]
        assert f'GRANT SELECT ON "public"."items" TO "{database.user}"' in told["what"]
        assert place.ask("items { id }") == [{"id": 1}]
        place.execute("INSERT INTO other VALUES (1)")
        wait(lambda: place.ask("other { id }") == [{"id": 1}], "the other table goes on")

        place.execute(f"GRANT SELECT ON items TO {database.user}")
        agree(place)
        place.close()


def test_an_idle_database_gets_no_new_connections(follow: Follow, postgres_database: Any) -> None:
    with reader(postgres_database) as database:
        place = follow(
            (Backend.POSTGRES, database),
            "CREATE TABLE items (id int PRIMARY KEY)",
            *grants(database, ["items"]),
        )
        admin = psycopg.connect(
            host=database.host,
            port=database.port,
            user=postgres_database.user,
            password=postgres_database.password,
            dbname="postgres",
            autocommit=True,
        )
        with admin:
            wait(lambda: rests(admin), "the server rests")
            connections, statements = used(admin, database.schema)
            began = time.monotonic()
            time.sleep(4 * LOOK_EVERY_S)
            looks = (time.monotonic() - began) / LOOK_EVERY_S
            connections_now, statements_now = used(admin, database.schema)
        print(
            f"{connections_now - connections} connections, {statements_now - statements} statements, {looks:.1f} looks"
        )
        assert connections_now == connections
        assert statements_now - statements <= 12 * looks
        place.close()


def rests(admin: Any) -> bool:
    """No transaction became visible for longer than a look takes to come."""
    before = visible(admin)
    time.sleep(1.5 * LOOK_EVERY_S)
    return visible(admin) == before


def visible(admin: Any) -> str:
    return str(admin.execute("SELECT txid_current_snapshot()").fetchone()[0])


def used(admin: Any, database: str) -> tuple[int, int]:
    """Connections (from PostgreSQL 14 on) and transactions so far: each statement is one."""
    asked = "SELECT to_jsonb(d) -> 'sessions', xact_commit FROM pg_stat_database d WHERE datname = %s"
    connections, statements = admin.execute(asked, (database,)).fetchone()
    return connections or 0, statements
