"""What the server says of the queries it was asked: which parts of the schema they use, how often, and no value."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.sync import feed
from tests.engine.serving import Server, api_key, get, post

pytestmark = pytest.mark.timeout(1200)

SECRET_WORD = "nobody-must-see-this"


def shapes(server: Server) -> tuple[list[tuple[Any, ...]], int]:
    """Tables, columns, filters, relations and the count of each shape since the last call; and all others."""
    with server.channel() as channel:
        channel.hello(feed.Role.DEPLOYER, None)
        told = channel.request(feed.shapes())
    assert SECRET_WORD not in str(told)
    kinds = ("tables", "columns", "filters", "relations")
    listed = [(*(each["shape"][kind] for kind in kinds), each["count"]) for each in told["shapes"]]
    return listed, told["other"]


def ask(server: Server, *queries: str, extra: str = "") -> None:
    for query in queries:
        answer = server.ask(post(query, api_key(), extra))
        assert answer.status == 200, answer.body


def test_queries_that_differ_in_values_alone_have_one_shape(server: Server) -> None:
    ask(server, f'users(name = "{SECRET_WORD}") {{ id }}', 'users(name = "b") { id }', "users(name IN ('c')) { id }")

    assert shapes(server) == ([(["users"], [["users", "id"]], [["users", "name"]], [], 3)], 0)
    assert shapes(server) == ([], 0), "each query is told once"
    ask(server, 'users(name = "d") { id }')
    assert shapes(server)[0][0][4] == 1


def test_whatever_a_query_uses_is_in_its_shape(server: Server) -> None:
    queries = [
        "posts { user { name } }",
        "users(posts.title = 'x') { id }",
        "users(ORDER BY posts.count() DESC, name) { id }",
        "posts(GROUP BY user.plan) { user.plan count() max(title) }",
        "users(id = 7) { name }",
        "users(posts.count() > 3) { plan }",
    ]
    found = []
    for query in queries:
        ask(server, query)
        found.append(shapes(server)[0][0])

    forward, back = ["posts", "user"], ["users", "posts"]
    both = ["posts", "users"]
    assert found == [
        (both, [["users", "name"]], [], [forward], 1),
        (both, [["users", "id"]], [["posts", "title"]], [back], 1),
        (both, [["users", "id"]], [["users", "name"]], [back], 1),
        (both, [["posts", "title"]], [["users", "plan"]], [forward], 1),
        (["users"], [["users", "name"]], [["users", "id"]], [], 1),
        (both, [["users", "plan"]], [], [back], 1),
    ]


def test_parameters_formats_and_several_selections_count_too(server: Server) -> None:
    assert server.ask(get(f"/query?q=users(name=$n){{id}}&n={SECRET_WORD}", key=api_key())).status == 200
    ask(server, "users { id } posts { id }")
    ask(server, "users { plan }", extra="Accept: text/csv\r\n")
    found, other = shapes(server)

    assert other == 0
    assert [each[1] for each in found] == [
        [["posts", "id"], ["users", "id"]], [["users", "id"]], [["users", "plan"]],
    ]  # fmt: skip


def test_what_was_refused_or_only_explained_is_no_query_seen(server: Server) -> None:
    assert server.ask(post("users { nothing }", api_key())).status == 400
    assert server.ask(post("users { id }", "rxk_k1.00")).status == 401
    ask(server, "EXPLAIN users { id }")

    assert shapes(server) == ([], 0)


def test_too_many_shapes_are_counted_together(server: Server) -> None:
    columns = ("id", "name", "plan")
    tests = [f"{a} IS NULL OR {b} IS NULL" for a in columns for b in columns]
    asked = 0
    for mask in range(1, 8):
        fields = " ".join(name for bit, name in enumerate(columns) if mask >> bit & 1)
        for condition in tests:
            for order in columns:
                for inner in ("", "posts { id }", "posts { title }", "posts { id title }", "posts { count() }"):
                    ask(server, f"users({condition} ORDER BY {order} LIMIT 1) {{ {fields} {inner} }}")
                    asked += 1
    found, other = shapes(server)

    assert len(found) <= 256
    assert sum(each[4] for each in found) + other == asked
