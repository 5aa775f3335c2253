"""Tables and views that reflexdb.yaml chooses without listing all: exclude_tables, overrides, views."""

from __future__ import annotations

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.errors import InvalidConfig
from reflexdb.model.schema import SourceSchema

from .schemas import key, schema, table
from .shapes import SHAPES


def source() -> SourceSchema:
    return schema(
        table("users", "id", "name", "secret"),
        table("posts", "id", "author_id", keys=(key("author_id", "users"),)),
        table("tmp_a", "id"),
        table("tmp_b", "id"),
        table("odd[1]", "id"),
        table("totals", "id", is_view=True, primary_key=()),
        table("slow", "id", is_view=True, primary_key=()),
    )


def served(config: str) -> set[str]:
    return {one.name for one in make_plan(source(), parse_config("version: 1\n" + config)).plan.tables}


@pytest.mark.parametrize(
    ("config", "gone"),
    [
        ("exclude_tables: [users]", {"users"}),
        ('exclude_tables: ["tmp_*"]', {"tmp_a", "tmp_b"}),
        ('exclude_tables: ["tmp_?", posts]', {"tmp_a", "tmp_b", "posts"}),
        ('exclude_tables: ["odd[1]"]', {"odd[1]"}),
        ('exclude_tables: ["[tu]*s"]', {"users", "totals"}),
        ("views: none", {"totals", "slow"}),
        ("views: [totals]", {"slow"}),
        ("views: auto", set()),
        ("overrides: {users: {columns: [id]}}", set()),
    ],
)
def test_tables_are_taken_away_without_listing_others(config: str, gone: set[str]) -> None:
    assert {one.name for one in source().tables} - served(config) == gone


def test_exclusion_takes_away_from_listed_tables() -> None:
    assert served('tables: [{name: users}, {name: tmp_a}]\nexclude_tables: ["tmp_*"]') == {"users"}


def test_an_override_sets_without_choosing() -> None:
    users, posts = "{alias: people, columns: [id, name]}", "{relations: {exclude: [author]}}"
    text = f"version: 1\noverrides:\n  users: {users}\n  posts: {posts}"
    plan = make_plan(source(), parse_config(text)).plan
    people = next(one for one in plan.tables if one.source_name == "users")

    assert len(plan.tables) == len(source().tables)
    assert (people.name, [col.name for col in people.columns]) == ("people", ["id", "name"])
    assert not any(relation.visible for one in plan.tables for relation in one.forward)


def test_one_entry_hides_one_relation_of_many_tables() -> None:
    text = "version: 1\noverrides:\n  staff: {reverse_relations: {exclude: [store]}}"
    plan = make_plan(SHAPES["sakila"].source, parse_config(text)).plan
    staff = next(one for one in plan.tables if one.name == "staff")

    assert len(plan.tables) == len(SHAPES["sakila"].source.tables)
    assert [one.name for one in staff.reverse] == ["payment", "rental"]


@pytest.mark.parametrize(
    ("config", "line", "words"),
    [
        ("exclude_tables: [user]", 2, 'no table "user". Did you mean "users"'),
        ('exclude_tables: ["temp_*"]', 2, 'no table that matches "temp_*"'),
        ("overrides: {user: {alias: x}}", 2, 'no table "user". Did you mean "users"'),
        ("overrides: {users: {columns: [nmae]}}", 2, 'no column "nmae". Did you mean "name"'),
        ("overrides: {users: {name: x}}", 2, 'has no key "name"'),
        ("tables: [{name: users}]\noverrides: {users: {alias: x}}", 3, 'in both "tables" (line 2) and "overrides"'),
        ("tables: [{name: users}]\noverrides: {posts: {alias: x}}", 3, '"posts", which is not included'),
        ("exclude_tables: [users]\noverrides: {users: {alias: x}}", 3, '"users", which is not included'),
        ("views: some", 2, 'must be "auto", "none" or a list'),
        ("views: [totls]", 2, 'no view "totls". Did you mean "totals"'),
        ("views: [users]", 2, '"users" is a table, not a view'),
        ("views: none\ntables: [{name: totals}]", 3, 'a view that "views" leaves out'),
        ("views: [totals]\nexclude_tables: [totals]", 2, 'also in "exclude_tables"'),
        ("schemas: [public, sales]", 2, "Register a database for each schema"),
        ("exclude_tables: [users, users]", 2, 'names "users" twice'),
    ],
)
def test_what_matches_nothing_or_contradicts_is_refused(config: str, line: int, words: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        served(config)

    assert caught.value.line == line
    assert words in caught.value.message
