"""Requests that are there at the same time: their answers are made in a row and then sent, each to who asked."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.engine.serving import Client, Server, get, metric, post

pytestmark = pytest.mark.timeout(600)

CLIENTS = 120
"""More than are answered in a row, on each of two loops."""
LONG = "users { id name plan posts { id title } }"
TURNS_TO_FILL = 2_000
"""Long answers of one client that no socket's buffers hold."""


@contextlib.contextmanager
def at_once(server: Server) -> Iterator[None]:
    """What is sent meanwhile is there when the server looks again."""
    os.kill(server.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def user(n: int) -> list[dict[str, object]]:
    return [{"id": n, "name": f"u{n}"}]


def ask(n: int) -> bytes:
    return post(f"users(id = {n}) {{ id name }}")


def test_each_client_has_the_answer_to_its_own_request(server: Server) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(CLIENTS)]
        for _ in range(5):
            with at_once(server):
                for n, client in enumerate(clients):
                    client.send(ask(n % 100 + 1))
            for n, client in enumerate(clients):
                assert client.answer().json() == user(n % 100 + 1)


def test_among_them_are_all_kinds_of_clients(server: Server) -> None:
    """Some send more than one request, or half of one, or nonsense, close, or are gone before they are answered."""
    whole = server.ask(post(LONG)).body
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(CLIENTS)]
        with at_once(server):
            for n, client in enumerate(clients):
                match n % 8:
                    case 0:
                        client.send(ask(1) + ask(2) + ask(3))
                    case 1:
                        client.send(ask(4) + ask(5)[:40])
                    case 2:
                        client.send(b"NONSENSE\r\n\r\n")
                    case 3:
                        client.send(post("users(id = 6) { id name }", extra="Connection: close\r\n"))
                    case 4:
                        client.send(ask(7))
                        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        client.socket.close()
                    case 5:
                        client.send(post(LONG) + get("/ready"))
                    case 6:
                        client.send(get("/nowhere"))
                    case _:
                        client.send(post("users { nothing }"))
        for n, client in enumerate(clients):
            match n % 8:
                case 0:
                    assert [client.answer().json() for _ in range(3)] == [user(1), user(2), user(3)]
                case 1:
                    assert client.answer().json() == user(4)
                    client.send(ask(5)[40:])
                    assert client.answer().json() == user(5)
                case 2:
                    assert client.answer().status == 400
                    assert client.is_closed()
                case 3:
                    assert client.answer().json() == user(6)
                    assert client.is_closed()
                case 5:
                    assert client.answer().body == whole
                    assert client.answer().json() == {"status": "ready"}
                case 6:
                    assert client.answer().status == 404
                case 7:
                    assert client.answer().status == 400
    assert server.ask(ask(8)).json() == user(8)


def test_what_a_client_does_not_take_waits_for_it(server: Server) -> None:
    """One that reads nothing until the server has stopped answering it, among others that do."""
    whole = server.ask(post(LONG)).body
    with ExitStack() as stack:
        slow = stack.enter_context(Client(server.port))
        others = [stack.enter_context(server.client()) for _ in range(40)]
        asked = 0
        while asked < TURNS_TO_FILL and metric(server, "pending_bytes") == 0:
            with at_once(server):
                for n, client in enumerate(others):
                    client.send(ask(n + 1))
                slow.send(post(LONG))
            asked += 1
            for n, client in enumerate(others):
                assert client.answer().json() == user(n + 1)

        assert metric(server, "pending_bytes") > 0, f"{asked} long answers were taken by nobody and yet are not pending"
        for _ in range(asked):
            assert slow.answer().body == whole
        slow.send(ask(9))
        assert slow.answer().json() == user(9)


def test_a_flood_of_one_client_is_in_nobodys_answer(server: Server) -> None:
    whole = server.ask(post(LONG)).body
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(20)]
        with at_once(server):
            for n, client in enumerate(clients):
                client.send(post(LONG) * 400 if n % 5 == 4 else ask(n + 1))
        for n, client in enumerate(clients):
            if n % 5 != 4:
                assert client.answer().json() == user(n + 1)
        for client in clients[4::5]:
            for _ in range(400):
                assert client.answer().body == whole
