"""Answers that contain a table that can't be brought up to date say so, and only those."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from reflexdb.sync import feed
from tests.engine.plans import COMMENTS, PLAN, POSTS, USERS
from tests.engine.serving import Server, get, post

HEADER = "x-reflexdb-stale-tables"


def freeze(server: Server, *tables: int) -> None:
    with server.sync() as sync:
        sync.request(feed.sync_status("failing", "poll", "why", {"frozen": list(tables)}))


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("users { id }", None),
        ("posts { id }", "posts"),
        ("users { posts { id } }", "posts"),
        ("users(posts.comments.id = 1) { id }", "comments, posts"),
        ("users { posts { count() } }", "posts"),
        ("users { id } posts { id }", "posts"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
def test_an_answer_names_its_stale_tables(server: Server, query: str, told: str | None, accept: str) -> None:
    freeze(server, POSTS, COMMENTS)
    for _ in range(2):  # a plan that is made, and one that is known
        answer = server.ask(post(query, extra=f"Accept: {accept}, */*;q=0.1\r\n"))
        assert answer.status == 200, answer.body
        found = answer.headers.get(HEADER)
        assert (None if found is None else ", ".join(sorted(found.split(", ")))) == told


def test_a_client_that_has_the_rows_hears_that_they_are_stale(server: Server) -> None:
    path = "/query?q=" + quote("users { id }")
    tag = server.ask(get(path)).headers["etag"]
    again = f"If-None-Match: {tag}\r\n"
    fresh = server.ask(get(path, extra=again))
    freeze(server, USERS)
    stale = server.ask(get(path, extra=again))
    freeze(server)
    mended = server.ask(get(path, extra=again))

    assert (fresh.status, stale.status, mended.status) == (304, 200, 304)
    assert stale.headers[HEADER] == "users"


def test_health_and_metrics_tell_that_a_table_is_stale(server: Server) -> None:
    freeze(server, POSTS)
    health = server.ask(get("/health", key=""))
    with_key = server.ask(get("/metrics")).body.decode()
    without = server.ask(get("/metrics", key="")).body.decode()

    assert (health.status, health.json()["status"]) == (200, "degraded")
    assert "reflexdb_stale_tables 1" in without
    assert "posts" not in without
    assert 'reflexdb_table_stale{table="posts"} 1' in with_key
    assert 'reflexdb_table_stale{table="users"} 0' in with_key


def test_a_table_may_be_named_again_within_a_snapshot(server: Server) -> None:
    """What came of it before is thrown away: so a table that fails in the middle keeps its rows."""
    rows = len(server.ask(post("users { id }")).json())
    with server.sync() as sync:
        sync.request(feed.snapshot_begin(datetime.now(UTC), "later"))
        for index in range(len(PLAN.tables)):
            sync.send(feed.table(index))
            sync.send(feed.table_keep(index))
        sync.request(feed.snapshot_commit())

    assert len(server.ask(post("users { id }")).json()) == rows
