"""Rows that outgrow the instance: their table keeps its rows alone, and once the rows fit all goes on by itself."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

pytestmark = pytest.mark.each_binlog

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
TEXT = {Backend.MYSQL: "longtext", Backend.POSTGRES: "text"}
THOUSAND = "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {first} + 999)"
OTHER = "CREATE TABLE other (id int PRIMARY KEY, n int)"
CHANGE = "UPDATE bodies SET body = 'short' WHERE code = 'a10001'"
CAP = ("--memory-cap-mb", "12")


def bodies(source: tuple[Backend, Any]) -> str:
    return f"CREATE TABLE bodies (code varchar(20) PRIMARY KEY, body {TEXT[source[0]]} NOT NULL)"


def fill(place: Place, prefix: str, megabytes: int) -> None:
    for number in range(10, 10 + megabytes):
        rows = f"SELECT concat('{prefix}', i), repeat(concat('{number}', i), 200) FROM n"
        place.execute(f"INSERT INTO bodies {THOUSAND.format(first=1000 * number)} {rows}")


def is_told(place: Place) -> bool:
    """The table is named, also while changes of others are taken."""
    told = [(table["table"], table["state"]) for table in place.health().get("tables") or []]
    return told == [("bodies", "frozen")] and place.status()["status"] == "cap_exceeded"


def outgrow(place: Place) -> None:
    """One transaction that does not fit."""
    place.execute("INSERT INTO bodies SELECT concat('x', code), concat(body, body, body, body) FROM bodies")
    wait(lambda: is_told(place), "the table to be named")
    place.execute("INSERT INTO other VALUES (1, 1)")
    wait(lambda: place.ask("other { id }") == [{"id": 1}], "the other table to go on", 20)
    wait(lambda: is_told(place), "the table to be named still")
    assert len(place.ask("bodies { code }")) == 3_000
    (told,) = place.health()["tables"]
    assert "at most 12 MiB" in told["reason"]
    assert "Resize" in told["remedy"]


@pytest.mark.timeout(300)
def test_rows_that_fit_again_are_taken_in(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, bodies(source), OTHER, config=RESUME, options=CAP)
    fill(place, "a", 3)
    place.check()
    outgrow(place)
    place.execute("DELETE FROM bodies WHERE code LIKE 'x%'", CHANGE)

    place.check()
    wait(lambda: place.status()["status"] == "ok", "all is well again")
    place.execute("INSERT INTO bodies VALUES ('b', 'later')")
    place.check()
    assert len(place.log("swapped")) == 1, "nothing but the table is read again"


@pytest.mark.timeout(300)
def test_a_larger_instance_takes_in_what_did_not_fit(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, bodies(source), OTHER, config=RESUME, options=CAP)
    fill(place, "a", 3)
    place.check()
    outgrow(place)
    arguments = place.server.process.args
    assert isinstance(arguments, list)
    arguments[arguments.index("--memory-cap-mb") + 1] = "64"
    place.crash_server()

    place.check()
    wait(lambda: place.status()["status"] == "ok", "all is well again")


@pytest.mark.timeout(300)
def test_a_reload_of_rows_that_do_not_fit_twice_succeeds(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, bodies(source), OTHER, config=RESUME, options=CAP)
    fill(place, "a", 6)
    place.check()
    place.order("reload")
    wait(lambda: place.log("sent_in_place"), "it does not fit beside what serves")

    place.check()
    wait(lambda: place.status()["status"] == "ok", "all is well")
    place.execute("INSERT INTO other VALUES (1, 1)", CHANGE)
    place.check()
