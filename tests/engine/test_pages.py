"""Keyset pagination: pages joined are the whole answer, whatever the order and whatever happens between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Cli
from tests.engine.plans import PLAN
from tests.engine.test_against_sqlite import POSTS, USERS

SEATS = [{"row": row, "number": number, "order": None if number % 3 else row} for row in "cab" for number in range(7)]
KINDS = [
    {
        "id": f"k{n}",
        "u64": None if n % 5 == 0 else 2**64 - 1 - n % 3,
        "i16": n % 4 - 2,
        "f64": [0.5, -1e300, None, float("nan"), -0.0][n % 5],
        "decimal": ["1.5", "1.50", "-2", None, "100000000000000000000000.1"][n % 5],
        "date": None if n % 4 == 0 else n % 3,
        "text": ["", "é\n", None, 'a"'][n % 4],
    }
    for n in range(23)
]


@pytest.fixture(scope="module")
def pages(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load({"users": USERS, "posts": POSTS, "seats": SEATS, "kinds": KINDS})
    yield process
    process.close()


def walk(cli: Cli, table: str, clauses: str, limit: int, fields: str = "*") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(200):
        status, page = cli.ask_with(f"{table}({clauses} LIMIT {limit} AFTER $after) {{ {fields} }}", ("after", cursor))
        assert status == 200, page
        assert len(page) <= limit
        rows += page
        cursor = cli.next_page()
        if not cursor:
            return rows
    raise AssertionError("the pages do not end")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_pages_joined_are_the_whole_answer(pages: Cli, data: st.DataObject) -> None:
    table, columns = data.draw(
        st.sampled_from(
            [
                ("users", ["id", "name", "age", "verified", "boss_id"]),
                ("seats", ["row", "number", "order"]),
                ("kinds", ["id", "u64", "i16", "f64", "decimal", "date", "text"]),
            ]
        )
    )
    names = data.draw(st.lists(st.sampled_from(columns), max_size=3, unique=True))
    words = ["", " ASC", " DESC", " NULLS FIRST", " DESC NULLS LAST"]
    keys = ", ".join(f"`{name}`{data.draw(st.sampled_from(words))}" for name in names)
    order = f"ORDER BY {keys}" if keys else ""
    condition = data.draw(
        st.sampled_from(["", "id IN (1, 2, 5, 9, 11)" if table == "users" else "", f"NOT `{columns[1]}` IS NULL"])
    )
    limit = data.draw(st.integers(1, 9))

    whole = pages.rows(f"{table}({condition} {order}) {{ * }}")
    assert walk(pages, table, f"{condition} {order}", limit) == whole


def test_a_cursor_stays_good_while_rows_come_and_go(program: Path) -> None:
    process = Cli(program, PLAN)
    rows = [{"id": n, "age": n % 3} for n in range(20)]
    process.load({"users": rows})
    query = "users(ORDER BY age DESC LIMIT 8 AFTER $after) { id age }"
    first = process.ask_with(query, ("after", ""))[1]
    cursor = process.next_page()
    gone = {first[-1]["id"], 0}
    process.load(
        {"users": [row for row in rows if row["id"] not in gone] + [{"id": 99, "age": 9}, {"id": 98, "age": 0}]}
    )
    rest = process.ask_with(query.replace("LIMIT 8", "LIMIT 100"), ("after", cursor))[1]
    process.close()

    seen = [row["id"] for row in first]
    assert [row["id"] for row in rest] == [
        row["id"]
        for row in [*sorted(rows, key=lambda row: (-row["age"], row["id"])), {"id": 98}]
        if row["id"] not in seen and row["id"] not in gone
    ]


def test_the_next_page_is_told_where_a_page_is_full(pages: Cli) -> None:
    pages.rows("users(ORDER BY id LIMIT 40) { id }")
    assert re.fullmatch("[A-Za-z0-9_-]+", pages.next_page())
    for query in (
        "users(ORDER BY id LIMIT 41) { id }",
        "users(LIMIT 3) { id }",
        "users { id }",
        "users(ORDER BY id) { id }",
    ):
        pages.rows(query)
        assert pages.next_page() == "", query


def test_a_cursor_is_good_for_its_own_query_only(pages: Cli) -> None:
    pages.rows("users(age > 1 ORDER BY name LIMIT 3) { id }")
    cursor = pages.next_page()
    good = "users( age>1 ORDER BY name # again\n LIMIT 7 AFTER '{}') {{ id name }}"
    assert pages.ask(good.format(cursor))[0] == 200
    for query in (
        "users(age > 2 ORDER BY name LIMIT 3 AFTER '{}') {{ id }}",
        "users(age > 1 ORDER BY name DESC LIMIT 3 AFTER '{}') {{ id }}",
        "users(age > 1 ORDER BY id LIMIT 3 AFTER '{}') {{ id }}",
    ):
        status, answer = pages.ask(query.format(cursor))
        assert (status, answer["error"], answer["column"]) == (400, "type_mismatch", query.index("'") + 1)
        assert "cursor" in answer["message"]
    for bad in (
        cursor[:-1],
        cursor + "A",
        cursor + "AAAA",
        "A" + cursor,
        cursor[:11],
        "!",
        "é",
        "A",
        cursor.swapcase(),
    ):
        assert pages.ask(good.format(bad))[1]["error"] == "type_mismatch", bad


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("users(ORDER BY id AFTER '') { id }", 25),
        ("users(LIMIT 2 AFTER) { id }", 20),
        ("users(LIMIT 2 AFTER 5) { id }", 21),
        ("users(LIMIT 2 AFTER '' AFTER '') { id }", 24),
        ("users(LIMIT 2 AFTER '' ORDER BY id) { id }", 24),
        ("users(LIMIT 2 OFFSET 1 AFTER '') { id }", 30),
        ("users { posts(LIMIT 2 AFTER '') { id } }", 29),
        ("a: users(LIMIT 2 AFTER '') { id } posts { id }", 24),
        ("users(GROUP BY age LIMIT 2 AFTER '') { age }", 34),
        ("users(ORDER BY boss.name LIMIT 2 AFTER '') { age }", 40),
        ("logs(LIMIT 2 AFTER '') { line }", 20),
    ],
)
def test_after_is_refused_where_there_are_no_pages(pages: Cli, query: str, column: int) -> None:
    status, answer = pages.ask(query)

    assert (status, answer["error"], answer["column"]) == (400, "syntax_error", column), answer
