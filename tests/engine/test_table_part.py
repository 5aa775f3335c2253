"""Rows of some ranges of a table's key are replaced within changes: what is so already is left alone."""

from __future__ import annotations

import copy
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflexdb.sync.change_frames import table_part
from tests.engine.changing import apply, bodies_of, changed_unseen, check_as_loaded, tell_later
from tests.engine.harness import Cli, bodies
from tests.engine.plans import LOGS, PLAN, POSTS, SEATS, USERS
from tests.engine.test_changes import delete, insert, user

Ranges = list[tuple[int, int]]
EVERYTHING = [(-(1 << 63), (1 << 63) - 1)]
WHOLE: Ranges = []


def part(table: int, ranges: Ranges) -> bytes:
    return b"".join(bytes(each) for each in table_part(table, ranges).parts)


def replace(cli: Cli, table: int, ranges: Ranges, rows: list[dict[str, Any]], wanted: int = 4 << 20) -> None:
    cli.do("a", part(table, ranges))
    for body in bodies(PLAN, table, rows, wanted):
        cli.do("R", body)


@st.composite
def some_ranges(draw: st.DrawFn) -> Ranges:
    edges = sorted(draw(st.sets(st.integers(-3, 30), min_size=1, max_size=8)))
    return [(first, last) for first, last in zip(edges[::2], edges[1::2] or edges, strict=False) if first <= last] or [
        (edges[0], edges[0])
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), some_ranges(), st.sampled_from([USERS, POSTS]), st.integers(0, 40), st.booleans())
def test_a_part_becomes_what_it_is_said_to_be_and_the_rest_stays(
    cli: Cli, program: Path, seed: int, ranges: Ranges, table: int, unseen: int, later: bool
) -> None:
    """The model changes behind the engine's back; then it is told the rows of some ranges, and what came after."""
    model, served = changed_unseen(cli, seed, unseen)

    def within(row: dict[str, Any]) -> bool:
        return any(first <= row["id"] <= last for first, last in ranges)

    told = [row for row in model.rows[table].values() if within(row)]
    model.dice.shuffle(told)
    before = copy.deepcopy(served[table])
    served[table] = {key: row for key, row in served[table].items() if not within(row)}
    served[table] |= {model.key(table, row): row for row in told}
    model.rows = served
    cli.do("X", struct.pack("<Q", 0))
    replace(cli, table, ranges, told, model.dice.choice([200, 4 << 20]))
    if later:
        tell_later(cli, model)
    cli.do("E")
    check_as_loaded(cli, program, model)
    names = [column.name for column in PLAN.tables[table].columns]
    now = model.rows[table]
    assert cli.facts()["differences"] == sum(
        [before.get(key, {}).get(name) for name in names] != [now.get(key, {}).get(name) for name in names]
        or (key in before) != (key in now)
        for key in {**before, **now}
        if any(first <= key[0] <= last for first, last in ranges)
    )


@pytest.mark.parametrize("ranges", [EVERYTHING, WHOLE], ids=["ranges", "whole"])
def test_a_part_that_is_so_already_costs_nothing_and_is_no_difference(cli: Cli, ranges: Ranges) -> None:
    rows = [{"id": n, "name": "x" * 100} for n in range(5_000)]
    cli.load({"users": rows})
    before = cli.facts()["bytes"]
    cli.do("X", struct.pack("<Q", before + 1000))  # no room for a second copy
    replace(cli, USERS, ranges, rows)
    cli.do("E")

    assert (cli.facts()["differences"], cli.facts()["bytes"]) == (0, before)


def test_a_whole_table_with_a_key_of_text_is_replaced_in_place(cli: Cli) -> None:
    long = "x" * 1000
    seats = [{"row": f"r{n % 50}", "number": n, "order": long} for n in range(2_000)]
    cli.load({"seats": seats, "tickets": [{"id": 1, "row": "r7", "number": 7}]})
    cli.do("X", struct.pack("<Q", cli.facts()["bytes"] + (1 << 20)))  # no room for a second copy
    now = [*seats[:7], *seats[8:1_999], {"row": "r3", "number": 9_999, "order": "new"}]
    now[0] = {**now[0], "order": "changed"}
    replace(cli, SEATS, WHOLE, now)
    cli.do("E")

    assert cli.facts()["differences"] == 4
    served = cli.rows("seats { row number order }")
    assert sorted(served, key=str) == sorted(now, key=str)


def test_changes_over_the_cap_are_refused_with_the_largest_table(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}]})
    cli.do("X", struct.pack("<Q", 2 << 20))
    for body in bodies_of([insert(*(user(n, f"{n:04}" * 350) for n in range(10, 1_010)))]):
        cli.do("D", body)
    message, first = "", 0
    while not message:  # small rows, that only come last
        first += 1_000
        posts = [(n, 1, None, None, None, None, None, None) for n in range(first, first + 1_000)]
        status, answer = cli.order("D", bodies_of([insert(*posts, table=POSTS)])[0])
        message = answer.decode() if status else ""

    assert message.startswith("cap_exceeded: Table `users`: ")
    assert "at most 2 MiB" in message


