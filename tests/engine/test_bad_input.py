"""Numbers and limits at and beyond their edges: an exact answer or an error, never a wrong one."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from typing import Any

import pytest

from tests.engine.harness import Cli

pytestmark = pytest.mark.timeout(1200)

MOST, LEAST = 2**63 - 1, -(2**63)


def exact(cli: Cli, query: str) -> Any:
    status, text = cli.raw(query)
    assert status == 200, text
    return json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize("values", [[MOST] * 3, [LEAST] * 3, [MOST, LEAST, -1], [MOST] * 1000])
def test_sums_of_whole_numbers_are_exact_beyond_64_bits(cli: Cli, values: list[int]) -> None:
    cli.load(
        {"posts": [{"id": i, "user_id": 1, "views": value} for i, value in enumerate(values)], "users": [{"id": 1}]}
    )

    total = sum(values)
    assert exact(cli, "posts { s: sum(views) }") == {"s": total}
    assert exact(cli, "users { posts { s: sum(views) } }") == [{"posts": {"s": total}}]
    assert exact(cli, f"users(posts.sum(views) = {total}) {{ id }}") == [{"id": 1}]
    assert exact(cli, f"users(posts.sum(views) > {total}) {{ id }}") == []


def test_sums_of_unsigned_numbers_and_decimals_are_exact(cli: Cli) -> None:
    large = "9" * 30 + ".999"
    cli.load(
        {
            "kinds": [{"id": f"k{i}", "u64": 2**64 - 1} for i in range(5)],
            "posts": [{"id": i, "price": large} for i in range(7)],
        }
    )

    assert exact(cli, "kinds { s: sum(u64) }") == {"s": 5 * (2**64 - 1)}
    with localcontext(prec=60):  # Python's own would round
        assert exact(cli, "posts { s: sum(price) }") == {"s": 7 * Decimal(large)}


@pytest.mark.parametrize(
    ("clauses", "code"),
    [
        ("LIMIT -1", "syntax_error"),
        ("OFFSET -1", "syntax_error"),
        ("LIMIT 1.5", "syntax_error"),
        ("LIMIT 1e3", "syntax_error"),
        ("LIMIT 18446744073709551616", "syntax_error"),
        ("LIMIT '1'", "syntax_error"),
        ("LIMIT", "syntax_error"),
        ("LIMIT 1 LIMIT 1", "syntax_error"),
    ],
)
def test_a_count_that_is_none_is_refused_at_its_place(cli: Cli, clauses: str, code: str) -> None:
    cli.load({"users": [{"id": 1}]})
    for query in (f"users({clauses}) {{ id }}", f"posts {{ comments({clauses}) {{ id }} }}"):
        status, answer = cli.ask(query)
        assert (status, answer["error"]) == (400, code), answer
        assert query.index(clauses.split()[0]) < answer["column"] <= query.index(")") + 1


@pytest.mark.parametrize("value", ["-1", "1.5", "", "x", "18446744073709551616", " 1"])
def test_a_parameter_that_is_no_count_is_refused(cli: Cli, value: str) -> None:
    cli.load({"users": [{"id": 1}]})
    for clause in ("LIMIT $n", "OFFSET $n"):
        status, answer = cli.ask_with(f"users({clause}) {{ id }}", ("n", value))
        assert (status, answer["error"]) == (400, "type_mismatch"), answer


def test_the_largest_counts_and_none_at_all_are_taken(cli: Cli) -> None:
    cli.load({"users": [{"id": i} for i in range(3)]})
    most = 2**64 - 1

    assert cli.rows(f"users(LIMIT {most}) {{ id }}") == [{"id": 0}, {"id": 1}, {"id": 2}]
    assert cli.rows(f"users(ORDER BY name LIMIT {most} OFFSET 1) {{ id }}") == [{"id": 1}, {"id": 2}]
    assert cli.rows(f"users(ORDER BY name LIMIT {most} OFFSET {most}) {{ id }}") == []
    assert cli.rows("users(ORDER BY name LIMIT 0) { id }") == []
    assert cli.rows("users { id posts(LIMIT 0) { id } }")[0] == {"id": 0, "posts": []}


def test_all_levels_of_an_answer_share_its_limit_of_rows(cli: Cli) -> None:
    cli.load(
        {
            "users": [{"id": i} for i in range(2)],
            "posts": [{"id": i, "user_id": i % 2} for i in range(4)],
            "comments": [{"id": i, "post_id": i % 4} for i in range(8)],
        }
    )
    nested = "users { id posts { id comments { id } } }"
    several = "users { id } posts { id } comments { id }"
    for query in (nested, several):
        cli.limits(rows=14)
        assert cli.ask(query)[0] == 200
        cli.limits(rows=13)
        status, answer = cli.ask(query)
        assert (status, answer["error"]) == (422, "limit_exceeded")


def test_all_levels_of_an_answer_share_its_limit_of_bytes(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}], "posts": [{"id": i, "user_id": 1, "title": "x" * 100} for i in range(50)]})
    size = len(cli.raw("users { id posts { title } }")[1])
    cli.limits(answer_bytes=size)
    assert cli.ask("users { id posts { title } }")[0] == 200
    cli.limits(answer_bytes=size - 110)
    status, answer = cli.ask("users { id posts { title } }")

    assert (status, answer["error"]) == (422, "limit_exceeded")
