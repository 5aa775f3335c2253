"""The server as a program: engine/doc/launch.md in tests, and that it goes on answering while snapshots change."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.engine import harness
from tests.engine.plans import PLAN
from tests.engine.serving import (
    Client,
    Server,
    get,
    listening_socket,
    post,
    refused,
    until,
)

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id = 3) { id name }"
ROW = [{"id": 3, "name": "u3"}]


def test_a_server_that_listens_by_itself_says_that_it_starts(server_program: Path, tmp_path: Path) -> None:
    probe = listening_socket()
    port: int = probe.getsockname()[1]
    probe.close()
    process = subprocess.Popen(
        [str(server_program), "--dir", str(tmp_path), "--listen", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: (tmp_path / "server.sock").exists())
        until(lambda: _answers(port))
        with Client(port) as client:
            health = client.ask(get("/health"))
            ready = client.ask(get("/ready"))
            query = client.ask(post(QUERY))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    assert (health.status, health.json()["status"]) == (503, "starting")
    refused(ready, 503, "not_ready")
    refused(query, 401, "unauthorized")
    assert code == 0
    assert not (tmp_path / "server.sock").exists()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_queries_go_on_while_snapshots_are_swapped(server: Server) -> None:
    stop = threading.Event()
    failures: list[object] = []

    def ask() -> None:
        with server.client() as client:
            while not stop.is_set():
                names = {row["name"] for row in client.ask(post("users { name }")).json()}
                if len(names) != 1:
                    failures.append(names)

    def rows(version: int) -> dict[str, list[dict[str, object]]]:
        return {"users": [{"id": i, "name": f"v{version}"} for i in range(200)]}

    first = server.load(rows(0))
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    versions = [server.load(rows(version)) for version in range(1, 20)]
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert versions == list(range(first + 1, first + 20))
    assert server.ask(get("/health")).json()["swapCount"] == 21


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dir", ""],
        ["--dir", "/tmp", "--nonsense", "1"],
        ["--dir", "/tmp", "--threads", "-1"],
        ["--dir", "/tmp", "--threads", "1x"],
        ["--dir", "/tmp", "--threads"],
        ["--dir", "/tmp", "--max-connections", "0"],
        ["--dir", "/tmp", "--log-level", "loud"],
        ["--dir", "/tmp", "--listen", "8080"],
        ["--dir", "/tmp", "--listen", "127.0.0.1:1", "--listen-fd", "3"],
        ["--dir", "/tmp", "--listen-fd", "x"],
    ],
)
def test_wrong_options_end_with_status_2(server_program: Path, arguments: list[str]) -> None:
    outcome = subprocess.run([str(server_program), *arguments], capture_output=True, text=True, timeout=30)

    assert outcome.returncode == 2
    assert json.loads(outcome.stderr)["action"] == "start_failed"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dir", "/nonexistent"],
        ["--dir", ".", "--listen-fd", "0"],
        ["--dir", ".", "--listen", "localhost:80"],
        ["--dir", ".", "--listen", "192.0.2.1:8080"],
    ],
)
def test_what_cannot_be_used_ends_with_status_3(server_program: Path, tmp_path: Path, arguments: list[str]) -> None:
    outcome = subprocess.run(
        [str(server_program), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )

    assert outcome.returncode == 3
    assert json.loads(outcome.stderr)["action"] == "start_failed"


def test_the_program_says_what_it_serves(server_program: Path) -> None:
    said = subprocess.run([str(server_program), "--schema"], capture_output=True, check=True).stdout

    assert json.loads(said) == {"fingerprint": PLAN.fingerprint().hex(), "engine": "0.1.0"}
    assert harness.ENGINE.joinpath("version.h").read_text().count("0.1.0") == 1
