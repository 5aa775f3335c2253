"""A value that can't be served is its table's trouble: it is named, others go on, and it comes back once corrected."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

pytestmark = pytest.mark.each_binlog

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
NUMBERS = f"{RESUME}overrides: {{odd: {{types: {{code: number}}}}}}\n"
OTHER = "CREATE TABLE other (id int PRIMARY KEY)"


def stale(place: Place) -> list[str]:
    return [told["table"] for told in place.health().get("tables") or []]


def follows_others(place: Place, number: int) -> None:
    place.execute(f"INSERT INTO other VALUES ({number})")
    wait(lambda: place.ask(f"other(id = {number}) {{ id }}"), "the other table to go on", 20)


def test_a_value_of_another_type_freezes_its_table_alone(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, "CREATE TABLE odd (id int PRIMARY KEY, code varchar(20))", OTHER, config=NUMBERS)
    place.execute("INSERT INTO odd VALUES (1, '12')")
    wait(lambda: place.ask("odd { id code }") == [{"id": 1, "code": 12}], "a number")
    place.execute("INSERT INTO odd VALUES (2, 'twelve'), (3, '13')")
    wait(lambda: stale(place) == ["odd"], "the table to be named")
    follows_others(place, 1)
    (told,) = place.health()["tables"]
    assert told["reason"].startswith("source_data: Column 'code' of table 'odd' holds 'twelve'")
    assert place.status()["status"] == "degraded"
    assert place.ask("odd { id }") == [{"id": 1}]

    place.execute("UPDATE odd SET code = '14' WHERE id = 2")
    wait(lambda: not stale(place), "the table to come back")
    place.check()
    assert len(place.log("swapped")) == 1, "nothing but the table was read again"


def test_a_moment_beyond_what_is_served_freezes_its_table_alone(follow: Follow, postgres_database: Any) -> None:
    place = follow(
        (Backend.POSTGRES, postgres_database), "CREATE TABLE t (id int PRIMARY KEY, at timestamp)", OTHER, config=RESUME
    )
    place.execute("INSERT INTO t VALUES (1, '294276-01-01')")
    wait(lambda: stale(place) == ["t"], "the table to be named")
    follows_others(place, 1)
    place.execute("DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (2, '2026-01-01')")
    wait(lambda: not stale(place), "the table to come back")
    place.check()
