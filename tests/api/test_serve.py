"""Starting and ending a control plane: one per directory, one sentence where it can't, nothing left."""

from __future__ import annotations

import json
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest

from tests.api.plane import Plane, processes_in, spawn


def refused(data: Path, port: int = 0) -> str:
    """The one line with which a start is refused."""
    out, err = (process := spawn(data, port)).communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    [line] = err.strip().splitlines()
    return line


def test_the_first_start_prints_a_key_once_and_keeps_it_private(plane: Plane) -> None:
    api = plane.start()
    assert len(api.get("/account/management-keys")) == 1
    process = plane.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)

    assert printed.count(api.key) == 1
    assert stat.S_IMODE((plane.data / "admin.key").stat().st_mode) == 0o600
    again = plane.start()
    assert again.key == api.key
    assert len(again.get("/account/management-keys")) == 1


def test_it_tells_where_it_is_and_takes_it_back_when_it_ends(plane: Plane) -> None:
    plane.start()
    told = json.loads((plane.data / "control.json").read_text())
    assert plane.process is not None
    assert told["pid"] == plane.process.pid
    assert httpx.get(f"{told['url']}/healthz", trust_env=False).json()["status"] == "ok"

    assert plane.end() == 0
    assert not (plane.data / "control.json").exists()
    assert processes_in(plane.data) == []


def test_a_second_one_on_the_same_directory_is_refused(plane: Plane, records_kind: str) -> None:
    api = plane.start()

    if records_kind == "postgresql":  # there several may share it, but not with one that keeps its records in SQLite
        assert "another control plane" in refused(plane.data)
        return
    assert "another control plane" in refused(plane.data)
    assert api.get("/databases") == []


def test_a_killed_one_leaves_no_lock(plane: Plane) -> None:
    plane.start()
    plane.kill()

    assert plane.start().get("/databases") == []


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        line = refused(tmp_path / "data", other.getsockname()[1])

    assert "Address already in use" in line
    assert not (tmp_path / "data" / "admin.key").exists()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")

    assert "a file is in the way" in refused(tmp_path / "data")
    assert "a file is in the way" in refused(tmp_path / "data" / "below")
    assert (tmp_path / "data").read_text() == "mine"


def test_damaged_secrets_stop_the_start_with_a_sentence(plane: Plane) -> None:
    plane.start()
    plane.end()
    (plane.data / "secrets.bin").write_text("?")

    assert "secrets.bin is damaged" in refused(plane.data)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_its_log_is_json_lines_without_the_key(plane: Plane, how: signal.Signals) -> None:
    api = plane.start()
    plane.end(how)
    lines = [json.loads(line) for line in (plane.data / "logs" / "control.log").read_text().splitlines()]

    actions = [line["action"] for line in lines]
    assert actions[-1] == "stopped"
    assert actions.count("serving") == 1
    assert api.key not in (plane.data / "logs" / "control.log").read_text()
