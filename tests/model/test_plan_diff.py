"""What two plans differ in, and what of it breaks a query."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.not_served import Cause, NotServed, newly
from reflexdb.model.plan import Plan
from reflexdb.model.plan_diff import Change, compare
from reflexdb.model.schema import SourceSchema, SourceTable
from reflexdb.model.storage import Storage
from tests.build.schemas import blog, column, key, schema, table

USERS = table("users", "id", column("name", Storage.TEXT, "varchar(40)"))
POSTS = table("posts", "id", "author_id", column("title", Storage.TEXT, "text"), keys=(key("author_id", "users"),))


def plan(*tables: SourceTable, config: str | None = None) -> Plan:
    return make_plan(schema(*tables), parse_config(config) if config else None).plan


def told(old: Plan, new: Plan) -> list[tuple[str, str | None, str | None, bool]]:
    return [(each.kind, each.table, each.name, each.breaking) for each in compare(old, new)]


def source(blog: SourceSchema) -> Plan:
    return make_plan(blog, None).plan


def test_the_same_plan_differs_in_nothing() -> None:
    assert compare(source(blog()), source(blog())) == []


def test_what_is_added_breaks_nothing_and_what_is_gone_does() -> None:
    less, more = plan(USERS), plan(USERS, POSTS)

    assert told(less, more) == [("relation.added", "users", "posts", False), ("table.added", "posts", None, False)]
    assert told(more, less) == [("table.removed", "posts", None, True), ("relation.removed", "users", "posts", True)]


def test_what_is_gone_says_why() -> None:
    left = (
        NotServed.of_table("posts", Cause.NO_PRIVILEGE, "No SELECT.", ""),
        NotServed.of_column("users", "name", Cause.UNSUPPORTED_TYPE, "An odd type.", ""),
    )
    new = make_plan(replace(schema(table("users", "id")), not_served=left), None).plan

    found = {(each.table, each.name): (each.breaking, each.why) for each in compare(plan(USERS, POSTS), new)}
    assert found["posts", None] == (True, "No SELECT.")
    assert found["users", "name"] == (True, "An odd type.")
    assert newly((), new.not_served) == new.not_served
    assert newly(new.not_served, new.not_served) == ()


def test_a_table_that_came_with_the_same_columns_is_the_one_that_went() -> None:
    renamed = replace(USERS, name="people")

    assert compare(plan(USERS), plan(renamed)) == [
        Change("table.renamed", "users", None, "users", "people", breaking=True)
    ]


def test_of_two_that_could_be_it_neither_is_guessed() -> None:
    both = (replace(USERS, name="people"), replace(USERS, name="persons"))

    assert told(plan(USERS), plan(*both)) == [
        ("table.removed", "users", None, True),
        ("table.added", "people", None, False),
        ("table.added", "persons", None, False),
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (column("c", Storage.I32, "int"), column("c", Storage.I64, "bigint"), [("column.type", False)]),
        (column("c", Storage.I64, "bigint"), column("c", Storage.I32, "int"), [("column.type", True)]),
        (column("c", Storage.I32, "int"), column("c", Storage.TEXT, "text"), [("column.type", True)]),
        (column("c", Storage.TEXT, "varchar(9)"), column("c", Storage.TEXT, "text"), [("column.type", False)]),
        (column("c"), column("d"), [("column.removed", True), ("column.added", False)]),
        (column("c"), replace(column("c"), nullable=False), [("column.nullable", False)]),
        (replace(column("c"), nullable=False), column("c"), [("column.nullable", True)]),
    ],
)
def test_a_column_is_judged_by_what_json_shows_of_it(
    before: object, after: object, expected: list[tuple[str, bool]]
) -> None:
    old, new = (plan(table("t", "id", "x", each)) for each in (before, after))  # type: ignore[arg-type]

    assert [(each.kind, each.breaking) for each in compare(old, new)] == expected


def test_a_column_and_a_table_renamed_by_configuration_are_known_by_their_sources_names() -> None:
    config = "version: 1\ntables: [{name: users, alias: people, field_aliases: {name: label}}]"
    other = plan(USERS, config=config)

    assert told(plan(USERS), other) == [
        ("table.renamed", "users", None, True),
        ("column.renamed", "users", "name", True),
    ]


def test_a_relation_that_leads_elsewhere_under_the_same_name_breaks() -> None:
    old = plan(USERS, table("staff", "id", "x"), POSTS)
    elsewhere = replace(POSTS, foreign_keys=(key("author_id", "staff"),))
    changes = {
        (each.kind, each.table, each.name): each
        for each in compare(old, plan(USERS, table("staff", "id", "x"), elsewhere))
    }

    assert all(each.breaking for each in changes.values() if each.kind in ("relation.changed", "relation.removed"))
    assert ("relation.removed", "users", "posts") in changes
    assert ("relation.added", "staff", "posts") in changes


def test_rows_and_indexes_are_configuration_and_break_no_query() -> None:
    before = plan(USERS)
    [users] = before.tables
    after = replace(before, tables=(replace(users, where="id > 3", indexes=((1,),)),))

    assert told(before, after) == [
        ("configuration.where", "users", "where", False),
        ("configuration.indexes", "users", "indexes", False),
    ]
