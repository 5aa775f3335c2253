"""Two servers on one listening socket: each takes its share of the connections, none is refused, all is counted."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from reflexdb.sync import feed
from tests.engine.serving import LIMIT_S, Client, Server, post, until

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id = 3) { id name }"
ENDS_SOON_MS = 20
ENOUGH = 3_000
"""Requests of which a share is told: one connection alone has some dozens before it ends."""


@pytest.fixture
def pair(server_program: Path) -> Iterator[tuple[Server, Server]]:
    """Two that serve on one socket."""
    with ExitStack() as stack:
        first = stack.enter_context(Server(server_program))
        first.ready()
        handed = stack.enter_context(first.orders.listener())
        second = stack.enter_context(Server(server_program, listener=handed))
        second.orders.request(feed.share(0, 0, 0))
        second.ready()
        yield first, second


def requests(server: Server) -> dict[str, Any]:
    return dict(server.orders.request(feed.status())["requests"])


def split(first: Server, second: Server, share: int) -> None:
    first.orders.request(feed.share(share, feed.SHARE_WHOLE, ENDS_SOON_MS))
    second.orders.request(feed.share(0, share, ENDS_SOON_MS))


@contextmanager
def asking(port: int, threads: int = 4) -> Iterator[tuple[Counter[int], list[BaseException]]]:
    """Clients that keep their connection for as long as they may, until the end of the block."""
    stop, statuses, failures = threading.Event(), Counter[int](), list[BaseException]()

    def ask() -> None:
        try:
            while not stop.is_set():
                with Client(port) as client:
                    while not stop.is_set():
                        answer = client.ask(post(QUERY))
                        statuses[answer.status] += 1
                        if answer.headers.get("connection") == "close":
                            break
        except BaseException as exc:
            failures.append(exc)

    running = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield statuses, failures
    finally:
        stop.set()
        for thread in running:
            thread.join()


@pytest.mark.parametrize("share", [50, 500])
def test_each_takes_its_share_of_the_requests_of_clients_that_keep_their_connections(
    pair: tuple[Server, Server], share: int
) -> None:
    """After enough requests; on a machine that halts now and then, after more."""
    first, second = pair
    split(first, second, share)

    def is_shared() -> bool:
        one, other = requests(first)["answered"], requests(second)["answered"]
        return one > ENOUGH and share / 4000 < other / (one + other) < min(0.95, share / 250)

    with asking(first.port) as (statuses, failures):
        until(is_shared, LIMIT_S * 4)

    assert failures == []
    assert set(statuses) == {200}


def test_a_server_without_a_share_is_left_by_all_and_takes_none(pair: tuple[Server, Server]) -> None:
    first, second = pair
    with first.client() as silent, asking(first.port) as (statuses, failures):
        silent.ask(post(QUERY))
        until(lambda: requests(first)["answered"] > 50)
        second.orders.request(feed.share(0, feed.SHARE_WHOLE, 0))
        first.orders.request(feed.share(0, 0, 0))
        until(lambda: first.orders.request(feed.status())["connections"] == 0)
        before, seen = requests(first)["answered"], statuses[200]
        until(lambda: statuses[200] > seen + 50)

    assert requests(first)["answered"] == before
    assert failures == []
    assert set(statuses) == {200}


def test_a_server_that_stood_by_takes_everything_again(pair: tuple[Server, Server]) -> None:
    first, second = pair
    with asking(first.port) as (statuses, failures):
        for giving, taking in ((first, second), (second, first)) * 3:
            taking.orders.request(feed.share(0, feed.SHARE_WHOLE, 0))
            giving.orders.request(feed.share(0, 0, 0))
            before = requests(taking)["answered"]
            until(lambda taking=taking, before=before: requests(taking)["answered"] > before + 50)

    assert failures == []
    assert set(statuses) == {200}


def test_connections_of_a_server_that_is_gone_are_taken_in_the_other_s_turn(pair: tuple[Server, Server]) -> None:
    first, second = pair
    split(first, second, 500)
    second.process.kill()
    second.process.wait(LIMIT_S)
    for _ in range(20):
        with first.client() as client:
            assert client.ask(post(QUERY)).status == 200
    second.process.returncode = 0  # as it was meant to end


def test_a_server_leaves_word_of_what_became_of_its_requests(server_program: Path) -> None:
    with Server(server_program) as server:
        server.ready()
        with server.client() as client:
            assert [client.ask(post(text)).status for text in (QUERY, QUERY, "nonsense {")] == [200, 200, 400]
        counted = requests(server)
        server.orders.request(feed.drain(2000))
        assert server.process.wait(LIMIT_S) == 0
        left = json.loads((server.directory / "counts.json").read_text())

    assert counted == left
    assert (left["answered"], left["failed"], left["cut"]) == (3, 0, 0)
    assert sum(count for _, count in left["queryTimes"]) == 3


def test_an_answer_that_the_end_cut_off_is_counted(server: Server) -> None:
    with server.client() as client:
        client.send(post(QUERY)[:-1])
        until(lambda: server.orders.request(feed.status())["connections"] == 1)
        server.orders.request(feed.drain(300))
        assert server.process.wait(LIMIT_S) == 0

    assert json.loads((server.directory / "counts.json").read_text())["cut"] == 1


@pytest.mark.parametrize(
    "share",
    [{}, {"from": 1, "to": 0, "connectionMs": 0}, {"from": 0, "to": 1001, "connectionMs": 0},
     {"from": "0", "to": 5, "connectionMs": 0}, {"from": 0, "to": 5, "connectionMs": -1}, 5],
)  # fmt: skip
def test_a_share_that_is_none_is_refused(server: Server, share: object) -> None:
    frame = feed.Frame(feed.Kind.CONFIGURE, (json.dumps({"share": share}).encode(),))
    with pytest.raises(feed.InstanceRefused, match="share"):
        server.orders.request(frame)
