"""Every error of a query: its code, where it stands to the character, and what it hints at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reflexdb.model.plan import Plan
from reflexdb.model.storage import Storage
from tests.engine.harness import Cli, build
from tests.engine.plans import PLAN, column

PARAMETERS = (("id", "x"), ("n", "-1"), ("two", "1"), ("two", "2"), ("d", "2024-13-01"))


@pytest.fixture(scope="module")
def world(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load({"users": [{"id": n} for n in range(1, 4)]})
    yield process
    process.close()


@pytest.mark.parametrize(
    ("query", "code", "line", "column", "hint"),
    [
        ('users(name = "a', "syntax_error", 1, 14, None),
        ("users(name = 'a", "syntax_error", 1, 14, None),
        ('users(name = "\\x") { id }', "syntax_error", 1, 15, "a backslash itself is written \\\\"),
        ('users(name = "\\u12") { id }', "syntax_error", 1, 15, "a backslash itself is written \\\\"),
        ('users(name = "\\ud800") { id }', "syntax_error", 1, 15, "a backslash itself is written \\\\"),
        ("users { `a", "syntax_error", 1, 9, None),
        ("users { `` }", "syntax_error", 1, 9, None),
        (
            "users(id = 1x) { id }",
            "syntax_error",
            1,
            12,
            "numbers are written like 42, -1.5 or 1e3; text goes between quotes",
        ),
        (
            "users(id = 1.) { id }",
            "syntax_error",
            1,
            12,
            "numbers are written like 42, -1.5 or 1e3; text goes between quotes",
        ),
        (
            "users(id = 1e) { id }",
            "syntax_error",
            1,
            12,
            "numbers are written like 42, -1.5 or 1e3; text goes between quotes",
        ),
        ("users(id ! 1) { id }", "syntax_error", 1, 10, None),
        ("users(id = 1;) { id }", "syntax_error", 1, 13, None),
        ("users(id = 1) { id } }", "syntax_error", 1, 22, None),
        ("users(id = $) { id }", "syntax_error", 1, 12, "write $id, and give id in the URL: /query?id=42"),
        ("users(id = $q) { id }", "syntax_error", 1, 12, None),
        ("users(id = $missing) { id }", "missing_parameter", 1, 12, "give it in the URL: /query?missing=..."),
        ("users(id = $id) { id }", "type_mismatch", 1, 12, None),
        ("users(id = $two) { id }", "type_mismatch", 1, 12, None),
        ("users(LIMIT $n) { id }", "type_mismatch", 1, 13, None),
        ("users(LIMIT $missing) { id }", "missing_parameter", 1, 13, "give it in the URL: /query?missing=..."),
        ("posts(day = $d) { id }", "type_mismatch", 1, 13, None),
        ("users(id = true) { id }", "type_mismatch", 1, 12, None),
        ("users(verified = 2) { id }", "type_mismatch", 1, 18, None),
        ("users(verified = 'true') { id }", "type_mismatch", 1, 18, None),
        ("users(name = 5) { id }", "type_mismatch", 1, 14, None),
        ("users(age LIKE '5') { id }", "type_mismatch", 1, 7, None),
        ("posts(day = '2024-13-01') { id }", "type_mismatch", 1, 13, None),
        ("kinds(datetime = '2024-01-01T00:00Z') { id }", "type_mismatch", 1, 18, None),
        ("kinds(timestamp = 'now') { id }", "type_mismatch", 1, 19, None),
        ("kinds(uuid = 'x') { id }", "type_mismatch", 1, 14, None),
        ("kinds(binary = '%%') { id }", "type_mismatch", 1, 16, None),
        ("kinds(json = '1') { id }", "type_mismatch", 1, 7, None),
        ("kinds(json LIKE '1') { id }", "type_mismatch", 1, 7, None),
        ("kinds(f64 = 'x') { id }", "type_mismatch", 1, 13, None),
        ("kinds(decimal = 1e401) { id }", "type_mismatch", 1, 17, None),
        ("users(age IN (1, 'x')) { id }", "type_mismatch", 1, 18, None),
        ("users(age BETWEEN 1 AND 'x') { id }", "type_mismatch", 1, 25, None),
        ("users(\n  name = 'ok'\n  AND é = 1) { id }", "unknown_field", 3, 7, None),
        ("users(id = 1 LIMIT 5 ORDER BY id) { id }", "syntax_error", 1, 22, None),
        ("users(id = 1 id = 2) { id }", "syntax_error", 1, 14, None),
        ("users(LIMIT 99999999999999999999) { id }", "syntax_error", 1, 13, None),
        ("posts { user(LIMIT 1) { id } }", "syntax_error", 1, 14, None),
        ("posts { user { count() } }", "syntax_error", 1, 16, None),
        ("a: users { id } a: posts { id }", "syntax_error", 1, 17, "an alias tells them apart: other: posts"),
        ("users { id } users { name }", "syntax_error", 1, 14, "an alias tells them apart: other: users"),
        ("users { id: name id }", "syntax_error", 1, 18, "an alias tells them apart: other: id"),
        ("users { * ... }", "syntax_error", 1, 11, None),
        ("users { name: id * name }", "syntax_error", 1, 20, "an alias tells them apart: other: name"),
        ("users(boss.nam = 'x') { id }", "unknown_field", 1, 12, "did you mean `name`?"),
        ("users(posts.usr.id = 1) { id }", "unknown_field", 1, 13, "did you mean `user`?"),
        ("users(ORDER BY post.count()) { id }", "unknown_field", 1, 16, "did you mean `posts`?"),
        ("users(ORDER BY posts.count(ids)) { id }", "unknown_field", 1, 28, "did you mean `id`?"),
        ("posts(GROUP BY usr.id) { count() }", "unknown_field", 1, 16, "did you mean `user`?"),
        ("posts(GROUP BY user.nam) { count() }", "unknown_field", 1, 21, "did you mean `name`?"),
        ("EXPLAIN posts(idd = 1) { id }", "unknown_field", 1, 15, "did you mean `id`?"),
        ("usrs { id }", "unknown_table", 1, 1, "did you mean `users`?"),
        (
            "posts(ORDER BY id LIMIT 1 AFTER 'x') { id }",
            "type_mismatch",
            1,
            33,
            "take the cursor from the header Link of an answer to the same query",
        ),
        ("posts { comments(ORDER BY id LIMIT 1 AFTER '') { id } }", "syntax_error", 1, 44, None),
        ("users{id", "syntax_error", 1, 9, None),
        ("users(name IS 5) { id }", "syntax_error", 1, 15, None),
        ("users(name NOT = 5) { id }", "syntax_error", 1, 16, None),
    ],
)
def test_an_error_stands_where_it_is_and_helps(
    world: Cli, query: str, code: str, line: int, column: int, hint: str | None
) -> None:
    status, answer = world.ask_with(query, *PARAMETERS)

    assert status == 400
    assert (answer["error"], answer["line"], answer["column"], answer.get("hint")) == (code, line, column, hint), answer
    assert answer["message"].endswith(".")


def test_a_text_too_long_and_a_nesting_too_deep_are_refused_before_they_run(program: Path) -> None:
    process = Cli(program, PLAN)
    process.load({})
    process.limits(query_bytes=30, depth=4)

    status, answer = process.ask("users { id }" + " " * 19)
    assert (status, answer["error"]) == (413, "query_too_large")
    status, answer = process.ask("users(((id = 1))) { id }")
    assert status == 200
    status, answer = process.ask("users((((id = 1)))) { id }")
    assert (status, answer["error"], answer["line"], answer["column"]) == (422, "limit_exceeded", 1, 10)
    status, answer = process.ask("posts(user.boss.boss.id=1){id}")
    assert (status, answer["error"], answer["column"]) == (422, "limit_exceeded", 22)
    process.close()


def older(plan: Plan) -> Plan:
    """The same, before the table of users got its last column."""
    users, *others = plan.tables
    return replace(plan, tables=(replace(users, columns=(*users.columns, column("extra", Storage.I16))), *others))


def test_a_cursor_of_another_schema_is_refused(program: Path, world: Cli, pytestconfig: pytest.Config) -> None:
    query = "users(ORDER BY id LIMIT 1 AFTER $after) { id }"
    plan = older(PLAN)
    other = Cli(build(plan, pytestconfig.cache.mkdir("engine")), plan)
    other.load({"users": [{"id": 1}, {"id": 2}]})

    assert other.ask_with(query, ("after", "")) == (200, [{"id": 1}])
    cursor = other.next_page()
    assert other.ask_with(query, ("after", cursor)) == (200, [{"id": 2}])
    status, answer = world.ask_with(query, ("after", cursor))
    assert (status, answer["error"], answer["column"]) == (400, "type_mismatch", 33)
    other.close()
