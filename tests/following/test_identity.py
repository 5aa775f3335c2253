"""A server that is killed and started again is another server: sync goes on from what this one has, not from what the
former one had."""

from __future__ import annotations

import time
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from reflexdb.sync import feed
from tests.engine.serving import SECRET, post
from tests.following.conftest import Follow
from tests.following.place import Place, wait

ITEMS = "CREATE TABLE items (id int PRIMARY KEY, n int)"
pytestmark = pytest.mark.each_binlog
SELDOM = ("--checkpoint-s", "600")
"""One checkpoint after the first load, and none of what the test writes."""


def position(place: Place) -> str:
    if place.backend is Backend.POSTGRES:
        return str(place.database.execute("SELECT pg_current_wal_lsn()::text")[0][0])
    if "MariaDB" in place.database.execute("SELECT version()")[0][0]:
        return str(place.database.execute("SELECT @@gtid_binlog_pos")[0][0])
    if executed := place.database.execute("SELECT @@GLOBAL.gtid_executed")[0][0]:
        return str(executed).replace("\n", "")
    file, offset, *_ = place.database.execute("SHOW BINARY LOG STATUS")[0]
    return f"{file}:{offset}"


def serve(place: Place) -> None:
    place.server.orders.request(feed.keys(SECRET, {"k1": None}))
    wait(lambda: place.status()["version"] > 0, "a snapshot")
    place.server.orders.request(feed.serve())


def ids_at(place: Place, wanted: str) -> list[int]:
    """What is answered to someone who asks for a snapshot with this position."""
    headers = f"X-ReflexDB-Min-Position: {wanted}\r\nX-ReflexDB-Wait-Ms: 30000\r\n"
    answer = place.server.ask(post("items { id }", extra=headers))
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.json()]


def first_checkpoint(place: Place) -> None:
    wait(lambda: place.status()["checkpoint"]["written"] > 0, "a checkpoint of the first load")


@pytest.mark.parametrize("rest_s", [0.0, 1.5])
def test_a_killed_server_gets_every_row_since_its_checkpoint(
    follow: Follow, source: tuple[Backend, Any], rest_s: float
) -> None:
    """It starts with the version that it started with before. Whether sync had rested before makes no difference."""
    place = follow(source, ITEMS, "INSERT INTO items VALUES (0, 0)", options=SELDOM)
    first_checkpoint(place)
    place.crash_server()
    serve(place)
    for number in range(1, 7, 2):
        time.sleep(rest_s)
        place.execute(f"INSERT INTO items VALUES ({number}, 1)")
        assert ids_at(place, position(place)) == list(range(number + 1))
        place.crash_server()
        place.execute(f"INSERT INTO items VALUES ({number + 1}, 2)")
        serve(place)

        assert ids_at(place, position(place)) == list(range(number + 2))
    place.check()
