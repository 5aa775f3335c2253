"""Aliases, several selections, parameters, aggregates and groups: what they answer and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Cli
from tests.engine.plans import PLAN
from tests.engine.test_language import WORLD


@pytest.fixture(scope="module")
def world(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load(WORLD)
    yield process
    process.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("writer: users(id = 1) { who: name }", '[{"who":"Ada"}]'),
        ('users(id = 1) { `a "b"`: name name }', '[{"a \\"b\\"":"Ada","name":"Ada"}]'),
        (
            "users(id = 1) { one: posts(id = 10) { id } two: posts(id = 11) { id } }",
            '[{"one":[{"id":10}],"two":[{"id":11}]}]',
        ),
        ("posts(id = 12) { by: user { id } }", '[{"by":{"id":2}}]'),
        ("users(id = 1) { id } posts(id = 10) { id }", '{"users":[{"id":1}],"posts":[{"id":10}]}'),
        ("a: users(id = 1) { id } b: users(id = 2) { id }", '{"a":[{"id":1}],"b":[{"id":2}]}'),
        ("users { count() } posts(LIMIT 0) { id }", '{"users":{"count":4},"posts":[]}'),
    ],
)
def test_aliases_and_several_selections(world: Cli, query: str, expected: str) -> None:
    assert world.raw(query) == (200, expected)


def test_an_alias_takes_the_place_of_what_a_wildcard_gives(world: Cli) -> None:
    row = world.rows("users(id = 1) { * name: email }")[0]

    assert row["name"] == "ada@x"
    assert list(row) == ["id", "plan", "verified", "age", "boss_id", "email", "name"]


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("users { id } users { id }", 14),
        ("a: users { id } a: posts { id }", 17),
        ("users { id id: name }", 12),
        ("users { : name }", 9),
        ("users { a: }", 12),
        ("users { a: b: name }", 13),
        ("a: { id }", 4),
        ("users { id } {", 14),
        ("users { a: * }", 12),
    ],
)
def test_a_bad_alias_or_selection_is_refused_where_it_stands(world: Cli, query: str, column: int) -> None:
    status, answer = world.ask(query)

    assert (status, answer["error"], answer["column"]) == (400, "syntax_error", column), answer


@pytest.mark.parametrize(
    ("query", "pairs", "expected"),
    [
        ("users(id = $id) { id }", [("id", "2")], [2]),
        ("users(id = $id) { id }", [("id", "2.0"), ("other", "x")], [2]),
        ("users(id IN ($a, 3, $b)) { id }", [("a", "1"), ("b", "4")], [1, 3, 4]),
        ("users(name = $n) { id }", [("n", 'Ada" OR id = 2')], []),
        ("users(name = $n) { id }", [("n", "Ada")], [1]),
        ("users(name LIKE $n) { id }", [("n", "A%")], [1]),
        ("users(verified = $v) { id }", [("v", "true")], [1, 2]),
        ("users(verified = $v) { id }", [("v", "0")], [3]),
        ("users(age BETWEEN $a AND $b) { id }", [("a", "20"), ("b", "36")], [1, 3]),
        ("users(LIMIT $n OFFSET $o) { id }", [("n", "2"), ("o", "1")], [2, 3]),
        ("users(posts.price = $p) { id }", [("p", "1.5")], [1]),
        ("users(posts.count() = $p) { id }", [("p", "2")], [1]),
    ],
)
def test_parameters_are_values_of_the_columns_type(
    world: Cli, query: str, pairs: list[tuple[str, str]], expected: list[int]
) -> None:
    status, answer = world.ask_with(query, *pairs)

    assert status == 200, answer
    assert [row["id"] for row in answer] == expected


def test_one_text_is_bound_anew_for_each_value(world: Cli) -> None:
    for key in ("1", "3", "99", "1"):
        status, answer = world.ask_with("users(id = $id AND id > 0) { id }", ("id", key))
        assert (status, answer) == (200, [{"id": int(key)}] if key != "99" else [])
    assert world.ask_with("users(id = $id AND id > 0) { id }")[1]["error"] == "missing_parameter"


@pytest.mark.parametrize(
    ("query", "pairs", "code", "column", "named"),
    [
        ("users(id = $id) { id }", [], "missing_parameter", 12, "$id"),
        ("users(LIMIT $n) { id }", [], "missing_parameter", 13, "$n"),
        ("users(id = $id) { id }", [("id", "x")], "type_mismatch", 12, "$id"),
        ("users(id = $id) { id }", [("id", "")], "type_mismatch", 12, "$id"),
        ("users(id = $id) { id }", [("id", " 1")], "type_mismatch", 12, "$id"),
        ("users(id = $id) { id }", [("id", "1"), ("id", "2")], "type_mismatch", 12, "$id"),
        ("users(name = $n) { id }", [("n", b"\xff")], "type_mismatch", 14, "$n"),
        ("users(id = $id) { id }", [("id", b"\xff")], "type_mismatch", 12, "$id"),
        ("users(LIMIT $n) { id }", [("n", "-1")], "type_mismatch", 13, "$n"),
        ("users(LIMIT $n) { id }", [("n", "99999999999999999999")], "type_mismatch", 13, "$n"),
        ("users(id = $ id) { id }", [], "syntax_error", 12, "$"),
        ("users(id = $q) { id }", [], "syntax_error", 12, "q"),
        ("users(id = $) { id }", [], "syntax_error", 12, "$"),
        ("users(id = $1) { id }", [], "syntax_error", 12, "$"),
        ("users($id = 1) { id }", [], "syntax_error", 7, "$"),
        ("$t { id }", [], "syntax_error", 1, "$"),
    ],
)
def test_a_bad_parameter_is_named_where_it_stands(
    world: Cli, query: str, pairs: list[tuple[str, str]], code: str, column: int, named: str
) -> None:
    status, answer = world.ask_with(query, *pairs)

    assert (status, answer["error"], answer["column"]) == (400, code, column), answer
    assert named in answer["message"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("posts(published = true) { count() }", '{"count":3}'),
        (
            "posts { count(views) sum(views) min(views) max(title) avg(views) }",
            '{"count_views":4,"sum_views":65,"min_views":1,"max_title":"Two","avg_views":16.25}',
        ),
        (
            "posts { sum(price) avg(price) min(price) max(price) }",
            '{"sum_price":3.499,"avg_price":1.166333333,"min_price":-0.001,"max_price":2}',
        ),
        ("posts(id = 10) { sum(score) avg(score) }", '{"sum_score":0.1,"avg_score":0.1}'),
        (
            "posts(id = 99) { count() count(id) sum(id) avg(price) sum(score) min(title) }",
            '{"count":0,"count_id":0,"sum_id":null,"avg_price":null,"sum_score":null,"min_title":null}',
        ),
        (
            "tickets { n: count() SUM(id) avg(id) }",
            '{"n":4,"sum_id":18446744073709551621,"avg_id":4611686018427387905.25}',
        ),
        ("users(id = 1) { id posts { count() } }", '[{"id":1,"posts":{"count":2}}]'),
        ("users(id = 3) { posts(published = true) { count() max(id) } }", '[{"posts":{"count":0,"max_id":null}}]'),
        (
            "users { min(verified) max(verified) min(name) }",
            '{"min_verified":false,"max_verified":true,"min_name":"Ada"}',
        ),
        (
            "posts(GROUP BY published) { published count() sum(views) }",
            '[{"published":false,"count":2,"sum_views":59},{"published":true,"count":3,"sum_views":6}]',
        ),
        ("posts(GROUP BY user_id) { user_id }", '[{"user_id":1},{"user_id":2},{"user_id":77},{"user_id":null}]'),
        (
            "posts(GROUP BY user_id ORDER BY count() DESC, user_id DESC LIMIT 2) { count() }",
            '[{"count":2},{"count":1}]',
        ),
        (
            "posts(GROUP BY user_id HAVING count() > 1 OR user_id IS NULL) { user_id }",
            '[{"user_id":1},{"user_id":null}]',
        ),
        ("posts(GROUP BY user_id HAVING NOT sum(views) > 8) { user_id }", '[{"user_id":77}]'),
        ("posts(GROUP BY user_id HAVING max(title) LIKE 'T%' OFFSET 1) { user_id }", '[{"user_id":2}]'),
        ("posts(GROUP BY user_id HAVING avg(views) IS NULL) { user_id }", '[{"user_id":2}]'),
        (
            "users(id = 1) { posts(GROUP BY published) { published count() } }",
            '[{"posts":[{"published":false,"count":1},{"published":true,"count":1}]}]',
        ),
        ("posts(id = 99 GROUP BY user_id) { count() }", "[]"),
        ("posts(ORDER BY user.name DESC) { id }", '[{"id":13},{"id":14},{"id":12},{"id":10},{"id":11}]'),
        ("users(ORDER BY posts.count() DESC, name) { id }", '[{"id":1},{"id":2},{"id":3},{"id":4}]'),
        ("users(ORDER BY posts.sum(views) NULLS FIRST, id DESC LIMIT 2 OFFSET 1) { id }", '[{"id":3},{"id":2}]'),
        ("users(posts.count() > 1) { id }", '[{"id":1}]'),
        ("users(posts.count() IN (0, 1)) { id }", '[{"id":2},{"id":3},{"id":4}]'),
        ("users(posts.sum(price) = 1.499) { id }", '[{"id":1}]'),
        ("users(NOT posts.sum(views) > 60) { id }", '[{"id":1}]'),
        ("users(posts.max(score) = 1e300) { id }", '[{"id":1}]'),
        ("users(posts.comments.count() = 2) { id }", '[{"id":1}]'),
        ("posts(user.posts.count() = 2) { id }", '[{"id":10},{"id":11}]'),
        (
            "users { posts(ORDER BY comments.count() DESC LIMIT 1) { id } }",
            '[{"posts":[{"id":11}]},{"posts":[{"id":12}]},{"posts":[]},{"posts":[]}]',
        ),
    ],
)
def test_aggregates_and_groups(world: Cli, query: str, expected: str) -> None:
    assert world.raw(query) == (200, expected)


@pytest.mark.parametrize(
    ("query", "code", "column"),
    [
        ("posts { sum() }", "syntax_error", 13),
        ("posts { sum(title) }", "type_mismatch", 13),
        ("posts { avg(published) }", "type_mismatch", 13),
        ("posts { sum(nothing) }", "unknown_field", 13),
        ("kinds { min(json) }", "type_mismatch", 13),
        ("kinds(GROUP BY json) { count() }", "type_mismatch", 16),
        ("posts { count() count() }", "syntax_error", 17),
        ("posts { count() id }", "syntax_error", 17),
        ("posts { count() * }", "syntax_error", 17),
        ("posts { count() user { id } }", "syntax_error", 17),
        ("posts { user { count() } }", "syntax_error", 16),
        ("posts(LIMIT 1) { count() }", "syntax_error", 7),
        ("posts(GROUP BY user_id) { title }", "syntax_error", 27),
        ("posts(GROUP BY user_id, user_id) { user_id }", "syntax_error", 25),
        ("posts(GROUP BY) { count() }", "syntax_error", 15),
        ("posts(GROUP BY user_id HAVING) { count() }", "syntax_error", 30),
        ("posts(GROUP BY user_id HAVING title = 'x') { count() }", "syntax_error", 31),
        ("posts(GROUP BY user_id HAVING count() = 'x') { count() }", "type_mismatch", 41),
        ("posts(GROUP BY user_id HAVING user.count() = 1) { count() }", "syntax_error", 31),
        ("posts(GROUP BY user_id HAVING user(id = 1)) { count() }", "syntax_error", 31),
        ("posts(GROUP BY user_id ORDER BY title) { count() }", "syntax_error", 33),
        ("posts(ORDER BY id GROUP BY user_id) { count() }", "syntax_error", 19),
        ("posts(GROUP BY user_id GROUP BY id) { count() }", "syntax_error", 24),
        ("posts(HAVING count() > 1) { count() }", "syntax_error", 14),
        ("posts { user(GROUP BY id) { id } }", "syntax_error", 14),
        ("posts(count() > 1) { id }", "syntax_error", 7),
        ("posts(user.count() > 1) { id }", "syntax_error", 7),
        ("users(posts.count(nothing) > 1) { id }", "unknown_field", 19),
        ("users(posts.count() LIKE 'x') { id }", "type_mismatch", 7),
        ("users(posts.count(id views) > 1) { id }", "syntax_error", 22),
        ("users(ORDER BY count()) { id }", "syntax_error", 16),
        ("users(ORDER BY posts.id) { id }", "syntax_error", 16),
        ("posts(ORDER BY user.nothing) { id }", "unknown_field", 21),
        ("posts(ORDER BY user.) { id }", "syntax_error", 21),
    ],
)
def test_an_aggregate_that_makes_no_sense_is_refused_where_it_stands(
    world: Cli, query: str, code: str, column: int
) -> None:
    status, answer = world.ask(query)

    assert (status, answer["error"], answer["column"]) == (400, code, column), answer


def test_sums_are_exact_far_beyond_machine_numbers(program: Path) -> None:
    process = Cli(program, PLAN)
    prices = [
        "99999999999999999999999999999.99999999999999999999",
        "0.00000000000000000001",
        "-1e0".replace("e0", ""),
        "-0.5",
    ]
    process.load({"posts": [{"id": n, "price": price} for n, price in enumerate(prices)]})

    assert process.raw("posts { sum(price) }") == (200, '{"sum_price":99999999999999999999999999998.5}')
    assert process.raw("posts(id > 1) { sum(price) avg(price) }") == (200, '{"sum_price":-1.5,"avg_price":-0.75}')
    assert process.raw("posts(id != 0) { avg(id) }") == (200, '{"avg_id":2}')
    assert process.raw("posts(id IN (0, 1, 3)) { avg(id) }") == (200, '{"avg_id":1.333333}')
    process.close()


def test_limits_hold_over_groups_and_selections(program: Path) -> None:
    process = Cli(program, PLAN)
    process.load(WORLD)
    process.limits(rows=3)

    assert process.ask("posts { count() }")[0] == 200
    assert process.ask("posts(GROUP BY user_id) { user_id }")[0] == 422
    assert process.ask("a: users(LIMIT 2) { id } b: users(LIMIT 2) { id }")[0] == 422
    assert process.ask("users(LIMIT 2) { posts { count() } }")[0] == 422
    process.limits(answer_bytes=40)
    assert process.ask("a: users(id = 1) { id name } b: users(id = 1) { id name }")[0] == 422
    process.close()
