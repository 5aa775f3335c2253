"""Queries that differ in literals only share a plan, and say and find the same as if they did not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.harness import Cli

USERS = [{"id": i, "name": f"name {i}", "plan": "pro" if i % 2 else "free", "age": i % 50} for i in range(1, 201)]
POSTS = [{"id": i, "user_id": i % 200 + 1, "title": f"p{i}", "score": i / 4, "price": f"{i}.50"} for i in range(1, 401)]


@pytest.fixture
def blog(cli: Cli) -> Cli:
    cli.load({"users": USERS, "posts": POSTS})
    return cli


def hits(cli: Cli) -> int:
    count: int = cli.facts()["hits"]
    return count


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("id = 1", "id = 199", [199]),
        ("id = 1", "id = -5", []),
        ("id = 1", "id = 99999999999999999999999999", []),
        ("id = 1", "id = 7.0", [7]),
        ("id = 1", "id = 1.5e1", [15]),
        ("id <= 3", "id <= 2", [1, 2]),
        ("id > 3", "id > 199", [200]),
        ("id > 3", "id > 99999999999999999999999999", []),
        ("NOT id > 3", "NOT id > 1", [1]),
        ('name = "name 3"', 'name = "name 44"', [44]),
        ("name = 'name 3'", "name = 'name 44'", [44]),
        ('name = "name 3"', 'name = "a name far longer than any that there is, é"', []),
        ('name > "name 98"', 'name > "name 99"', []),
        ("score = 1", "score = 2.5", [10]),
        ("score > 99.5", "score > 99.75", [400]),
        ("price = 3.5", "price = 17.500", [17]),
        ("price < 3.5", "price < 1.51", [1]),
        ("id < 5 AND age >= 3", "id < 9 AND age >= 8", [8]),
        ("posts.id = 3", "posts.id = 5", [6]),
        ("id = 4 # = 5\n", "id = 6 # = 5\n", [6]),
    ],
)
def test_a_query_of_a_known_shape_brings_its_own_literals(
    blog: Cli, first: str, second: str, expected: list[int]
) -> None:
    table = "posts" if first.startswith(("score", "price")) else "users"
    blog.rows(f"{table}({first}) {{ id }}")
    before = hits(blog)
    assert blog.rows(f"{table}({second}) {{ id }}") == [{"id": i} for i in expected]
    assert hits(blog) == before + 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("users(LIMIT 1) { id }", "users(LIMIT 2) { id }"),
        ("users(id IN (1, 2)) { id }", "users(id IN (1, 3)) { id }"),
        ("users(id BETWEEN 1 AND 2) { id }", "users(id BETWEEN 1 AND 3) { id }"),
        ('users(name LIKE "%1") { id }', 'users(name LIKE "%2") { id }'),
        ('users(name = "name 1") { id }', "users(name = 'name 1') { name }"),
        ('users(name = "name 1") { id }', 'users(name = "name \\u0031" OR id = 2) { id }'),
    ],
)
def test_what_is_not_a_compared_literal_makes_another_shape(blog: Cli, first: str, second: str) -> None:
    one = blog.rows(first)
    before = hits(blog)
    assert blog.rows(second) != one
    assert hits(blog) == before


@pytest.mark.parametrize(
    ("good", "bad", "column"),
    [
        ("users(id = 1) { id }", "users(id = 1.5) { id }", 12),
        ("users(plan = 'free' AND id = 1) { id }", "users(plan = 'ünkn' AND id = 1.5) { id }", 30),
        ('posts(id = 1 AND title = "x") { id }', 'posts(id = 1 AND title = "\xff") { id }', None),
    ],
)
def test_a_literal_that_does_not_fit_is_named_where_it_stands(
    blog: Cli, good: str, bad: str, column: int | None
) -> None:
    fresh = blog.raw(bad.encode("latin-1") if "\xff" in bad else bad)
    blog.rows(good)
    status, again = blog.raw(bad.encode("latin-1") if "\xff" in bad else bad)
    assert (status, again) == fresh
    assert status == 400
    if column is not None:
        assert f'"column":{column}' in again
    rows: Any = blog.rows(good)
    assert rows is not None


def test_a_mark_of_the_cache_in_a_text_is_no_literal(blog: Cli) -> None:
    blog.rows("users(id = 1) { id }")
    assert blog.ask("users(id = \x01) { id }")[0] == 400
    assert blog.rows('users(name = "\x01") { id }') == []


def test_a_hot_small_query_allocates_nothing(blog: Cli) -> None:
    for number in (1, 2, 3):
        blog.rows(f"users(id = {number}) {{ id name posts {{ id title user {{ name }} }} }}")
    assert blog.facts()["allocations"] == 0
    for name in ("a", "b", "c"):
        blog.rows(f'users(name = "{name}") {{ id name }}')
    assert blog.facts()["allocations"] == 0
