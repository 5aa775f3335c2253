"""Every way in which stored values get another meaning, or the reader other rights: while it is followed, while it is
paused, and while no process runs. Afterwards each table equals what the reader's own SELECT gives, or is announced."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.model.schema import Backend
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
        assert place.ask("items { id }") in ([{"id": 1}], [{"id": 1}, {"id": 2}])  # the stream needs no SELECT
        place.execute("INSERT INTO other VALUES (1)")
        wait(lambda: place.ask("other { id }") == [{"id": 1}], "the other table goes on")

        place.execute(f"GRANT SELECT ON items TO {database.user}")
        agree(place)
        place.close()
