"""Keys that follow one another are told from the row's number, not read: nobody sees a difference."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from tests.engine.changing import Model, apply
from tests.engine.harness import Cli, build
from tests.engine.plans import PLAN, POSTS, TICKETS, USERS, column, table

pytestmark = pytest.mark.timeout(1200)

ROWS = 2_500
FIRST_DAY = date(2026, 4, 15)
FIRSTS: dict[Storage, list[int]] = {
    Storage.I16: [-(2**15), -1_250, 0, 2**15 - ROWS],
    Storage.I32: [-(2**31), -7, 0, 1, 99_998_000, 2**31 - ROWS],
    Storage.I64: [-(2**63), -7, 0, 1, 99_998_000, 10**16 - 1_000, 2**63 - ROWS],
    Storage.U64: [0, 1, 2**63 - 1_000, 2**64 - ROWS],
}
COUNTED = [(storage, first) for storage, firsts in FIRSTS.items() for first in firsts]
OTHERS: dict[str, tuple[Storage, list[Any], list[Any]]] = {
    "date": (Storage.DATE, [-1, 0, 1], ["1969-12-31", "1970-01-01", "1970-01-02"]),
    "timestamp": (Storage.TIMESTAMP, [0, 1], ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z"]),
    "bool": (Storage.BOOL, [False, True], [False, True]),
}
"""Keys that count up too, and are not answered as numbers: as they are given, and as they are answered."""
KEYED = Plan(
    Backend.SQLITE,
    "main",
    tuple(
        table(storage.name.lower(), [column("id", storage, nullable=False), column("x", Storage.TEXT)])
        for storage in (*FIRSTS, *(storage for storage, _, _ in OTHERS.values()))
    ),
)


@pytest.fixture
def keyed(pytestconfig: pytest.Config) -> Iterator[Cli]:
    process = Cli(build(KEYED, pytestconfig.cache.mkdir("engine")), KEYED)
    yield process
    process.close()


@pytest.mark.parametrize(("storage", "first"), COUNTED, ids=lambda value: getattr(value, "name", str(value)))
def test_numbers_that_count_up_are_answered_as_they_are(keyed: Cli, storage: Storage, first: int) -> None:
    name = storage.name.lower()
    rows = [{"id": first + i, "x": f"x{i}"} for i in range(ROWS)]
    keyed.load({name: rows})

    _, answer = keyed.raw(f"{name} {{ id x again: id }}")
    assert answer == "[" + ",".join(f'{{"id":{r["id"]},"x":"{r["x"]}","again":{r["id"]}}}' for r in rows) + "]"
    assert keyed.rows(f"{name}(id = {first + 77}) {{ id }}") == [{"id": first + 77}]


@pytest.mark.parametrize("name", OTHERS)
def test_what_counts_up_and_is_no_number_is_answered_in_its_own_form(keyed: Cli, name: str) -> None:
    _, given, shown = OTHERS[name]
    keyed.load({name: [{"id": value, "x": "x"} for value in given]})

    assert [row["id"] for row in keyed.rows(f"{name} {{ id }}")] == shown


def test_dates_that_count_up_are_dates(keyed: Cli) -> None:
    days = [FIRST_DAY + timedelta(days=i) for i in range(ROWS)]
    keyed.load({"date": [{"id": day, "x": None} for day in days]})

    assert [row["id"] for row in keyed.rows("date { id x }")] == [day.isoformat() for day in days]


@pytest.mark.parametrize("index", [USERS, POSTS, TICKETS], ids=["i32", "i64", "u64"])
def test_rows_that_went_moved_and_came_have_their_own_keys(cli: Cli, index: int) -> None:
    """Numbers of rows that went are given to others, whose keys do not follow."""
    name = PLAN.tables[index].name
    model = Model(random.Random(index))
    for i in range(300):
        model.insert(index, {"id": i + 5})
    model.take_log()
    cli.load(model.listed())
    for turn in range(30):
        for _ in range(5):
            model.delete(index)
            model.update(index, {"id": 10_000 + model.dice.randrange(10**6)})
        model.insert(index, {"id": 305 + turn})
        model.insert(index, {"id": 2_000_000 + turn})
        apply(cli, model.take_log())
        wanted = sorted(row["id"] for row in model.rows[index].values())
        assert [row["id"] for row in cli.rows(f"{name} {{ id }}")] == wanted
        some = model.dice.choice(wanted)
        assert cli.rows(f"{name}(id = {some}) {{ id }}") == [{"id": some}]
