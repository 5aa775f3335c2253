"""The deployer's parts one by one: layout, processes, restarts, logs, sockets."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.deploy.local import listening, logs, processes
from reflexdb.deploy.local.keeper import HEALTHY_S, LONGEST_RESTART_S, _Restarts
from reflexdb.deploy.local.layout import Layout
from reflexdb.deploy.local.processes import Process, Role
from reflexdb.deploy.local.running import smoke_query

HOSTILE = ["", ".", "..", "../x", "a/b", "a\0b", "current", "-rf", "x" * 200, "ä"]


@pytest.mark.parametrize("identifier", HOSTILE)
def test_an_id_that_is_no_plain_name_is_never_a_path(tmp_path: Path, identifier: str) -> None:
    layout = Layout(tmp_path)

    with pytest.raises(ValueError, match="cannot be the id"):
        layout.deployment("db", identifier)
    with pytest.raises(ValueError, match="cannot be the id"):
        layout.database(identifier)


def test_a_flip_shows_the_old_or_the_new_and_nothing_else(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for deployment in ("d1", "d2"):
        layout.deployment("db", deployment).mkdir(parents=True)
    seen = [layout.current("db")]
    for deployment in ("d1", "d2"):
        layout.prepare_flip("db", deployment)
        seen.append(layout.current("db"))
        layout.flip("db")
        seen.append(layout.current("db"))

    d1, d2 = layout.deployment("db", "d1"), layout.deployment("db", "d2")
    assert seen == [None, None, d1, d1, d2]


@pytest.mark.parametrize("target", ["gone", "../../etc", "/etc"])
def test_a_current_that_points_nowhere_or_elsewhere_is_none(tmp_path: Path, target: str) -> None:
    layout = Layout(tmp_path)
    layout.database("db").mkdir()
    (layout.database("db") / "current").symlink_to(target)

    assert layout.current("db") is None
    assert layout.record("db") is None


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        child.kill()
        child.wait()


def sleeper(directory: Path, name: str = "reflex-server") -> list[str]:
    program = directory / name
    shutil.copy("/bin/sleep", program)
    return [str(program), "60"]


def test_only_processes_of_the_directory_are_found(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    ours = subprocess.Popen(sleeper(mine), cwd="/")
    visitor = subprocess.Popen(["/bin/sleep", "60"], cwd=mine)
    mentions = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(mine)])
    neighbour = subprocess.Popen(sleeper(other), cwd=mine)
    started += [ours, visitor, mentions, neighbour]
    found = processes.find(mine)
    for process in found:
        process.close()

    assert [(process.pid, process.role) for process in found] == [(ours.pid, Role.SERVER)]


def test_a_process_whose_program_was_removed_is_still_found(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    started.append(subprocess.Popen(sleeper(tmp_path)))
    (tmp_path / "reflex-server").unlink()
    found = processes.find(tmp_path)
    for process in found:
        process.close()

    assert [process.pid for process in found] == [started[0].pid]


def test_what_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    stubborn = subprocess.Popen(
        [sys.executable, "-c", "import signal,time; signal.signal(15, 1); print('up', flush=True); time.sleep(60)"],
        stdout=subprocess.PIPE,
    )
    started.append(stubborn)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    process = Process(stubborn.pid, Role.SERVER, stubborn)
    process.stop(0.1)
    stubborn.stdout.close()

    assert process.exit_status() == -9
    assert not process.alive()


def test_a_dead_process_is_dead_even_before_anyone_has_collected_it(
    started: list[subprocess.Popen[bytes]],
) -> None:
    child = subprocess.Popen(["/bin/true"])
    started.append(child)
    process = Process(child.pid, Role.SYNC)
    ended = process.wait(10)
    alive = process.alive()
    process.close()

    assert (ended, alive) == (True, False)


def test_restarts_come_soon_at_first_and_then_less_and_less_often() -> None:
    restarts = _Restarts()
    now, waits, died = 0.0, [], 0.0
    for _ in range(200_000):
        if restarts.due(now, alive=False):
            waits.append(now - died)
            died = now
        now += 0.01

    assert waits[0] <= 0.25
    assert all(later <= LONGEST_RESTART_S + 0.1 for later in waits)
    assert waits[-1] >= LONGEST_RESTART_S / 2


def test_a_healthy_minute_makes_the_next_restart_a_quick_one() -> None:
    restarts = _Restarts()
    now = 0.0
    for _ in range(10):
        while not restarts.due(now, alive=False):
            now += 0.1
    restarts.due(now, alive=True)
    restarts.due(now + HEALTHY_S + 1, alive=True)
    died = now = now + HEALTHY_S + 2
    while not restarts.due(now, alive=False):
        now += 0.01

    assert now - died <= 0.25


def test_a_log_over_the_limit_is_cut_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        logs.rotate(log, limit=50)
        writer.write(b"after")

    assert log.read_bytes() == b"after"
    assert (tmp_path / "server.log.1").read_bytes() == b"x" * 100


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"action":"a","reason":"disk full"}\n', "disk full"),
        (b'{"action":"stopped"}\n\n', "stopped"),
        (b"terminate called\n", "terminate called"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
        (b"[1]\n", "[1]"),
        (b"", "server.log is empty"),
    ],
)
def test_the_last_words_are_the_reason_in_the_last_line(tmp_path: Path, content: bytes, words: str) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(content)

    assert logs.last_words(log) == words


def test_a_free_port_is_one_that_nobody_has_and_nobody_was_promised() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with listening.bind_free("127.0.0.1", range(port, port + 50), {port + 1}) as chosen:
            assert listening.port_of(chosen) > port + 1
            assert not os.get_inheritable(chosen.fileno())


def test_the_smoke_query_names_any_table() -> None:
    assert smoke_query("a`b") == "`a``b`(LIMIT 1) { * }"
