"""Rows of some keys are replaced within changes, and rows are found by their values among pending changes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflexdb.sources.changes import Row
from reflexdb.sync.change_frames import table_find, table_keys
from tests.engine.changing import bodies_of, changed_unseen, check_as_loaded, tell_later
from tests.engine.harness import Cli, bodies
from tests.engine.plans import KINDS, LOGS, PLAN, POSTS, SEATS, TICKETS, USERS
from tests.engine.test_changes import delete, insert, user


def named(table: int, keys: Sequence[Row]) -> bytes:
    return b"".join(bytes(each) for each in table_keys(table, PLAN.tables[table], keys).parts)


def asked(table: int, columns: list[int], values: list[Row], wanted: list[int], most: int = 100) -> bytes:
    frame = table_find(table, PLAN.tables[table], columns, values, wanted, most)
    return b"".join(bytes(each) for each in frame.parts)


def find(cli: Cli, *arguments: Any, **more: Any) -> list[list[Any]]:
    status, answer = cli.order("f", asked(*arguments, **more))
    assert status == 0, answer
    rows: list[list[Any]] = json.loads(answer)["rows"]
    return rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([USERS, POSTS, SEATS, TICKETS]), st.integers(0, 40), st.booleans())
def test_named_rows_become_what_they_are_said_to_be(
    cli: Cli, program: Path, seed: int, table: int, unseen: int, later: bool
) -> None:
    """The model changes behind the engine's back; then it is told the rows of some keys, and what came after."""
    model, served = changed_unseen(cli, seed, unseen)
    known = sorted({*served[table], *model.rows[table]})
    keys = model.dice.sample(known, model.dice.randrange(len(known) + 1))
    told = [model.rows[table][key] for key in keys if key in model.rows[table]]
    served[table] = {key: row for key, row in served[table].items() if key not in keys}
    served[table] |= {model.key(table, row): row for row in told}
    model.rows = served
    cli.do("X", struct.pack("<Q", 0))
    cli.do("k", named(table, keys))
    for body in bodies(PLAN, table, told, model.dice.choice([200, 4 << 20])):
        cli.do("R", body)
    if later:
        tell_later(cli, model)
    cli.do("E")
    check_as_loaded(cli, program, model)
    assert cli.facts()["differences"] == 0


def test_rows_are_found_as_pending_changes_left_them(cli: Cli) -> None:
    rows = [{"id": n, "user_id": n % 3, "title": f"t{n}"} for n in range(6)]
    cli.load({"users": [{"id": n} for n in range(3)], "posts": rows})
    cli.do("X", struct.pack("<Q", 0))
    for body in bodies_of([delete(0), insert(user(9, "new", 2))]):
        cli.do("D", body)

    assert find(cli, USERS, [5], [(2,)], [0, 1]) == [[9, "new"]]
    assert find(cli, POSTS, [1], [(0,), (2,), (7,)], [0]) == [[0], [2], [3], [5]]
    assert find(cli, POSTS, [1, 2], [(0, "t3"), (1, "t3")], [2, 0, 5]) == [["t3", 3, None]]
    assert find(cli, POSTS, [1], [], [0]) == []
    assert find(cli, TICKETS, [0], [(7,)], [0, 1, 0, 1, 0]) == []
    cli.do("k", named(POSTS, [(0,)]))
    assert find(cli, POSTS, [1], [(0,)], [0]) == [[3]]
    cli.do("E")
    assert [row["id"] for row in cli.rows("posts { id }")] == [1, 2, 3, 4, 5]


def test_more_rows_than_wanted_are_announced(cli: Cli) -> None:
    cli.load({"posts": [{"id": n, "user_id": 1} for n in range(5)]})
    cli.do("X", struct.pack("<Q", 0))

    for most, more in ((4, True), (5, False), (0, True)):
        found = json.loads(cli.order("f", asked(POSTS, [1], [(1,)], [0], most))[1])
        assert (len(found["rows"]), found["more"]) == (most, more)


def test_found_values_have_the_forms_of_the_page(cli: Cli) -> None:
    names = [column.name for column in PLAN.tables[KINDS].columns]
    cli.load({"kinds": [{"id": "a", "uuid": bytes(range(16)), "binary": b"\x00\xff", "date": 3, "text": '"'}]})
    cli.do("X", struct.pack("<Q", 0))

    wanted = [names.index(name) for name in ("uuid", "binary", "date", "text", "time")]
    assert find(cli, KINDS, [0], [("a",)], wanted) == [["000102030405060708090a0b0c0d0e0f", "00ff", 3, '"', None]]


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("k", b"", "ends within its header"),
        ("k", named(USERS, [(1,)])[:-1], "ends"),
        ("k", named(USERS, [(1,)]) + b"\0", "bytes follow"),
        ("k", struct.pack("<II", 99, 1), "no table with index 99"),
        ("k", struct.pack("<II", LOGS, 0), "no primary key"),
        ("k", named(USERS, [(None,)]), "a key has a null"),
        ("f", asked(USERS, [5], [(1,)], [0])[:7], "ends within its header"),
        ("f", struct.pack("<IIHHHHI", USERS, 9, 1, 99, 1, 0, 0), "a column that there is not"),
        ("f", struct.pack("<IIHHHI", USERS, 9, 0, 1, 0, 0), "no valid number of columns"),
        ("f", asked(USERS, [5], [(None,)], [0]), "a key has a null"),
        ("f", asked(POSTS, [1], [(1,)], [6]), "floating point"),
        ("f", asked(USERS, [5], [(1,)], [0]) + b"\0", "bytes follow"),
    ],
)
def test_broken_bodies_are_refused_with_a_reason(cli: Cli, kind: str, body: bytes, why: str) -> None:
    cli.load({"users": [{"id": 1}]})
    cli.do("X", struct.pack("<Q", 0))

    assert why in cli.refused(kind, body)
    assert why in cli.refused("E")


def test_rows_of_another_table_than_named_are_refused(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}]})
    cli.do("X", struct.pack("<Q", 0))
    cli.do("k", named(USERS, [(1,)]))
    [body] = bodies(PLAN, POSTS, [{"id": 1}])

    assert "the table that was named last" in cli.refused("R", body)
