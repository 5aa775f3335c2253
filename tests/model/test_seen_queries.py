"""Which of the queries that were seen a change breaks."""

from __future__ import annotations

import pytest

from reflexdb.model.plan_diff import Change
from reflexdb.model.seen_queries import Seen, broken

POSTS = Seen.of(
    {
        "tables": ["posts", "users"],
        "columns": [["posts", "id"], ["users", "name"]],
        "filters": [["posts", "author_id"]],
        "relations": [["posts", "author"]],
    },
    40,
)
USERS = Seen.of({"tables": ["users"], "columns": [["users", "id"]], "filters": [], "relations": []}, 7)


@pytest.mark.parametrize(
    ("kind", "table", "name", "queries"),
    [
        ("table.removed", "posts", None, 40),
        ("table.renamed", "users", None, 47),
        ("table.removed", "tags", None, 0),
        ("column.removed", "users", "name", 40),
        ("column.type", "posts", "author_id", 40),
        ("column.removed", "posts", "name", 0),
        ("relation.removed", "posts", "author", 40),
        ("relation.removed", "users", "author", 0),
    ],
)
def test_a_change_breaks_the_queries_that_use_what_it_takes(
    kind: str, table: str, name: str | None, queries: int
) -> None:
    found = broken(Change(kind, table, name, "a", None, breaking=True), [USERS, POSTS])

    assert found.queries == queries
    assert found.shapes == len(found.examples) == {0: 0, 40: 1, 7: 1, 47: 2}[queries]


def test_a_change_that_breaks_nothing_breaks_nothing_seen() -> None:
    assert broken(Change("column.added", "users", "id", None, "int", breaking=False), [USERS]).shapes == 0


def test_the_most_asked_is_the_first_example_in_words() -> None:
    found = broken(Change("table.removed", "users", None, "users", None, breaking=True), [USERS, POSTS])

    assert found.examples[0] == "posts, users { posts.id, users.name } by posts.author_id through posts.author"
