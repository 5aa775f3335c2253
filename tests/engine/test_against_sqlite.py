"""Random filters, orders and includes answer what SQLite answers to the same question in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Cli
from tests.engine.plans import PLAN

TEXTS = ["", "a", "A", "ab", "b%", "a_b", "é", "É", "zz", "aba"]
USERS = [
    {
        "id": n,
        "name": None if n % 7 == 0 else TEXTS[n * 5 % 10],
        "age": None if n % 5 == 0 else n * 3 % 11,
        "verified": None if n % 4 == 3 else n % 2 == 0,
        "boss_id": None if n % 3 == 0 else n * 7 % 45,
    }
    for n in range(1, 41)
]
POSTS = [
    {
        "id": n,
        "user_id": None if n % 9 == 0 else n * 11 % 45,
        "title": None if n % 8 == 0 else TEXTS[n % 10],
        "views": None if n % 6 == 0 else n % 7,
    }
    for n in range(1, 91)
]
RELATIONS = {"users": {"posts": "posts", "boss": "users", "users": "users"}, "posts": {"user": "users"}}
JOINS = {"posts": "{to}.user_id = {of}.id", "boss": "{to}.id = {of}.boss_id", "users": "{to}.boss_id = {of}.id"}
JOINS["user"] = "{to}.id = {of}.user_id"
NUMBERS = {"users": ["id", "age", "boss_id"], "posts": ["id", "user_id", "views"]}
STRINGS = {"users": "name", "posts": "title"}
Pair = tuple[str, str]


@pytest.fixture(scope="module")
def both(program: Path) -> Iterator[tuple[Cli, sqlite3.Connection]]:
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA case_sensitive_like = 1")
    for name, rows in (("users", USERS), ("posts", POSTS)):
        columns = list(rows[0])
        database.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        database.executemany(
            f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", [tuple(row.values()) for row in rows]
        )
    process = Cli(program, PLAN)
    process.load({"users": USERS, "posts": POSTS})
    yield process, database
    process.close()
    database.close()


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@st.composite
def single_test_of(draw: st.DrawFn, table: str, alias: str) -> Pair:
    if draw(st.booleans()):
        name = STRINGS[table]
        kind = draw(st.sampled_from(["=", "!=", "<", ">=", "LIKE", "NOT LIKE"]))
        value = text(draw(st.sampled_from([*TEXTS, "%a%", "_", "a%", "%b", "%_b", "__%"])))
        escape = " ESCAPE '\\'" if "LIKE" in kind else ""
        return f"{name} {kind} {value}", f"{alias}.{name} {kind} {value}{escape}"
    name = draw(st.sampled_from(NUMBERS[table]))
    kind = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "BETWEEN", "NOT BETWEEN", "NULL"]))
    a, b = draw(st.integers(-1, 45)), draw(st.integers(-1, 45))
    if kind == "NULL":
        condition = f"{name} IS {draw(st.sampled_from(['', 'NOT ']))}NULL"
    elif kind.endswith("IN"):
        condition = f"{name} {kind} ({a}, {b})"
    elif kind.endswith("BETWEEN"):
        condition = f"{name} {kind} {a} AND {b}"
    else:
        condition = f"{name} {kind} {a}"
    return condition, f"{alias}.{condition}"


@st.composite
def condition_of(draw: st.DrawFn, table: str, alias: str, depth: int) -> Pair:
    kind = draw(st.sampled_from(["test", "and", "or", "not", "group", "dot"])) if depth else "test"
    if kind == "test":
        return draw(single_test_of(table, alias))
    if kind in ("and", "or"):
        parts = [draw(condition_of(table, alias, depth - 1)) for _ in range(draw(st.integers(2, 3)))]
        return tuple("(" + f" {kind} ".join(side) + ")" for side in zip(*parts, strict=True))  # type: ignore[return-value]
    if kind == "not":
        ours, theirs = draw(condition_of(table, alias, depth - 1))
        return f"NOT ({ours})", f"NOT ({theirs})"
    relation = draw(st.sampled_from(sorted(RELATIONS[table])))
    to = RELATIONS[table][relation]
    inner_alias = f"{alias}{depth}"
    inner = draw(single_test_of(to, inner_alias) if kind == "dot" else condition_of(to, inner_alias, depth - 1))
    join = JOINS[relation].format(to=inner_alias, of=alias)
    exists = f"EXISTS (SELECT 1 FROM {to} {inner_alias} WHERE {join} AND ({inner[1]}))"
    return f"{relation}.{inner[0]}" if kind == "dot" else f"{relation}({inner[0]})", exists


@st.composite
def clauses_of(draw: st.DrawFn, table: str, alias: str) -> Pair:
    names = draw(st.lists(st.sampled_from([*NUMBERS[table], STRINGS[table]]), max_size=3, unique=True))
    words = [draw(st.sampled_from(["", " ASC", " DESC"])) for _ in names]
    nulls = [draw(st.sampled_from(["", " NULLS FIRST", " NULLS LAST"])) for _ in names]
    items = list(zip(names, words, nulls, strict=True))
    ours = "ORDER BY " + ", ".join(f"{name}{word}{null}" for name, word, null in items) if items else ""
    defaults = {" DESC": " NULLS FIRST"}
    theirs = [f"{alias}.{name}{word}{null or defaults.get(word, ' NULLS LAST')}" for name, word, null in items]
    limit, offset = draw(st.integers(0, 12)), draw(st.integers(0, 5))
    return (
        f"{ours} LIMIT {limit} OFFSET {offset}",
        f"ORDER BY {', '.join([*theirs, f'{alias}.id'])} LIMIT {limit} OFFSET {offset}",
    )


RELAXED = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RELAXED
@given(st.data())
def test_a_selection_answers_what_sql_answers(both: tuple[Cli, sqlite3.Connection], data: st.DataObject) -> None:
    cli, database = both
    table = data.draw(st.sampled_from(["users", "posts"]))
    condition = data.draw(condition_of(table, "t", 3))
    clauses = data.draw(clauses_of(table, "t"))
    query = f"{table}({condition[0]} {clauses[0]}) {{ id {STRINGS[table]} }}"
    sql = f"SELECT id, {STRINGS[table]} FROM {table} t WHERE {condition[1]} {clauses[1]}"

    expected = [{"id": row[0], STRINGS[table]: row[1]} for row in database.execute(sql)]
    assert cli.rows(query) == expected, (query, sql)


@RELAXED
@given(st.data())
def test_an_include_answers_what_one_select_a_parent_answers(
    both: tuple[Cli, sqlite3.Connection], data: st.DataObject
) -> None:
    cli, database = both
    condition = data.draw(condition_of("posts", "p", 1))
    clauses = data.draw(clauses_of("posts", "p"))
    key = data.draw(st.integers(1, 40))
    query = f"users(id = {key}) {{ posts({condition[0]} {clauses[0]}) {{ id user {{ id }} }} boss {{ id }} }}"
    sql = f"SELECT p.id FROM posts p WHERE p.user_id = {key} AND ({condition[1]}) {clauses[1]}"
    posts = [{"id": row[0], "user": {"id": key}} for row in database.execute(sql)]
    found = database.execute(f"SELECT b.id FROM users u JOIN users b ON b.id = u.boss_id WHERE u.id = {key}").fetchone()
    boss: dict[str, Any] | None = {"id": found[0]} if found else None

    assert cli.rows(query) == [{"posts": posts, "boss": boss}], (query, sql)
