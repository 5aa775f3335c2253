"""Handing over the listening socket, draining and ending: nobody is refused, nothing is lost, nothing stays."""

from __future__ import annotations

import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reflexdb.model.errors import InstanceUnreachable
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from tests.engine.plans import PLAN
from tests.engine.serving import LIMIT_S, Client, Server, post, until

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id = 3) { id name }"
NOW = datetime.now(UTC)


def test_the_listening_socket_is_handed_over_without_a_refused_connection(server_program: Path) -> None:
    stop = threading.Event()
    answers: list[int] = []
    failures: list[BaseException] = []

    def ask(port: int) -> None:
        try:
            while not stop.is_set():
                with Client(port) as client:
                    for _ in range(5):
                        answer = client.ask(post(QUERY))
                        answers.append(answer.status)
                        if answer.headers.get("connection") == "close":
                            break
        except BaseException as exc:
            failures.append(exc)

    with Server(server_program) as old:
        old.ready()
        threads = [threading.Thread(target=ask, args=(old.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 50)
        with old.orders.listener() as handed, Server(server_program, listener=handed) as new:
            new.ready()
            old.orders.request(feed.drain(2000))
            assert old.process.wait(LIMIT_S) == 0
            seen = len(answers)
            until(lambda: len(answers) > seen + 50)
            stop.set()
            for thread in threads:
                thread.join()
            assert int(new.orders.request(feed.status())["uptimeMs"]) > 0

    assert failures == []
    assert set(answers) == {200}


def test_a_drain_under_load_fails_no_request_on_living_connections(server: Server) -> None:
    failures: list[object] = []
    started = threading.Barrier(9)

    def ask() -> None:
        started.wait()
        try:
            with server.client() as client:
                while True:
                    answer = client.ask(post(QUERY))
                    if answer.status != 200:
                        failures.append(answer)
                    if answer.headers.get("connection") == "close":
                        assert client.is_closed()
                        return
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    until(lambda: int(server.orders.request(feed.status())["connections"]) == 8)
    server.orders.request(feed.drain(10_000))
    for thread in threads:
        thread.join()

    assert failures == []
    assert server.process.wait(LIMIT_S) == 0


def test_a_drain_answers_what_has_arrived_and_closes_the_silent(server: Server) -> None:
    with server.client() as silent, server.client() as piped, server.client() as half:
        assert silent.ask(post(QUERY)).status == 200
        request = post(QUERY)
        half.send(request[:30])
        until(lambda: int(server.orders.request(feed.status())["connections"]) == 3)
        server.orders.request(feed.drain(4000))
        piped.send(request * 20)
        half.send(request[30:])
        answers = [piped.answer() for _ in range(20)]
        late = half.answer()

        assert [answer.status for answer in answers] == [200] * 20
        assert (late.status, late.headers["connection"]) == (200, "close")
        assert silent.is_closed()
    assert server.process.wait(LIMIT_S) == 0
    assert not (server.directory / "server.sock").exists()


def test_a_drain_ends_in_time_whatever_clients_do(server: Server) -> None:
    with server.client() as stuck:
        stuck.send(post(QUERY)[:-1])
        until(lambda: int(server.orders.request(feed.status())["connections"]) == 1)
        server.orders.request(feed.drain(300))

        assert server.process.wait(LIMIT_S) == 0


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(
    server_program: Path, server: Server, tmp_path: Path
) -> None:
    second = subprocess.run([str(server_program), "--dir", str(server.directory)], capture_output=True, timeout=30)
    with Server(server_program) as killed:
        killed.process.kill()
        killed.process.wait()
        again = subprocess.Popen(
            [str(server_program), "--dir", str(killed.directory)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        until(lambda: _greets(killed.directory))
        again.terminate()
        code = again.wait(LIMIT_S)
        killed.process.returncode = 0

    assert second.returncode == 3
    assert code == 0
    assert server.ask(post(QUERY)).status == 200


def _greets(directory: Path) -> bool:
    try:
        with PrivateChannel(directory) as channel:
            channel.hello(feed.Role.DEPLOYER, None)
    except InstanceUnreachable:
        return False
    return True


def test_the_order_to_end_and_what_was_sent_with_it_are_answered(server: Server) -> None:
    """Nothing holds the server up, which therefore ends while it answers: no answer is cut off."""
    hello = feed.hello(feed.Role.DEPLOYER, PLAN.fingerprint()).encode()
    orders = [feed.drain(1000).encode(), *[feed.status().encode()] * 200]
    server.load()
    decoder = feed.ReplyDecoder()
    with server.raw_channel() as private:
        private.sendall(hello + b"".join(orders))
        while more := private.recv(1 << 16):
            decoder.feed(more)

    assert server.process.wait(LIMIT_S) == 0
    answers = []
    while answer := decoder.next():
        answers.append(answer.kind)
    assert answers == [feed.Kind.OK] * (len(orders) + 1)
