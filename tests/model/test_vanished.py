"""What a rebuild would no longer serve, though nobody chose that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.not_served import Cause, NotServed
from reflexdb.model.schema import Backend, SourceSchema
from reflexdb.model.vanished import told, vanished
from tests.build.schemas import column, schema, table

USERS, POSTS = table("users", "id", "name"), table("posts", "id", "title")
BEFORE = schema(USERS, POSTS)
LOST = NotServed.of_table("posts", Cause.NO_PRIVILEGE, "No.", "Run.")


def gone(after: SourceSchema, config: str | None = None, was: str | None = None) -> list[tuple[str, str | None, str]]:
    served = make_plan(BEFORE, None if was is None else parse_config(was)).plan
    planned = make_plan(after, None if config is None else parse_config(config)).plan
    return [(each.table, each.column, each.cause.value) for each in vanished(served, planned, after)]


def test_nothing_is_gone_where_nothing_changed() -> None:
    assert gone(BEFORE) == []
    assert gone(schema(table("users", "id", "name", "more"), POSTS, table("new", "id"))) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (schema(USERS), [("posts", None, "not_visible")]),
        (replace(schema(USERS), not_served=(LOST,)), [("posts", None, "no_privilege")]),
        (schema(table("users", "id"), POSTS), [("users", "name", "not_visible")]),
        (schema(table("users", "id", column("name", None, "odd")), POSTS), [("users", "name", "unsupported_type")]),
        (schema(replace(USERS, name="people"), POSTS), [("users", None, "not_visible")]),
    ],
)
def test_what_the_source_shows_no_more_is_told(
    after: SourceSchema, expected: list[tuple[str, str | None, str]]
) -> None:
    assert gone(after) == expected


@pytest.mark.parametrize(
    "config",
    ["tables: [{name: users}]", "tables: [{name: users, columns: [id]}, {name: posts, alias: articles}]"],
)
def test_what_the_file_left_out_is_chosen(config: str) -> None:
    assert gone(BEFORE, f"version: 1\n{config}") == []


def test_a_renamed_table_with_the_old_alias_is_still_served() -> None:
    after = schema(replace(USERS, name="people"), POSTS)
    assert gone(after, "version: 1\ntables: [{name: people, alias: users}, {name: posts}]") == []


def test_only_mysql_may_hide_what_is_there() -> None:
    served = make_plan(BEFORE, None).plan
    after = replace(schema(USERS), backend=Backend.MYSQL, grant="GRANT SELECT ON x;")
    [entry] = vanished(served, make_plan(after, None).plan, after)
    assert "lost every privilege" in entry.reason
    assert entry.remedy == "If it is still there, run: GRANT SELECT ON x;"


def test_many_are_told_by_the_first() -> None:
    assert told([LOST] * 7).endswith("; and 2 more")
