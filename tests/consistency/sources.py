"""Servers of the checker's own, which are killed and started again with what is on their disk."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from reflexdb.model.schema import Backend
from tests.servers import mariadb, postgres
from tests.servers.plugin import TestDatabase
from tests.servers.shared import Server
from tests.servers.spawn import spawn, unprivileged

DATABASE = "shop"
START_S = 60.0
REFUSED: tuple[type[Exception], ...] = (pymysql.MySQLError, psycopg.Error, OSError)
"""What a client meets whose server is killed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between sources."""

    name: str
    backend: Backend
    module: Any
    """Of tests/servers."""
    options: tuple[str, ...]
    settings: dict[str, str]
    user: str
    """That the server runs as."""
    crash: signal.Signals
    """Ends the server at once, with all of its processes."""
    position: str
    """Asks for the position after a commit of the same session."""
    lost: tuple[type[Exception], ...]

    def is_installed(self) -> bool:
        return bool((self.module.binary if self.backend is Backend.MYSQL else self.module.programs)() is not None)


KINDS = (
    Kind(
        "mariadb",
        Backend.MYSQL,
        mariadb,
        ("--innodb-flush-log-at-trx-commit=2",),  # written at each commit: what is acknowledged outlives the process
        {},
        "mysql",
        signal.SIGKILL,
        "SELECT @@last_gtid",
        (pymysql.MySQLError, OSError),
    ),
    Kind(
        "postgres",
        Backend.POSTGRES,
        postgres,
        (),
        {},
        "postgres",
        signal.SIGQUIT,
        "SELECT pg_current_wal_lsn()::text",
        (psycopg.Error, OSError),
    ),
)


class Source:
    """One server with one database."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._home = tempfile.TemporaryDirectory(prefix="reflexdb-consistency-", ignore_cleanup_errors=True)
        self.process, self.server = kind.module.start(Path(self._home.name), *kind.options, **kind.settings)
        self.run(f"CREATE DATABASE {DATABASE}", database=None)

    def connect(self, database: str | None = DATABASE) -> Any:
        name = database if database is not None or self.kind.backend is Backend.MYSQL else "postgres"
        return self.kind.module.connect(self.server, name)

    def run(self, *statements: str, database: str | None = DATABASE) -> None:
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def as_database(self) -> TestDatabase:
        server: Server = self.server

        def connect(**options: Any) -> Any:
            return self.kind.module.connect(server, DATABASE, **options)

        return TestDatabase(server.host, server.port, server.user, server.password, DATABASE, server.socket, connect)

    def crash(self) -> None:
        self.process.send_signal(self.kind.crash)
        self.process.wait(30)

    def back_up(self) -> Path:
        """A copy of what is on the disk. Only while the server does not run."""
        home = Path(self._home.name)
        subprocess.run(["cp", "-a", str(home / "data"), str(home / "backup")], check=True)
        return home / "backup"

    def put_back(self, backup: Path) -> None:
        """Only while the server does not run."""
        data = Path(self._home.name) / "data"
        shutil.rmtree(data)
        backup.rename(data)

    def restart(self) -> None:
        """Only from the main thread: a server dies with the thread that started it."""
        arguments = self.process.args
        assert isinstance(arguments, list)
        home = Path(self._home.name)
        give_up = time.monotonic() + START_S
        while True:
            self.process = spawn(arguments, home / "log", unprivileged(self.kind.user), home)
            if self._comes_up(self.process):
                return
            assert time.monotonic() < give_up, (home / "log").read_text(errors="replace")[-3000:]
            time.sleep(0.2)  # processes of the former one may still be about to end

    def _comes_up(self, process: subprocess.Popen[bytes]) -> bool:
        while process.poll() is None:
            try:
                self.connect().close()
            except self.kind.lost:
                time.sleep(0.05)
            else:
                return True
        return False

    def close(self) -> None:
        self.process.kill()
        self.process.wait(30)
        self._home.cleanup()


Begin = Callable[[Kind], Source]
