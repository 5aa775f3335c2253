"""The published language, form by form, on a small world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.harness import Cli
from tests.engine.plans import PLAN

WORLD: dict[str, list[dict[str, Any]]] = {
    "users": [
        {"id": 1, "name": "Ada", "plan": "pro", "verified": True, "age": 36, "email": "ada@x"},
        {"id": 2, "name": "Émile", "plan": "free", "verified": True, "age": None, "boss_id": 1, "email": "emile@x"},
        {"id": 3, "name": "Straße", "plan": "free", "verified": False, "age": 20, "boss_id": 1, "email": "s@x"},
        {"id": 4, "name": None, "plan": None, "verified": None, "age": 50, "boss_id": 99},
    ],
    "posts": [
        {"id": 10, "user_id": 1, "title": "One", "views": 5, "published": True, "price": "1.50", "score": 0.1},
        {"id": 11, "user_id": 1, "title": "Two", "views": 50, "published": False, "price": "-0.001", "score": 1e300},
        {"id": 12, "user_id": 2, "title": "Three", "views": None, "published": True, "price": "2"},
        {"id": 13, "user_id": 77, "title": "Lost", "views": 1, "published": True},
        {"id": 14, "user_id": None, "title": "100%_\\", "views": 9, "published": False},
    ],
    "comments": [
        {"id": 20, "post_id": 11, "author": "emile@x", "body": "yes", "approved": True},
        {"id": 21, "post_id": 11, "author": "nobody", "body": "no", "approved": False},
        {"id": 22, "post_id": 12, "author": None, "body": None, "approved": None},
    ],
    "seats": [{"row": "b", "number": 1, "order": "x"}, {"row": "a", "number": 2}, {"row": "a", "number": 1}],
    "tickets": [
        {"id": 18446744073709551615, "seat_number": 2, "seat_row": "a"},
        {"id": 1, "seat_number": 1, "seat_row": "b"},
        {"id": 2, "seat_number": None, "seat_row": "a"},
        {"id": 3, "seat_number": 9, "seat_row": "a"},
    ],
    "logs": [{"line": "z", "é": 1}, {"line": "a", '"); system("x");//': 2}],
}


@pytest.fixture(scope="module")
def world(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load(WORLD)
    yield process
    process.close()


def ids(world: Cli, condition: str, table: str = "users") -> list[int]:
    return [row["id"] for row in world.rows(f"{table}({condition}) {{ id }}")]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('plan = "pro"', [1]),
        ("plan = 'free'", [2, 3]),
        ('plan != "pro"', [2, 3]),
        ('plan = "pro" OR (plan = "free" AND verified = true)', [1, 2]),
        ('plan = "pro" or plan = "free" and verified = false', [1, 3]),
        ("verified = 1", [1, 2]),
        ("verified = 0.0", [3]),
        ("age IS NULL", [2]),
        ("age is not null", [1, 3, 4]),
        ("age > 20", [1, 4]),
        ("age >= 2e1", [1, 3, 4]),
        ("age BETWEEN 20 AND 36", [1, 3]),
        ("NOT age BETWEEN 20 AND 36", [4]),
        ("age NOT BETWEEN 20 AND 36", [4]),
        ("age < 99999999999999999999999999999999999999999999", [1, 3, 4]),
        ("age = 70000", []),
        ("age != 70000", [1, 3, 4]),
        ("id IN (3, 1, 3, 99)", [1, 3]),
        ("id NOT IN (3, 1)", [2, 4]),
        ("NOT (id = 1 OR age > 30)", [3]),
        ("id = 2", [2]),
        ("id = 2 AND age = 1", []),
        ("id = -5", []),
        ("id = 1.0", [1]),
        ('name LIKE "A%"', [1]),
        ('name LIKE "a%"', []),
        ('name ILIKE "a%"', [1]),
        ('name ILIKE "éMI__"', [2]),
        ('name LIKE "_mile"', [2]),
        ('name NOT LIKE "%a%"', [2]),
        ('name > "B"', [2, 3]),
        ("boss.name = 'Ada'", [2, 3]),
        ("boss_id = 1", [2, 3]),
        ("boss_id = 99", [4]),
        ("boss_id IN (1, 99)", [2, 3, 4]),
        ("posts.published = true", [1, 2]),
        ("NOT posts.published = true", [3, 4]),
        ("posts.published = false AND posts.published = true", [1]),
        ("posts(published = false AND views > 10)", [1]),
        ("posts(published = true AND views > 10)", []),
        ("posts.comments.approved = true", [1]),
        ("users.posts.id = 12", [1]),
        ("comments.body = 'yes'", [2]),
        ("posts.views IS NULL", [2]),
        ("`age` = 36", [1]),
        ("id = 1 # the first\n", [1]),
        ("", [1, 2, 3, 4]),
    ],
)
def test_a_condition_keeps_exactly_the_rows_for_which_it_is_true(
    world: Cli, condition: str, expected: list[int]
) -> None:
    assert ids(world, condition) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("user_id = 1", [10, 11]),
        ("user_id = 77", [13]),
        ("user_id = 5", []),
        ("published = true AND user_id = 1", [10]),
        ("user.boss.plan = 'pro'", [12]),
        ("price = 1.5", [10]),
        ("price = 1.500", [10]),
        ("price < 0", [11]),
        ("price IN (15e-1, 2.0)", [10, 12]),
        ("price BETWEEN -0.001 AND 1.5", [10, 11]),
        ("score = 0.1", [10]),
        ("score > 0.1", [11]),
        ('title LIKE "100\\\\%\\\\_%"', [14]),
        ('title LIKE "%\\\\"', [14]),
        ("title LIKE '%e%'", [10, 12]),
        ("title LIKE 'T%_e'", [12]),
        ("title LIKE 'T__'", [11]),
        ("title LIKE ''", []),
    ],
)
def test_conditions_on_posts(world: Cli, condition: str, expected: list[int]) -> None:
    assert ids(world, condition, "posts") == expected


def test_relations_are_objects_one_way_and_arrays_the_other(world: Cli) -> None:
    assert world.raw("posts(id IN (10, 13, 14)) { title user { name } }")[1] == (
        '[{"title":"One","user":{"name":"Ada"}},{"title":"Lost","user":null},{"title":"100%_\\\\","user":null}]'
    )
    assert world.raw("users(id = 1) { posts { id comments { body author { name } } } }")[1] == (
        '[{"posts":[{"id":10,"comments":[]},{"id":11,"comments":'
        '[{"body":"yes","author":{"name":"Émile"}},{"body":"no","author":null}]}]}]'
    )


def test_a_relation_named_like_a_column_is_meant_where_braces_or_a_dot_follow(world: Cli) -> None:
    assert ids(world, "author = 'nobody'", "comments") == [21]
    assert ids(world, "author.id = 2", "comments") == [20]
    assert world.rows("comments(id = 20) { author }") == [{"author": "emile@x"}]


def test_composite_keys_join_and_order(world: Cli) -> None:
    assert world.rows("seats { row number tickets { id } }") == [
        {"row": "a", "number": 1, "tickets": []},
        {"row": "a", "number": 2, "tickets": [{"id": 18446744073709551615}]},
        {"row": "b", "number": 1, "tickets": [{"id": 1}]},
    ]
    assert world.rows("seats(number = 2 AND row = 'a') { tickets { seats { order } } }") == [
        {"tickets": [{"seats": {"order": None}}]}
    ]
    assert ids(world, "seat_row = 'a' AND seat_number = 9", "tickets") == [3]
    assert ids(world, "id = 18446744073709551615", "tickets") == [18446744073709551615]
    assert world.rows("seats(`order` = 'x') { order }") == [{"order": "x"}]


def test_a_table_without_key_keeps_the_order_of_its_source(world: Cli) -> None:
    assert [row["line"] for row in world.rows("logs { line }")] == ["z", "a"]
    assert world.rows('logs(`"); system("x");//` = 2 AND é IS NULL) { `"); system("x");//` }') == [
        {'"); system("x");//': 2}
    ]


def test_wildcards(world: Cli) -> None:
    star = world.rows("users(id = 1) { * }")[0]
    assert list(star) == ["id", "name", "plan", "verified", "age", "boss_id", "email"]
    assert list(world.rows("users(id = 1) { * name posts { id } }")[0])[-2:] == ["name", "posts"]
    dots = world.rows("users(id = 1) { ... posts { title } }")[0]
    assert dots["boss"] is None
    assert dots["posts"] == [{"title": "One"}, {"title": "Two"}]
    assert list(dots["users"][0]) == list(star)
    comment = world.rows("comments(id = 20) { ... }")[0]
    assert comment["author"] == "emile@x"
    assert comment["post"]["id"] == 11
    assert world.rows("secrets { * }") == []


@pytest.mark.parametrize(
    ("clauses", "expected"),
    [
        ("ORDER BY age", [3, 1, 4, 2]),
        ("ORDER BY age DESC", [2, 4, 1, 3]),
        ("ORDER BY age DESC NULLS LAST", [4, 1, 3, 2]),
        ("ORDER BY age NULLS FIRST LIMIT 2", [2, 3]),
        ("ORDER BY id DESC", [4, 3, 2, 1]),
        ("ORDER BY id DESC LIMIT 2 OFFSET 1", [3, 2]),
        ("ORDER BY verified DESC NULLS LAST, id DESC", [2, 1, 3, 4]),
        ("LIMIT 2", [1, 2]),
        ("OFFSET 3", [4]),
        ("OFFSET 18446744073709551615 LIMIT 18446744073709551615", []),
        ("LIMIT 0", []),
        ("age > 0 ORDER BY id DESC LIMIT 1", [4]),
        ("boss_id = 1 ORDER BY name DESC", [2, 3]),
    ],
)
def test_order_limit_and_offset(world: Cli, clauses: str, expected: list[int]) -> None:
    assert ids(world, clauses) == expected


def test_clauses_hold_for_each_parent(world: Cli) -> None:
    assert world.rows("users(id IN (1, 2)) { posts(ORDER BY id DESC LIMIT 1) { id } }") == [
        {"posts": [{"id": 11}]},
        {"posts": [{"id": 12}]},
    ]
    assert world.rows("posts(id = 10) { user(plan = 'free') { id } }") == [{"user": None}]


@pytest.mark.parametrize(
    ("query", "code", "line", "column", "hint"),
    [
        ("user { id }", "unknown_table", 1, 1, "did you mean `users`?"),
        ("users {\n  é\n}", "unknown_field", 2, 3, None),
        ("users { nmae }", "unknown_field", 1, 9, "did you mean `name`?"),
        ("users { id\n Name }", "unknown_field", 2, 2, "did you mean `name`?"),
        ("users('é' = 1) { id }", "syntax_error", 1, 7, "the literal stands on the right: id = 42"),
        ("users(name = 'é' AND age = 'x') { id }", "type_mismatch", 1, 28, None),
        ("users { posts }", "unknown_field", 1, 9, "say which of its fields: posts { id } or posts { * }"),
        ("users { name { id } }", "unknown_field", 1, 9, None),
        ("users(age = NULL) { id }", "syntax_error", 1, 13, "write IS NULL or IS NOT NULL"),
        ("users { id id }", "syntax_error", 1, 12, "an alias tells them apart: other: id"),
        ("secrets { id }", "unknown_field", 1, 11, None),
        ("users {}", "syntax_error", 1, 8, "`*` selects every field"),
        ("users { id, name }", "syntax_error", 1, 11, None),
    ],
)
def test_an_error_says_where_and_what_to_do(
    world: Cli, query: str, code: str, line: int, column: int, hint: str | None
) -> None:
    status, answer = world.ask(query)

    assert (status, answer["error"]) == (400, code)
    assert (answer["line"], answer["column"], answer.get("hint")) == (line, column, hint), answer


def test_a_mismatch_names_column_and_declared_type(world: Cli) -> None:
    message = world.ask('users(age = "x") { id }')[1]["message"]

    assert "`age`" in message
    assert "i16 type" in message


def test_the_same_text_is_planned_once(world: Cli) -> None:
    before = world.facts()["hits"]
    world.rows("users(id = 4) { id age }")
    world.rows("users(id = 4) { id age }")

    assert world.facts()["hits"] == before + 1
