"""A real control plane of this test worker's own, and the command line run against it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from reflexdb.cli.main import run
from reflexdb.control.sqlite_files import VARIABLE
from tests.servers.records import empty_database, served_with
from tests.servers.shared import Server

START_LIMIT_S = 240.0
OURS = ("REFLEXDB_URL", "REFLEXDB_KEY", "REFLEXDB_DATA", "REFLEXDB_API", "REFLEXDB_SOURCE", "REFLEXDB_DEBUG")
"""Variables that decide what a command does; the shared compiled engine's is not one of them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        """The whole of standard output as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Plane:
    data: Path
    url: str
    key: str


Cli = Callable[..., Outcome]


@contextmanager
def serving(data: Path, records: URL | None) -> Iterator[Plane]:
    command = [sys.executable, "-m", "reflexdb.cli.main", "serve", "--ephemeral", "--data", str(data), "--port", "0"]
    environment = {name: value for name, value in served_with(records).items() if not name.startswith(OURS)}
    environment[VARIABLE] = tempfile.gettempdir()  # the tests have several customers
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not (data / "control.json").exists():
            assert process.poll() is None, "the control plane ended at once"
            assert time.monotonic() < deadline, "the control plane did not start"
            time.sleep(0.05)
        url = json.loads((data / "control.json").read_text())["url"]
        yield Plane(data, url, (data / "admin.key").read_text().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="session")
def sqlite_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane") / "data", None) as plane:
        yield plane


@pytest.fixture(scope="session")
def postgresql_plane(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Iterator[Plane]:
    with empty_database(postgres_server) as url, serving(tmp_path_factory.mktemp("plane") / "data", url) as plane:
        yield plane


@pytest.fixture
def plane(records_kind: str, request: pytest.FixtureRequest) -> Plane:
    """The worker's control plane with its records there."""
    found: Plane = request.getfixturevalue(f"{records_kind}_plane")
    return found


@pytest.fixture
def offline(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command with no control plane known and an environment without settings of ours."""
    for name in list(os.environ):
        if name.startswith((*OURS, "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)

    def cli(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(list(arguments))
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return cli


@pytest.fixture
def cli(offline: Cli, plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command against the worker's control plane."""
    monkeypatch.setenv("REFLEXDB_DATA", str(plane.data))
    return offline


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small SQLite source."""
    path = tmp_path / "source.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        db.execute("INSERT INTO users VALUES (1, 'Ada')")
    return path


@pytest.fixture
def name() -> str:
    """A name nobody else uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def connection(cli: Cli, source: Path, name: str) -> str:
    """The name of a connection to the source."""
    assert cli("connection", "add", name, "--backend", "sqlite", "--file", str(source)).code == 0
    return name


@pytest.fixture
def database(cli: Cli, connection: str) -> str:
    """The name of a registered database, the same as its connection's."""
    assert cli("database", "add", connection, "--connection", connection).code == 0
    return connection
