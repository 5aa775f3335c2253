"""A snapshot that was changed row by row answers what one loaded with the same rows answers."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflexdb.sources.changes import Op, Row, Rows
from tests.engine.changing import Model, answers, apply, bodies_of
from tests.engine.harness import Cli, bodies
from tests.engine.plans import LOGS, PLAN, POSTS, USERS


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([6, 25, 200]), st.integers(0, 120))
def test_random_changes_end_where_a_fresh_load_of_the_same_rows_ends(
    cli: Cli, program: Path, seed: int, keys: int, first: int
) -> None:
    model = Model(random.Random(seed))
    for _ in range(first):
        model.change(keys)
    model.take_log()
    cli.load(model.listed())
    other = Cli(program, PLAN)
    try:
        for _ in range(6):
            for _ in range(model.dice.choice([1, 5, 60])):
                model.change(keys)
            apply(cli, model.take_log(), wanted=model.dice.choice([200, 4 << 20]))
            other.load(model.listed())

            assert answers(cli) == answers(other)
            assert cli.facts()["rows"] == other.facts()["rows"]
    finally:
        other.close()


def user(number: int, name: str | None = None, boss: int | None = None) -> Row:
    return (number, name, None, None, None, boss, None)


def insert(*rows: Row, table: int = USERS) -> Rows:
    return Rows(table, [Op.INSERT] * len(rows), [None] * len(rows), list(rows))


def delete(*keys: int, table: int = USERS) -> Rows:
    return Rows(table, [Op.DELETE] * len(keys), [(key,) for key in keys], [None] * len(keys))


def rename(number: int, name: str) -> Rows:
    return Rows(USERS, [Op.UPDATE], [(number,)], [user(number, name)])


@pytest.mark.parametrize(
    "changes",
    [
        [insert(user(1))],
        [delete(3)],
        [rename(3, "x")],
        [delete(1), delete(1)],
        [Rows(USERS, [Op.UPDATE], [(1,)], [user(2)])],
    ],
    ids=["inserted twice", "deleted without being there", "updated without being there", "deleted twice", "key taken"],
)
def test_changes_that_do_not_fit_are_refused_and_leave_everything_as_it_was(cli: Cli, changes: list[Rows]) -> None:
    cli.load({"users": [{"id": 1}, {"id": 2}]})
    before = answers(cli)
    cli.do("X", struct.pack("<Q", 0))
    for body in bodies_of([rename(1, "half"), *changes]):
        cli.order("D", body)

    assert cli.refused("E").startswith("out_of_step: Table `users`")
    assert answers(cli) == before


def test_rows_in_the_middle_at_the_end_and_again_stand_in_the_order_of_their_keys(cli: Cli) -> None:
    cli.load({"users": [{"id": n} for n in range(0, 3000, 2)]})
    expected = list(range(0, 3000, 2))
    for batch in ([3000, 3001], [5], [2999, 7], [-1]):
        apply(cli, [insert(*(user(n) for n in batch))])
        expected = sorted([*expected, *batch])

        assert [row["id"] for row in cli.rows("users { id }")] == expected
        assert [row["id"] for row in cli.rows("users(ORDER BY id DESC LIMIT 5) { id }")] == expected[::-1][:5]
    apply(cli, [delete(*expected[::3])])
    del expected[::3]
    apply(cli, [insert(user(6001), user(6000))])
    expected += [6000, 6001]

    assert [row["id"] for row in cli.rows("users { id }")] == expected


def test_numbers_of_deleted_rows_are_used_again(cli: Cli) -> None:
    """A queue, filled at one end and emptied at the other, must not grow."""
    cli.load({"users": [{"id": n, "name": "x" * 50} for n in range(500)]})
    sizes = []
    for round_ in range(40):
        first = round_ * 250
        apply(cli, [delete(*range(first, first + 250)), insert(*(user(500 + first + n, "x" * 50) for n in range(250)))])
        sizes.append(cli.facts()["bytes"])

    assert cli.facts()["rows"][USERS] == 500
    assert sizes[-1] < 2 * sizes[9]
    assert [row["id"] for row in cli.rows("users { id }")] == list(range(10_000, 10_500))


def test_memory_is_counted_and_the_cap_holds(cli: Cli) -> None:
    cli.load({"users": [{"id": n, "name": "x"} for n in range(100)]})
    before = cli.facts()["bytes"]
    apply(cli, [insert(*(user(1000 + n, "y" * 1000) for n in range(1000)))])
    grown = cli.facts()["bytes"] - before
    cli.do("X", struct.pack("<Q", 4 << 20))
    (body,) = bodies_of([insert(*(user(9000 + n, "z" * 1000) for n in range(4000)))], 64 << 20)
    message = cli.refused("D", body)

    assert 1_000_000 < grown < 4_000_000
    assert message.startswith("cap_exceeded")
    assert "at most 4 MiB" in message


def test_changing_a_row_again_and_again_does_not_add_up(cli: Cli) -> None:
    cli.load({"users": [{"id": n, "name": f"{n:04}" * 50} for n in range(2000)]})
    sizes = []
    for round_ in range(300):
        apply(cli, [rename(round_ % 5, f"{round_}" * 100)])
        sizes.append(cli.facts()["bytes"])

    assert max(sizes) < 2 * sizes[0]
    assert cli.rows("users(id = 4) { name }") == [{"name": "299" * 100}]


def test_a_table_is_replaced_within_changes_and_what_differs_is_linked(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}, {"id": 2}], "posts": [{"id": 7, "user_id": 2}]})
    cli.do("X", struct.pack("<Q", 0))
    cli.do("D", bodies_of([insert((8, 3, None, None, None, None, None, None), table=POSTS)])[0])
    cli.do("T", struct.pack("<I", USERS))
    for body in bodies(PLAN, USERS, [{"id": 3}, {"id": 4}]):
        cli.do("R", body)
    cli.do("D", bodies_of([delete(4)])[0])
    cli.do("E")

    assert cli.rows("posts { id user { id } }") == [{"id": 7, "user": None}, {"id": 8, "user": {"id": 3}}]
    assert cli.rows("users { id }") == [{"id": 3}]


def test_a_table_without_a_key_takes_inserts_only(cli: Cli) -> None:
    cli.load({"logs": [{"line": "a"}]})
    apply(cli, [insert(("b", 1, None), table=LOGS)])
    body = bytearray(bodies_of([insert(("c", 1, None), table=LOGS)])[0])
    body[8] = Op.DELETE
    cli.do("X", struct.pack("<Q", 0))

    assert cli.refused("D", bytes(body)).startswith("protocol_error")
    assert cli.rows("logs { line }") == [{"line": "a"}, {"line": "b"}]


def test_a_body_cut_short_or_with_more_behind_is_refused(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}, {"id": 2}]})
    (body,) = bodies_of([Rows(USERS, [Op.UPDATE, Op.INSERT], [(1,), None], [user(1, "é"), user(5)])])
    for end in [*range(len(body)), len(body) + 1]:
        cli.do("X", struct.pack("<Q", 0))
        assert cli.refused("D", (body + b"\0")[:end]).startswith("protocol_error")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_body_with_bytes_changed_is_taken_or_refused(cli: Cli, data: st.DataObject) -> None:
    cli.load({"users": [{"id": n, "name": "n"} for n in range(4)]})
    rows = Rows(USERS, [Op.UPDATE, Op.INSERT, Op.DELETE], [(1,), None, (2,)], [user(1, "é"), user(5), None])
    changed = bytearray(bodies_of([rows])[0])
    for _ in range(3):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cli.do("X", struct.pack("<Q", 0))
    status, answer = cli.order("D", bytes(changed))
    done, _ = cli.order("E")

    assert status == done
    assert status == 0 or answer.startswith((b"protocol_error", b"invalid_rows", b"out_of_step"))
    assert answers(cli)
