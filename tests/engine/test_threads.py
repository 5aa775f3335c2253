"""Loops, feeds and orders at once, under the thread sanitizer: nothing is shared but what is meant to be."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reflexdb.sync import feed
from tests.engine.serving import LIMIT_S, SECRET, THREAD_FLAGS, Server, compile_server, get, post

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def checked_program(pytestconfig: pytest.Config) -> Path:
    return compile_server(pytestconfig.cache.mkdir("engine"), THREAD_FLAGS)


def test_swaps_keys_queries_and_a_drain_at_once_race_nowhere(checked_program: Path) -> None:
    stop = threading.Event()
    statuses: set[int] = set()

    def ask(server: Server) -> None:
        while not stop.is_set():
            with server.client() as client:
                for _ in range(20):
                    statuses.add(client.ask(post("users(id = 3) { id posts { title } }")).status)
                statuses.add(client.ask(get("/metrics")).status)

    with Server(checked_program).ready() as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(15):
            server.load()
            server.orders.request(feed.keys(SECRET, {"k1": None, f"k{i + 2}": None}))
            with server.sync() as sync:
                sync.request(feed.sync_status("ok", "poll", None))
            server.orders.request(feed.status())
        stop.set()
        for thread in threads:
            thread.join()
        server.orders.request(feed.drain(1000))

        assert server.process.wait(LIMIT_S) == 0
    assert statuses == {200}
