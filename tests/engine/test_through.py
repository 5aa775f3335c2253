"""Relations through a table of two keys, groups by related columns, and EXPLAIN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.through import through_relations
from tests.engine.harness import Cli
from tests.engine.plans import PLAN

WORLD: dict[str, list[dict[str, Any]]] = {
    "users": [{"id": n, "name": name} for n, name in enumerate(["Ada", None, "Cy"], 1)],
    "posts": [{"id": n, "user_id": user, "views": n} for n, user in enumerate([1, 1, 2, 99, None], 10)],
    "comments": [{"id": n, "post_id": 9 + n} for n in (1, 2, 4)],
    "tags": [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}, {"id": 3, "name": "none"}],
    "post_tags": [
        {"post_id": 10, "tag_id": 2},
        {"post_id": 10, "tag_id": 1},
        {"post_id": 10, "tag_id": 2},
        {"post_id": 11, "tag_id": 1},
        {"post_id": 12, "tag_id": 77},
        {"post_id": 88, "tag_id": 1},
        {"post_id": None, "tag_id": 1},
        {"post_id": 13, "tag_id": None},
    ],
    "follows": [{"follower_id": 1, "followed_id": 3}, {"follower_id": 2, "followed_id": 3}],
}


@pytest.fixture(scope="module")
def world(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load(WORLD)
    yield process
    process.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "posts(id < 13) { id tags { name } }",
            '[{"id":10,"tags":[{"name":"red"},{"name":"blue"}]},{"id":11,"tags":[{"name":"red"}]},{"id":12,"tags":[]}]',
        ),
        ("tags { posts { id } }", '[{"posts":[{"id":10},{"id":11}]},{"posts":[{"id":10}]},{"posts":[]}]'),
        ("posts(tags.name = 'blue') { id }", '[{"id":10}]'),
        ("posts(NOT tags.name = 'blue' AND id < 13) { id }", '[{"id":11},{"id":12}]'),
        ("posts(tags(name = 'red' OR id = 77)) { id }", '[{"id":10},{"id":11}]'),
        ("posts(tags.count() = 2) { tags { count() } }", '[{"tags":{"count":2}}]'),
        ("posts(ORDER BY tags.count() DESC, id LIMIT 2) { id }", '[{"id":10},{"id":11}]'),
        ("posts(id = 10) { tags(ORDER BY id DESC LIMIT 1) { id } }", '[{"tags":[{"id":2}]}]'),
        ("users(posts.tags.id = 1) { id }", '[{"id":1}]'),
        (
            "users { a: users_by_follower { id } b: users_by_followed { id } }",
            '[{"a":[{"id":3}],"b":[]},{"a":[{"id":3}],"b":[]},{"a":[],"b":[{"id":1},{"id":2}]}]',
        ),
        ("tags(posts.user.name = 'Ada') { id }", '[{"id":1},{"id":2}]'),
        (
            "posts(GROUP BY user.name) { user_id: user.name count() }",
            '[{"user_id":"Ada","count":2},{"user_id":null,"count":3}]',
        ),
        (
            "posts(GROUP BY user.id, user.name HAVING user.id IS NOT NULL ORDER BY user.id DESC) { user.id count() }",
            '[{"user_id":2,"count":1},{"user_id":1,"count":2}]',
        ),
        ("posts(GROUP BY user.name HAVING user.name = 'Ada') { sum(views) }", '[{"sum_views":21}]'),
        ("posts(GROUP BY user.name HAVING user.name IS NULL) { sum(views) }", '[{"sum_views":39}]'),
        (
            "comments(GROUP BY post.user.name ORDER BY count() DESC) { post.user.name }",
            '[{"post_user_name":"Ada"},{"post_user_name":null}]',
        ),
        (
            "users { posts(GROUP BY user.name) { user.name } }",
            '[{"posts":[{"user_name":"Ada"}]},{"posts":[{"user_name":null}]},{"posts":[]}]',
        ),
    ],
)
def test_what_is_joined_is_answered_as_if_it_stood_there(world: Cli, query: str, expected: str) -> None:
    assert world.raw(query) == (200, expected)


def test_many_rows_are_tested_at_once_with_the_same_answer(program: Path) -> None:
    process = Cli(program, PLAN)
    posts = [{"id": n} for n in range(3000)]
    tags = [{"id": n, "name": "even" if n % 2 == 0 else "odd"} for n in range(50)]
    process.load({"posts": posts, "tags": tags, "post_tags": [{"post_id": n, "tag_id": n % 50} for n in range(3000)]})

    assert process.rows("posts(tags.name = 'odd') { count() }") == {"count": 1500}
    assert process.rows("posts(NOT tags.name = 'odd' AND id > 2) { count() }") == {"count": 1498}
    process.close()


@pytest.mark.parametrize(
    ("query", "code", "column"),
    [
        ("posts(GROUP BY user.nothing) { count() }", "unknown_field", 21),
        ("posts(GROUP BY nobody.id) { count() }", "unknown_field", 16),
        ("posts(GROUP BY comments.id) { count() }", "syntax_error", 16),
        ("posts(GROUP BY tags.id) { count() }", "syntax_error", 16),
        ("posts(GROUP BY user.name, user.name) { count() }", "syntax_error", 27),
        ("posts(GROUP BY user.count()) { count() }", "syntax_error", 21),
        ("posts(GROUP BY user.name) { user.id }", "syntax_error", 29),
        ("posts(GROUP BY user.name) { name }", "unknown_field", 29),
        ("posts(GROUP BY user.name) { user.name a: user.name user.name }", "syntax_error", 52),
        ("posts { user.name }", "syntax_error", 14),
        ("posts { user. }", "syntax_error", 15),
        ("posts(tagz.name = 'x') { id }", "unknown_field", 7),
        ("EXPLAIN", "syntax_error", 8),
        ("EXPLAIN nothing { id }", "unknown_table", 9),
        ("EXPLAIN users { id } EXPLAIN posts { id }", "syntax_error", 30),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(world: Cli, query: str, code: str, column: int) -> None:
    status, answer = world.ask(query)

    assert (status, answer["error"], answer["column"]) == (400, code, column), answer


def test_explain_says_how_each_selection_was_found(world: Cli) -> None:
    told = world.rows("EXPLAIN users(id = 1) { id posts(views > 10) { id tags { id } } }")
    users = told["selections"][0]
    posts = users["selections"][0]
    tags = posts["selections"][0]

    assert (users["access"], users["columns"], users["rowsLookedAt"], users["rowsOut"]) == ("primary key", ["id"], 1, 1)
    assert (posts["access"], posts["filtered"], posts["rowsLookedAt"], posts["rowsOut"]) == ("relation", True, 2, 1)
    assert (tags["calls"], tags["rowsLookedAt"], tags["rowsOut"]) == (1, 1, 1)
    assert 0 < users["timeMs"] == told["timeMs"]
    assert posts["timeMs"] <= users["timeMs"]
    assert users["tableRows"] == 3
    assert users["tableBytes"] > 0


@pytest.mark.parametrize(
    ("query", "access", "order", "looked", "out"),
    [
        ("users { id }", "every row", "as stored", 3, 3),
        ("users(name = 'Ada' LIMIT 1) { id }", "every row", "as stored", 3, 1),
        ("posts(user_id = 1 ORDER BY views) { id }", "relation", "sorted", 2, 2),
        ("posts(user_id = 99) { id }", "every row", "as stored", 5, 1),
        ("users(ORDER BY id DESC) { id }", "every row", "as stored, backwards", 3, 3),
        ("posts(ORDER BY user.name) { id }", "every row", "sorted by related values", 5, 5),
        ("posts(GROUP BY user_id) { count() }", "every row", "groups", 5, 4),
        ("posts(id IN (10, 11, 5)) { count() }", "primary key", "groups", 2, 1),
    ],
)
def test_explain_tells_access_order_and_rows(
    world: Cli, query: str, access: str, order: str, looked: int, out: int
) -> None:
    part = world.rows("EXPLAIN " + query)["selections"][0]

    assert [part[name] for name in ("access", "order", "rowsLookedAt", "rowsOut")] == [access, order, looked, out]


def test_explain_runs_the_query_within_its_limits_and_tells_the_answers_length(program: Path) -> None:
    process = Cli(program, PLAN)
    process.load(WORLD)

    first, second = (process.rows("explain a: users { id } posts(id = 10) { id }") for _ in range(2))
    assert [part["selection"] for part in first["selections"]] == ["a", "posts"]
    assert first["answerBytes"] == len(process.raw("a: users { id } posts(id = 10) { id }")[1])
    assert (first["planCached"], second["planCached"]) == (False, True)
    process.limits(rows=2)
    assert process.ask("EXPLAIN users { id }")[0] == 422
    process.close()


def test_a_table_or_alias_called_explain_is_no_keyword(world: Cli) -> None:
    assert world.ask("explain { id }")[1]["error"] == "unknown_table"
    assert world.rows("explain: users(id = 1) { explain: id }") == [{"explain": 1}]


def test_the_build_knows_the_names_that_the_engine_derives(world: Cli) -> None:
    for table in PLAN.tables:
        for name in through_relations(PLAN, table):
            assert world.raw(f"{table.name} {{ {name} {{ count() }} }}")[0] == 200
    names = {table.name: sorted(through_relations(PLAN, table)) for table in PLAN.tables}

    assert {name: found for name, found in names.items() if found} == {
        "users": ["users_by_followed", "users_by_follower"],
        "posts": ["tags"],
        "tags": ["posts"],
    }
