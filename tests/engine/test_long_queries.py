"""A query that takes longer than a loop has patience for keeps nobody waiting, as the order of answers tells."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.sync import feed
from tests.engine.serving import LIMIT_S, Client, Server, get, metric, post, refused, until, wait_readable
from tests.engine.test_live import Live

CHILDREN = 20_000
ROWS = {
    "users": [{"id": 1, "name": "all of them"}],
    "posts": [{"id": i, "user_id": 1, "title": f"p{i}"} for i in range(1, CHILDREN + 1)],
}
FOREVER = 'posts { user { posts(title = "none") { id } } }'
"""Looks at every row for every row, which takes longer than any test, and writes little."""
LONG = 'posts(LIMIT 100) { id user { posts(title = "p7") { id } } }'
ANSWER = [{"id": i, "user": {"posts": [{"id": 7}]}} for i in range(1, 101)]
QUICK = "posts(id = 3) { title }"
ONE_LOOP = ("--threads", "1", "--max-query-ms", "600000")


@pytest.fixture
def one_loop(server_program: Path) -> Iterator[Server]:
    with Server(server_program, *ONE_LOOP) as running:
        yield running.ready(ROWS)


def in_hand(server: Server) -> int:
    return metric(server, "long_queries")


def begin_forever(server: Server, client: Client, query: str = FOREVER, extra: str = "") -> None:
    client.send(post(query, extra=extra))
    until(lambda: in_hand(server) == 1)


def test_queries_are_answered_while_a_long_one_runs_on_their_loop(one_loop: Server) -> None:
    with one_loop.client() as slow, one_loop.client() as quick:
        begin_forever(one_loop, slow)

        answers = [quick.ask(post(QUICK)) for _ in range(200)]

        assert {answer.status for answer in answers} == {200}
        assert in_hand(one_loop) == 1
        assert not wait_readable(slow.socket, 0)


def test_medium_queries_are_answered_while_a_long_one_runs(one_loop: Server) -> None:
    with one_loop.client() as slow, one_loop.client() as medium:
        begin_forever(one_loop, slow)

        assert medium.ask(post(LONG)).json() == ANSWER
        assert not wait_readable(slow.socket, 0)


def test_a_long_query_is_given_up_when_its_client_goes(one_loop: Server) -> None:
    with one_loop.client() as slow:
        begin_forever(one_loop, slow)

    until(lambda: in_hand(one_loop) == 0)
    assert one_loop.ask(post(QUICK)).status == 200


def test_more_long_queries_than_workers_wait_their_turn_and_those_given_up_make_room(one_loop: Server) -> None:
    slow = [one_loop.client() for _ in range(9)]
    for client in slow:
        client.send(post(FOREVER))
    until(lambda: in_hand(one_loop) == len(slow))
    with one_loop.client() as waiting:
        waiting.send(post(LONG))
        until(lambda: in_hand(one_loop) == len(slow) + 1)

        for client in slow:
            client.socket.close()

        assert waiting.answer().json() == ANSWER
    until(lambda: in_hand(one_loop) == 0)


def test_a_long_answer_is_the_same_in_every_form(one_loop: Server) -> None:
    plain = one_loop.ask(post(LONG))
    packed = one_loop.ask(post(LONG, extra="Accept-Encoding: gzip\r\n"))
    lines = one_loop.ask(post(LONG, extra="Accept: application/x-ndjson\r\n"))
    with one_loop.client() as client:
        client.send(get(f"/query?q={LONG.replace(' ', '+')}").replace(b"GET", b"HEAD", 1))
        head = client.answer(head_only=True)

    assert plain.json() == ANSWER
    assert json.loads(gzip.decompress(packed.body)) == ANSWER
    assert [json.loads(line) for line in lines.body.splitlines()] == ANSWER
    assert int(head.headers["content-length"]) == len(plain.body)
    assert head.headers["etag"]
    assert metric(one_loop, "long_queries_total") == 3  # lines are made piece by piece on their loop
    assert in_hand(one_loop) == 0


def test_sorting_many_rows_is_no_work_for_a_loop(one_loop: Server) -> None:
    rows = one_loop.ask(post("posts(ORDER BY title) { title }")).json()

    assert rows == [{"title": title} for title in sorted(f"p{i}" for i in range(1, CHILDREN + 1))]
    assert metric(one_loop, "long_queries_total") == 1


def test_a_long_text_is_not_even_read_on_a_loop(one_loop: Server) -> None:
    numbers = ", ".join(map(str, range(1, 9001)))

    assert one_loop.ask(post(f"posts(id IN ({numbers})) {{ n: count() }}")).json() == {"n": 9000}
    refused(one_loop.ask(post(f"posts(nothing IN ({numbers})) {{ id }}")), 400, "unknown_field")
    assert metric(one_loop, "long_queries_total") == 2


def test_requests_behind_a_long_one_are_answered_after_it(one_loop: Server) -> None:
    with one_loop.client() as client:
        client.send(post(QUICK) + post(LONG) + post(QUICK) + post(LONG) + get("/ready"))
        answers = [client.answer() for _ in range(5)]

    assert [answer.json() for answer in answers] == [
        [{"title": "p3"}],
        ANSWER,
        [{"title": "p3"}],
        ANSWER,
        {"status": "ready"},
    ]


def test_a_long_query_answers_from_the_snapshot_that_it_was_asked_of(one_loop: Server) -> None:
    with one_loop.client() as client:
        client.send(post(LONG))
        until(lambda: metric(one_loop, "long_queries_total") == 1)
        version = one_loop.load({"users": [], "posts": []})
        answer = client.answer()

    assert answer.json() == ANSWER
    assert int(answer.headers["x-reflexdb-version"]) == version - 1
    assert one_loop.ask(post("posts { id }")).json() == []


def test_limits_hold_for_long_queries(server_program: Path) -> None:
    with Server(server_program, "--threads", "1", "--max-query-ms", "50").ready(ROWS) as server:
        refused(server.ask(post(FOREVER)), 422, "limit_exceeded")
        refused(server.ask(post(FOREVER, extra="Accept-Encoding: gzip\r\n")), 422, "limit_exceeded")
    with Server(server_program, *ONE_LOOP, "--max-rows", "20000").ready(ROWS) as server:
        refused(server.ask(post("posts { user { posts(id < 2000) { id } } }")), 422, "limit_exceeded")


def test_a_shape_that_turned_out_short_stays_on_its_loop_again(one_loop: Server) -> None:
    """What a literal makes long, another makes short."""

    def counted(most: int) -> int:
        assert one_loop.ask(post(f"posts(id < {most}) {{ user {{ posts(title = 'x') {{ id }} }} }}")).status == 200
        return metric(one_loop, "long_queries_total")

    assert counted(100) == 1
    assert counted(1) == 2
    until(lambda: counted(1) == counted(1))


def test_a_long_query_that_is_followed_keeps_nobody_waiting(one_loop: Server) -> None:
    with Live(one_loop, LONG) as live:
        assert live.rows() == ANSWER
        one_loop.load({**ROWS, "posts": [{**row, "title": "p7"} for row in ROWS["posts"][:3]]})

        assert live.rows() == [{"id": i, "user": {"posts": [{"id": 1}, {"id": 2}, {"id": 3}]}} for i in (1, 2, 3)]
    assert metric(one_loop, "long_queries_total") > 0


def test_a_followed_query_is_given_up_when_its_client_goes(one_loop: Server) -> None:
    one_loop.load({})
    with Live(one_loop, FOREVER) as live:
        assert live.rows() == []
        one_loop.load(ROWS)
        until(lambda: in_hand(one_loop) == 1)
        assert one_loop.ask(post(QUICK)).status == 200

    until(lambda: in_hand(one_loop) == 0)


def test_going_away_waits_for_long_answers(server_program: Path) -> None:
    with Server(server_program, *ONE_LOOP).ready(ROWS) as server, server.client() as client:
        client.send(post(LONG))
        until(lambda: metric(server, "long_queries_total") == 1)
        server.orders.request(feed.drain(30_000))

        answer = client.answer()

        assert answer.json() == ANSWER
        assert answer.headers["connection"] == "close"
        assert server.process.wait(LIMIT_S) == 0


def test_going_away_ends_what_takes_too_long(server_program: Path) -> None:
    with Server(server_program, *ONE_LOOP).ready(ROWS) as server, server.client() as client:
        begin_forever(server, client)
        server.orders.request(feed.drain(100))

        assert server.process.wait(LIMIT_S) == 0