@pytest.mark.parametrize("ranges", [WHOLE, None], ids=["in place", "as another"])
def test_a_table_that_does_not_fit_is_refused_with_its_name(cli: Cli, ranges: Ranges | None) -> None:
    cli.load({"users": [{"id": 1}]})
    cli.do("X", struct.pack("<Q", 1 << 20))
    cli.do(*(("T", struct.pack("<I", USERS)) if ranges is None else ("a", part(USERS, ranges))))
    message = ""
    for body in bodies(PLAN, USERS, [{"id": n, "name": f"{n}" * 300} for n in range(3_000)], 1 << 16):
        status, answer = cli.order("R", body)
        message = answer.decode() if status else message

    assert message.startswith("cap_exceeded: Table `users`: ")
    assert cli.refused("E") == message
    assert cli.rows("users { id }") == [{"id": 1}]


def test_ends_of_ranges_are_within_and_what_is_beside_them_is_not(cli: Cli) -> None:
    cli.load({"users": [{"id": n} for n in range(10)]})
    cli.do("X", struct.pack("<Q", 0))
    cli.do("a", part(USERS, [(2, 3), (7, 7)]))
    cli.do("E")

    assert [row["id"] for row in cli.rows("users { id }")] == [0, 1, 4, 5, 6, 8, 9]
    assert cli.facts()["differences"] == 3


def test_parts_and_a_table_may_follow_each_other(cli: Cli) -> None:
    cli.load({"users": [{"id": n} for n in range(6)], "posts": [{"id": 1, "user_id": 5}]})
    cli.do("X", struct.pack("<Q", 0))
    replace(cli, USERS, [(0, 1)], [{"id": 1, "name": "one"}])
    replace(cli, POSTS, EVERYTHING, [{"id": 2, "user_id": 5}])
    replace(cli, USERS, [(4, 4)], [])
    for body in bodies_of([delete(3), insert(user(4, "again"))]):
        cli.do("D", body)
    cli.do("E")

    assert cli.rows("users { id name }") == [
        {"id": 1, "name": "one"},
        {"id": 2, "name": None},
        {"id": 4, "name": "again"},
        {"id": 5, "name": None},
    ]
    assert cli.rows("posts { id user { id } }") == [{"id": 2, "user": {"id": 5}}]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "ends within its header"),
        (part(USERS, [(1, 2)])[:-1], "as many ranges"),
        (part(USERS, [(1, 2)]) + b"\0", "as many ranges"),
        (part(99, [(1, 2)]), "no table with index 99"),
        (part(LOGS, [(1, 2)]), "has no key"),
        (part(LOGS, WHOLE), "has no key"),
        (part(SEATS, [(1, 2)]), "does not begin with an integer"),
        (part(USERS, [(2, 1)]), "not in order"),
        (part(USERS, [(1, 5), (5, 9)]), "not in order"),
        (part(USERS, [(5, 9), (1, 2)]), "not in order"),
    ],
    ids=[
        "nothing",
        "cut",
        "more",
        "no table",
        "no key",
        "no key, whole",
        "a key of text",
        "backwards",
        "overlapping",
        "out of order",
    ],
)
def test_a_part_that_does_not_parse_is_refused(cli: Cli, body: bytes, why: str) -> None:
    cli.load({"users": [{"id": 1}]})
    cli.do("X", struct.pack("<Q", 0))
    message = cli.refused("a", body)

    assert message.startswith("protocol_error: A TABLE_PART frame: ")
    assert why in message
    assert cli.refused("E").startswith("protocol_error")
    assert cli.rows("users { id }") == [{"id": 1}]


@pytest.mark.parametrize(
    ("table", "rows", "refusal"),
    [(USERS, [{"id": 5}], "invalid_rows: Table `users`: a row is not in the part"), (POSTS, [{"id": 1}], "protocol")],
)
def test_rows_that_are_not_of_the_part_are_refused(
    cli: Cli, table: int, rows: list[dict[str, Any]], refusal: str
) -> None:
    cli.load({"users": [{"id": 1}]})
    cli.do("X", struct.pack("<Q", 0))
    cli.do("a", part(USERS, [(1, 2)]))

    assert cli.refused("R", bodies(PLAN, table, rows)[0]).startswith(refusal)
    assert cli.refused("E").startswith(refusal)


def test_a_part_after_other_changes_of_its_group_counts_from_before_them(cli: Cli) -> None:
    cli.load({"users": [{"id": n} for n in range(4)]})
    cli.do("X", struct.pack("<Q", 0))
    cli.do("D", bodies_of([delete(0)])[0])
    replace(cli, USERS, [(0, 3)], [{"id": n} for n in range(4)])
    cli.do("E")

    assert cli.facts()["differences"] == 0
    apply(cli, [delete(0)])
    assert [row["id"] for row in cli.rows("users { id }")] == [1, 2, 3]
