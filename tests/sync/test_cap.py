"""Rows of a file that outgrow the instance: their table keeps its rows alone, and is read again once they fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reflexdb.sync import feed
from tests.engine.serving import Server, compile_server
from tests.sync.test_process import Place
from tests.sync.waiting import until

FILL = """
    WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
    INSERT INTO a SELECT i, hex(randomblob(25000)) FROM n"""


class Served:
    """A file, a server with a cap of 12 MiB, and the sync process between them."""

    def __init__(self, place: Place, server: Server) -> None:
        self.place, self.server = place, server

    def status(self) -> dict[str, Any]:
        return self.server.orders.request(feed.status())

    def stale(self) -> list[str]:
        return [told["table"] for told in (self.status().get("sync") or {}).get("tables") or []]

    def ids(self, table: str) -> list[int]:
        return [row["id"] for row in json.loads(self.server.orders.query(f"{table} {{ id }}"))]


@pytest.fixture
def served(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Served]:
    place = Place(tmp_path)
    program = compile_server(pytestconfig.cache.mkdir("engine"), plan=place.plan)
    with Server(program, "--memory-cap-mb", "12") as server:
        place.directory = server.directory
        place.run(FILL.format(first=1001, last=1160))  # 8 MB: no second copy fits
        place.start(interval_s=0.2)
        found = Served(place, server)
        until(lambda: found.status()["version"], "a first snapshot", 60)
        yield found
        place.end()


def test_a_change_of_a_table_that_fits_only_once_is_taken_in(served: Served) -> None:
    served.place.run("UPDATE a SET t = 'changed' WHERE id = 1001", "INSERT INTO a VALUES (3, 'three')")
    until(lambda: 3 in served.ids("a"), "the change", 60)
    assert served.status()["status"] == "ok"


def test_a_table_over_the_cap_is_stale_alone_until_its_rows_fit(served: Served) -> None:
    before = served.ids("a")
    served.place.run(FILL.format(first=2001, last=2160), "INSERT INTO b VALUES (8)")
    until(lambda: served.ids("b") == [7, 8], "the other table", 60)
    until(lambda: served.stale() == ["a"], "the table to be named")
    assert served.ids("a") == before
    assert served.status()["status"] == "cap_exceeded"

    served.place.run("DELETE FROM a WHERE id > 2000", "INSERT INTO a VALUES (3, 'three')")
    until(lambda: 3 in served.ids("a"), "the table to come back", 60)
    until(lambda: served.status()["status"] == "ok", "all is well")
    assert served.stale() == []
