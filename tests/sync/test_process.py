"""The sync process as it really runs, between a SQLite file and a server of the private socket."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sync.commands import command
from reflexdb.sync.settings import SyncProcessSettings, secret_line, set_paused
from tests.sync.feed_server import FeedServer
from tests.sync.waiting import until

ENVIRONMENT = {**os.environ, "PYTHONPATH": "src"}


TWO_TABLES = (
    "CREATE TABLE a(id INTEGER PRIMARY KEY, t TEXT)",
    "CREATE TABLE b(id INTEGER PRIMARY KEY)",
    "INSERT INTO a VALUES (1,'one'),(2,NULL)",
    "INSERT INTO b VALUES (7)",
)


class Place:
    """A source with two tables, or of these statements, an instance directory and what runs in it."""

    def __init__(self, root: Path, *statements: str) -> None:
        self.file = root / "source.db"
        self.directory = root / "instance"
        self.directory.mkdir()
        self.run(*(statements or TWO_TABLES))
        self.address = SourceAddress(Backend.SQLITE, str(self.file))
        source = open_source(self.address)
        self.plan: Plan = make_plan(source.introspect("main"), None).plan
        source.close()
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *statements: str) -> None:
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def start(self, interval_s: float = 0.1, safety_net_s: int = 0) -> subprocess.Popen[bytes]:
        SyncProcessSettings(self.plan, self.address, "poll", interval_s, safety_net_s).save(self.directory)
        with (self.directory / "sync.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "reflexdb.sync", "--dir", str(self.directory)],
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stderr=log,
            )
        assert process.stdin is not None
        process.stdin.write(secret_line(SourceAddress(Backend.SQLITE, "", password="hunter2-secret")))
        process.stdin.close()
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.end()


@pytest.fixture
def server(place: Place) -> Iterator[FeedServer]:
    server = FeedServer(place.directory, place.plan)
    yield server
    server.close()


ONE, TWO = (1, b"one"), (2, None)


def test_the_first_snapshot_has_every_row(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.status.get("state") == "ok")

    assert server.tables == {0: [ONE, TWO], 1: [(7,)]}
    first = {**server.statuses[0], "definitions": None}
    told = {"state": "loading", "mode": "poll", "lastError": None, "definitions": None}
    assert first == {**told, "tables": [], "frozen": []}


def test_an_unchanged_source_swaps_nothing(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.confirms > 3)

    assert server.version == 1


def test_only_the_table_that_changed_is_sent_again(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.version == 1)
    place.run("INSERT INTO b VALUES (8)")
    until(lambda: server.version == 2)

    assert server.tables == {0: [ONE, TWO], 1: [(7,), (8,)]}
    assert server.kept == [[], [0]]


def test_a_reload_sends_everything_without_waiting_for_the_interval(place: Place, server: FeedServer) -> None:
    place.start(interval_s=3600)
    until(lambda: server.version == 1)
    answer = command(place.directory, "reload")
    until(lambda: server.version == 2)

    assert answer["ok"]
    assert server.kept == [[], []]


def test_while_paused_nothing_newer_appears_and_nothing_is_lost(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.version == 1)
    paused = command(place.directory, "pause")
    confirms = server.confirms
    place.run("INSERT INTO b VALUES (8)")
    until(lambda: server.status.get("state") == "paused")
    frozen = (server.version, server.confirms)
    command(place.directory, "resume")
    until(lambda: server.version == 2)

    assert paused["paused"]
    assert frozen == (1, confirms)
    assert server.tables[1] == [(7,), (8,)]


def test_a_pause_outlives_the_process(place: Place, server: FeedServer) -> None:
    """A server without a snapshot is loaded all the same: it would have nothing to answer."""
    set_paused(place.directory, True)
    place.start()
    until(lambda: server.status.get("state") == "paused")
    place.run("INSERT INTO b VALUES (8)")
    until(lambda: len([s for s in server.statuses if s["state"] == "paused"]) > 1)

    assert server.version == 1
    assert server.confirms == 0


def test_a_source_that_vanishes_is_reported_and_comes_back(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.version == 1)
    away = place.file.with_suffix(".away")
    place.file.rename(away)
    until(lambda: server.status.get("state") == "failing")
    reported = server.status["lastError"]
    away.rename(place.file)
    place.run("INSERT INTO b VALUES (9)")
    until(lambda: server.version == 2)
    until(lambda: server.status.get("state") == "ok")

    assert reported.startswith("source_missing: ")
    assert str(place.file) in reported
    assert server.tables[1] == [(7,), (9,)]
    assert server.status["lastError"] is None


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("DROP TABLE b", "table 'b' is gone"),
        ("ALTER TABLE a DROP COLUMN t", "column 't' of table 'a' is gone"),
    ],
)
def test_a_changed_definition_is_named_and_the_old_rows_stay(
    place: Place, server: FeedServer, statement: str, finding: str
) -> None:
    place.start()
    until(lambda: server.version == 1)
    place.run(statement)
    until(lambda: server.status.get("state") == "failing")

    assert server.status["lastError"].startswith("schema_changed: ")
    assert finding in server.status["lastError"]
    assert server.tables == {0: [ONE, TWO], 1: [(7,)]}


def test_a_server_that_restarts_is_loaded_again(place: Place, server: FeedServer) -> None:
    place.start(interval_s=3600)
    until(lambda: server.version == 1)
    server.close()
    again = FeedServer(place.directory, place.plan)
    try:
        until(lambda: again.version == 1)
    finally:
        again.close()

    assert again.tables == {0: [ONE, TWO], 1: [(7,)]}


def test_a_lost_connection_costs_no_reload(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.version == 1)
    server.drop_connections()
    confirms = server.confirms
    until(lambda: server.confirms > confirms + 1)

    assert server.version == 1


def test_a_refused_commit_is_reported_with_its_numbers_and_tried_again(place: Place, server: FeedServer) -> None:
    server.refuse_commit = ("cap_exceeded", "needs 12 MB of 10 MB")
    place.start()
    until(lambda: server.status.get("state") == "failing")
    reported = server.status["lastError"]
    server.refuse_commit = None
    until(lambda: server.version == 1)
    until(lambda: server.status.get("state") == "ok")

    assert reported == "cap_exceeded: needs 12 MB of 10 MB"


def test_sigterm_ends_it_cleanly(place: Place, server: FeedServer) -> None:
    process = place.start()
    until(lambda: server.version == 1)
    process.send_signal(signal.SIGTERM)
    status = process.wait(10)

    assert status == 0
    assert not (place.directory / "sync.sock").exists()


def test_the_secret_is_in_no_file_and_no_argument(place: Place, server: FeedServer) -> None:
    process = place.start()
    until(lambda: server.version == 1)
    seen = [file.read_bytes() for file in place.directory.iterdir() if file.is_file()]
    seen += [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]

    assert len(seen) > 3
    assert not any(b"hunter2-secret" in content for content in seen)


def test_a_second_process_over_the_same_directory_gives_way(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.version == 1)
    second = place.start()

    assert second.wait(30) == 3


@pytest.mark.parametrize("sent", [b"", b"{}\n", b"nonsense\n", b'{"cmd":"explode"}\n', b'{"cmd":"' + b"x" * 9000])
def test_a_command_that_is_none_is_refused_and_the_next_one_works(
    place: Place, server: FeedServer, sent: bytes
) -> None:
    place.start()
    until(lambda: server.version == 1)
    descriptor = os.open(place.directory, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(f"/proc/self/fd/{descriptor}/sync.sock")
        with contextlib.suppress(BrokenPipeError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert b'"ok": false' in client.recv(4096)
    os.close(descriptor)

    until(lambda: command(place.directory, "status")["state"] == "ok")


def test_the_command_socket_is_for_its_owner_only(place: Place, server: FeedServer) -> None:
    place.start()
    until(lambda: server.version == 1)

    assert (place.directory / "sync.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [b"", b"{}\n", b'{"password":7}\n'])
def test_without_a_secret_line_it_says_so_and_ends(place: Place, line: bytes) -> None:
    SyncProcessSettings(place.plan, place.address, "poll", 1, 0).save(place.directory)
    done = subprocess.run(
        [sys.executable, "-m", "reflexdb.sync", "--dir", str(place.directory)],
        env=ENVIRONMENT,
        input=line,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert b"standard input must hold one line" in done.stderr
