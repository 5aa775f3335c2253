"""Whatever bytes come in, the answer is an answer or a clean error; the sanitizers watch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Cli
from tests.engine.plans import PLAN
from tests.engine.test_language import WORLD

QUERIES = [
    'users(plan = "\\u00e9\\n" OR (NOT age BETWEEN 1 AND 2e1 AND posts.comments.approved != true)) { * posts { id } }',
    "posts(user(name ILIKE '%_a''b\\%' AND id IN (1,2,3)) ORDER BY views DESC NULLS LAST, id LIMIT 3 OFFSET 1) { ... }",
    "comments(author.boss.name IS NOT NULL) { `id` author { name } # note\n }",
]


@pytest.fixture(scope="module")
def world(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load(WORLD)
    yield process
    process.close()


def clean(world: Cli, query: bytes) -> int:
    status, answer = world.ask(query)
    if status != 200:
        assert status in (400, 413, 422), answer
        assert answer["error"]
        assert answer["message"].endswith(".")
    return status


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_cut_at_any_byte_is_an_error(world: Cli, query: str) -> None:
    assert clean(world, query.encode()) == 200
    for end in range(len(query.encode())):
        assert clean(world, query.encode()[:end]) == 400 or query[end:].strip() == ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(QUERIES), st.data())
def test_a_query_with_bytes_changed_is_answered_cleanly(world: Cli, query: str, data: st.DataObject) -> None:
    changed = bytearray(query.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    clean(world, bytes(changed))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_answered_cleanly(world: Cli, query: bytes) -> None:
    clean(world, query)


@pytest.mark.parametrize(
    "query",
    [
        "users " + "{ users " * 10_000,
        "users(" + "(" * 10_000,
        "users(" + "boss." * 10_000 + "id = 1) { id }",
        "users(" + "posts(user(" * 5_000,
        "users(boss(" * 5_000,
    ],
)
def test_deep_nesting_is_refused_without_harm(cli: Cli, query: str) -> None:
    cli.load({})
    for depth in (64, 100_000):
        cli.limits(depth=depth)
        status, answer = cli.ask(query)

        assert (status, answer["error"]) == (422, "limit_exceeded")


def test_many_nots_are_not_nesting(world: Cli) -> None:
    assert len(world.rows("users(" + "NOT " * 10_001 + "id = 1) { id }")) == 3


def test_a_long_in_list_is_answered(world: Cli) -> None:
    numbers = ",".join(str(n) for n in range(2, 100_000))

    assert len(world.rows(f"users(id IN ({numbers})) {{ id }}")) == 3
    assert len(world.rows(f"users(age IN ({numbers})) {{ id }}")) == 3
    assert len(world.rows("users(name NOT IN (" + ",".join(f"'{n}'" for n in range(50_000)) + ")) { id }")) == 3


def test_limits_on_size_rows_bytes_and_time(cli: Cli) -> None:
    cli.load({"users": [{"id": n, "name": "x" * 100, "boss_id": 1} for n in range(1, 3001)]})
    cli.limits(query_bytes=10)
    assert cli.ask("users { id name }")[0] == 413
    cli.limits(rows=2999)
    assert cli.ask("users { id }")[1]["error"] == "limit_exceeded"
    assert len(cli.rows("users(LIMIT 2999) { id }")) == 2999
    cli.limits(answer_bytes=100_000)
    assert cli.ask("users { name }")[1]["error"] == "limit_exceeded"
    cli.limits(milliseconds=50)
    blowup = "users { users { users { users { id } } } }"
    status, answer = cli.ask("users(users.users.boss.users.users.boss.users.id = 0) { id }")
    assert (status, answer["error"]) == (422, "limit_exceeded") or answer == []
    assert cli.ask(blowup)[0] in (200, 422)


def test_a_hostile_pattern_ends_with_its_time(cli: Cli) -> None:
    cli.load({"users": [{"id": 1, "name": "a" * 400_000}]})
    cli.limits(milliseconds=100)

    status, answer = cli.ask("users(name LIKE '%" + "_a" * 100_000 + "b%') { id }")

    assert (status, answer.get("error")) == (422, "limit_exceeded")
