"""Aggregates, groups and orders by related rows answer what SQLite answers."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.harness import Cli
from tests.engine.test_against_sqlite import NUMBERS, RELAXED, STRINGS, both, condition_of

__all__ = ["both"]


@st.composite
def aggregates_of(draw: st.DrawFn, table: str) -> list[str]:
    calls = [
        "count()",
        *(f"{name}({column})" for column in NUMBERS[table] for name in ("count", "sum", "avg", "min", "max")),
    ]
    calls += [f"{name}({STRINGS[table]})" for name in ("count", "min", "max")]
    return draw(st.lists(st.sampled_from(calls), min_size=1, max_size=5, unique=True))


def in_sql(call: str, alias: str = "t") -> str:
    name, column = call[:-1].split("(")
    return f"{name}({alias}.{column})" if column else "count(*)"


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float):
        return bool(ours == pytest.approx(theirs, abs=1e-6))
    return bool(ours == theirs)


@RELAXED
@given(st.data())
def test_aggregates_answer_what_sql_answers(both: tuple[Cli, sqlite3.Connection], data: st.DataObject) -> None:
    cli, database = both
    table = data.draw(st.sampled_from(["users", "posts"]))
    condition = data.draw(condition_of(table, "t", 2))
    calls = data.draw(aggregates_of(table))
    sql = f"SELECT {', '.join(map(in_sql, calls))} FROM {table} t WHERE {condition[1]}"

    answer = cli.rows(f"{table}({condition[0]}) {{ {' '.join(calls)} }}")
    for ours, theirs in zip(answer.values(), database.execute(sql).fetchone(), strict=True):
        assert same(ours, theirs), (sql, ours, theirs)


@RELAXED
@given(st.data())
def test_groups_answer_what_sql_answers(both: tuple[Cli, sqlite3.Connection], data: st.DataObject) -> None:
    cli, database = both
    table = data.draw(st.sampled_from(["users", "posts"]))
    condition = data.draw(condition_of(table, "t", 1))
    names = data.draw(
        st.lists(st.sampled_from([*NUMBERS[table][1:], STRINGS[table]]), min_size=1, max_size=2, unique=True)
    )
    calls = data.draw(aggregates_of(table))
    having = data.draw(
        st.sampled_from(["", "count() > 1", "NOT max(id) < 20", "sum(id) BETWEEN 10 AND 60 OR count() = 1"])
    )
    by = data.draw(st.sampled_from(["", *calls]))
    limit, offset = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 3))
    keys = [f"t.{name} NULLS LAST" for name in names]
    query = (
        f"{table}({condition[0]} GROUP BY {', '.join(names)} {'HAVING ' + having if having else ''} "
        f"{'ORDER BY ' + by + ' DESC' if by else ''} LIMIT {limit} OFFSET {offset}) {{ {' '.join([*names, *calls])} }}"
    )
    wanted = ", ".join([*(f"t.{name}" for name in names), *map(in_sql, calls)])
    order = ", ".join([*([in_sql(by) + " DESC NULLS FIRST"] if by else []), *keys])
    sql = (
        f"SELECT {wanted} FROM {table} t WHERE {condition[1]} GROUP BY {', '.join(names)} "
        f"{'HAVING ' + having.replace('count()', 'count(*)') if having else ''} "
        f"ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    )

    answer = [list(row.values()) for row in cli.rows(query)]
    expected = [list(row) for row in database.execute(sql)]
    assert len(answer) == len(expected), (query, sql)
    for ours, theirs in zip(answer, expected, strict=True):
        assert all(map(same, ours, theirs)), (query, sql, ours, theirs)


@RELAXED
@given(st.data())
def test_order_and_conditions_by_related_rows(both: tuple[Cli, sqlite3.Connection], data: st.DataObject) -> None:
    cli, database = both
    call = data.draw(st.sampled_from(["count()", "sum(views)", "max(title)", "count(views)", "avg(views)", "min(id)"]))
    word = data.draw(st.sampled_from(["", "DESC"]))
    value = data.draw(st.integers(0, 8))
    sign = data.draw(st.sampled_from(["=", "!=", ">", "<="]))
    numeric = call != "max(title)"
    theirs = f"(SELECT {in_sql(call, 'p')} FROM posts p WHERE p.user_id = t.id)"
    nulls = "NULLS FIRST" if word else "NULLS LAST"
    condition = (f"posts.{call} {sign} {value}", f"{theirs} {sign} {value}") if numeric else ("", "1")
    query = f"users({condition[0]} ORDER BY boss.name, posts.{call} {word} LIMIT 15) {{ id }}"
    sql = (
        f"SELECT t.id FROM users t LEFT JOIN users b ON b.id = t.boss_id WHERE {condition[1]} "
        f"ORDER BY b.name NULLS LAST, {theirs} {word} {nulls}, t.id LIMIT 15"
    )

    assert [row["id"] for row in cli.rows(query)] == [row[0] for row in database.execute(sql)], (query, sql)
