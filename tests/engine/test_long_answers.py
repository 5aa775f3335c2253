"""Answers of many blocks: whole, in their place among others, and never more of them in memory than one a client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.serving import Client, Server, get, post, refused, until

ROWS = [{"id": number, "name": f"{number}-" + "x" * 990} for number in range(1, 3001)]
LONG = "users { id name }"


@pytest.fixture
def full(server_program: Path) -> Iterator[Server]:
    """Serves an answer of three megabytes, and refuses one of more than four."""
    with Server(server_program, "--max-answer-bytes", "4000000") as running:
        yield running.ready({"users": ROWS})


def pending_bytes(server: Server) -> int:
    found = re.search(r"^reflexdb_pending_bytes (\S+)$", server.ask(get("/metrics")).body.decode(), re.MULTILINE)
    assert found
    return int(float(found[1]))


def test_a_long_answer_stands_whole_between_short_ones(full: Server) -> None:
    with full.client() as client:
        client.send(post("users(id = 1) { id }") + post(LONG) + post("users(id = 2) { id }") + post(LONG))

        answers = [client.answer() for _ in range(4)]

    assert [answer.status for answer in answers] == [200] * 4
    assert (answers[0].json(), answers[2].json()) == ([{"id": 1}], [{"id": 2}])
    assert answers[1].json() == answers[3].json() == ROWS


def test_head_tells_the_length_of_a_long_answer(full: Server) -> None:
    with full.client() as client:
        client.send(get("/query?q=users%7Bid+name%7D"))
        length = client.answer().headers["content-length"]
        client.send(get("/query?q=users%7Bid+name%7D").replace(b"GET", b"HEAD", 1) + get("/ready"))

        assert client.answer(head_only=True).headers["content-length"] == length
        assert client.answer().status == 200


def test_an_answer_that_grows_over_its_limit_is_an_error_and_nothing_else(full: Server) -> None:
    with full.client() as client:
        refused(client.ask(post("users { id name more: name }")), 422, "limit_exceeded")

        assert client.ask(post("users(id = 1) { id }")).json() == [{"id": 1}]


def test_of_answers_that_nobody_reads_one_a_client_is_kept(full: Server) -> None:
    clients = [full.client() for _ in range(4)]
    for client in clients:
        client.send(post(LONG) * 20)

    until(lambda: pending_bytes(full) > 0)
    assert pending_bytes(full) <= len(clients) * 3_200_000
    for client in clients:
        assert [client.answer().status for _ in range(20)] == [200] * 20
        client.socket.close()
    until(lambda: pending_bytes(full) == 0)


def test_a_client_that_leaves_in_the_midst_of_an_answer_leaves_nothing(full: Server) -> None:
    for _ in range(5):
        with Client(full.port) as client:
            client.send(post(LONG) * 3)
            client.socket.recv(1000)

    until(lambda: pending_bytes(full) == 0)
    assert len(json.loads(full.ask(post(LONG)).body)) == len(ROWS)
