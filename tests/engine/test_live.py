"""Live queries: an answer now, and another each time it has changed (engine/doc/http.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reflexdb.sync import feed
from tests.engine.serving import SECRET, Answer, Client, Server, api_key, post, refused

pytestmark = pytest.mark.timeout(1800)

Rows = list[dict[str, Any]]


class Live(Client):
    """A live query's connection: its events, one by one."""

    def __init__(self, server: Server, query: str, extra: str = "", key: str | None = None) -> None:
        super().__init__(server.port)
        self._text = b""
        self.retry_ms = 0
        self.head: Answer = self.ask(post(query, key=key, extra=f"Accept: text/event-stream\r\n{extra}"))

    def event(self) -> dict[str, str]:
        """The next event's fields, comments left out; data lines joined. Empty where there is no more."""
        while True:
            while b"\n\n" not in self._text:
                piece = self.chunk()
                if not piece:
                    return {}
                self._text += piece
            block, _, self._text = self._text.partition(b"\n\n")
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = fields[name] + "\n" + value if name in fields else value
            self.retry_ms = int(fields.pop("retry", self.retry_ms))
            if fields:
                return fields

    def rows(self) -> Rows:
        answer: Rows = json.loads(self.event()["data"])
        return answer


def users(*names: str) -> dict[str, Rows]:
    return {"users": [{"id": n, "name": name} for n, name in enumerate(names, 1)]}


def test_an_answer_comes_now_and_again_when_it_has_changed(server: Server) -> None:
    server.load(users("Ada"))
    with Live(server, "users { name }") as live:
        assert (live.head.status, live.head.headers["content-type"]) == (200, "text/event-stream")
        assert live.head.headers["cache-control"] == "no-store"
        assert live.head.headers["x-accel-buffering"] == "no"
        assert live.rows() == [{"name": "Ada"}]
        server.load(users("Ada", "Bo"))
        assert live.rows() == [{"name": "Ada"}, {"name": "Bo"}]


def test_clients_are_told_different_times_to_reconnect(server: Server) -> None:
    server.load(users("Ada"))
    waits = set()
    for _ in range(8):
        with Live(server, "users { name }") as live:
            live.event()
            waits.add(live.retry_ms)

    assert all(500 <= wait < 5000 for wait in waits)
    assert len(waits) > 1


def test_what_does_not_change_the_answer_is_not_told(server: Server) -> None:
    server.load(users("Ada", "Bo"))
    with Live(server, "users(id = 1) { name }") as live:
        assert live.rows() == [{"name": "Ada"}]
        server.load(users("Ada", "Cy"))
        server.load(users("Ada"))
        server.load(users("Di"))
        assert live.rows() == [{"name": "Di"}]


def test_many_follow_and_many_changes_end_in_the_last_answer(server: Server) -> None:
    followers = [Live(server, "users(id = $id) { name }".replace("$id", str(n % 2 + 1))) for n in range(20)]
    for n in range(30):
        server.load(users(f"a{n}", f"b{n}"))
    server.load(users("last", "last"))
    for live in followers:
        with live:
            while live.rows() != [{"name": "last"}]:
                pass


def test_the_last_event_id_says_what_is_known(server: Server) -> None:
    server.load(users("Ada"))
    with Live(server, "users { name }") as live:
        known = live.event()["id"]
    with Live(server, "users { name }", f"Last-Event-ID: {known}\r\n") as again:
        server.load(users("Bo"))
        assert again.rows() == [{"name": "Bo"}]
    with Live(server, "users { name }", f"Last-Event-ID: {known}\r\n") as late:
        assert late.rows() == [{"name": "Bo"}]


def test_line_ends_within_values_stay_in_the_event(server: Server) -> None:
    server.load({"kinds": [{"id": "k", "json": '{\n"a":\r\n1}'}]})
    with Live(server, "kinds { json }") as live:
        assert live.rows() == [{"json": {"a": 1}}]


def test_a_key_that_goes_away_ends_what_it_follows(server: Server) -> None:
    server.orders.request(feed.keys(SECRET, {"k1": None, "k2": None}))
    with Live(server, "users(id = 1) { id }", key=api_key("k2")) as live:
        assert live.rows() == [{"id": 1}]
        server.orders.request(feed.keys(SECRET, {"k1": None}))
        last = live.event()
        assert (last["event"], json.loads(last["data"])["error"]) == ("error", "unauthorized")
        assert live.event() == {}
        assert live.is_closed()


def test_an_answer_that_goes_over_a_limit_ends_it(server_program: Path) -> None:
    with Server(server_program, "--max-rows", "3") as server:
        server.ready(users("a"))
        with Live(server, "users { id }") as live:
            assert live.rows() == [{"id": 1}]
            server.load(users(*"abcde"))
            last = live.event()
            assert (last["event"], json.loads(last["data"])["error"]) == ("error", "limit_exceeded")
            assert live.event() == {}


def test_live_queries_are_counted_and_bounded(server_program: Path) -> None:
    with Server(server_program, "--max-live-queries", "2") as server:
        server.ready(users("a"))
        first, second = (Live(server, "users { id }") for _ in range(2))
        third = Live(server, "users { id }")
        refused(third.head, 503, "overloaded")
        first.__exit__()
        assert first.socket.fileno() == -1
        while (again := Live(server, "users { id }")).head.status == 503:
            again.__exit__()
        for client in (second, third, again):
            client.__exit__()


@pytest.mark.parametrize(("query", "code"), [("users {", "syntax_error"), ("nothing { id }", "unknown_table")])
def test_a_bad_query_is_refused_as_ever(server: Server, query: str, code: str) -> None:
    with Live(server, query) as live:
        refused(live.head, 400, code)


def test_a_server_that_goes_away_ends_live_queries_in_order(server_program: Path) -> None:
    with Server(server_program) as server:
        server.ready(users("a"))
        with Live(server, "users { id }") as live:
            assert live.rows() == [{"id": 1}]
            server.orders.request(feed.drain(2_000))
            assert live.event() == {}


def test_others_are_answered_while_many_follow(server: Server) -> None:
    followers = [Live(server, "users { id name }") for _ in range(30)]
    ask: Callable[[], Answer] = lambda: server.ask(post("users(id = 1) { id }"))  # noqa: E731
    with server.sync() as sync:
        for _ in range(5):
            server.load(users(*(str(datetime.now(UTC)) for _ in range(100))), sync)
            assert ask().json() == [{"id": 1}]
    for live in followers:
        live.__exit__()
