"""A SQLite file as a source: puts connecting, introspecting and reading together.

One connection is kept between snapshots, because SQLite can tell whether the file changed only within a connection; a
file that was replaced under the same name gets a new one. Thread-safe: a snapshot taken while another is open has a
connection of its own.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reflexdb.model.errors import SourceError, SourceMissing
from reflexdb.model.plan import Plan
from reflexdb.model.schema import SourceSchema
from reflexdb.sources.base import SourceAddress, TestResult
from reflexdb.sources.definitions import digest_of
from reflexdb.sources.sqlite.connect import BUSY_TIMEOUT_S, connect, identity, translated
from reflexdb.sources.sqlite.introspect import SCHEMA, introspect
from reflexdb.sources.sqlite.read import SQLiteSnapshot, now

_DEFINITIONS = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name, tbl_name"


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: sqlite3.Connection
    file: tuple[int, int]
    id: str


class SQLiteSource:
    """Source over one file."""

    def __init__(self, address: SourceAddress) -> None:
        self._path = address.host
        self._lock = threading.Lock()
        self._idle: _Opened | None = None

    def test(self) -> TestResult:
        started = time.perf_counter()
        with self._reading() as opened, translated(self._path):
            opened.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            latency_ms = (time.perf_counter() - started) * 1000
        size = sum(file.stat().st_size for file in (Path(self._path), Path(self._path + "-wal")) if file.exists())
        return TestResult(latency_ms, (SCHEMA,), size / 1e9, f"SQLite {sqlite3.sqlite_version}")

    def introspect(self, schema: str) -> SourceSchema:
        if schema != SCHEMA:
            raise SourceMissing(f"A SQLite file has only the schema {SCHEMA!r}; {schema!r} was asked for.")
        with self._reading() as opened, translated(self._path):
            return introspect(opened.connection)

    def definitions(self, schema: str) -> str:  # noqa: ARG002 - there is only one
        with self._reading() as opened, translated(self._path):
            return digest_of(opened.connection.execute(_DEFINITIONS).fetchall())

    @contextmanager
    def snapshot(self, plan: Plan) -> Iterator[SQLiteSnapshot]:  # noqa: ARG002 - the protocol's
        """All tables as of one moment. The plan is not needed to fix it."""
        taken_at = now()
        with self._reading() as opened:
            with translated(self._path):
                reader = SQLiteSnapshot(opened.connection, self._path, opened.id, taken_at)
            yield reader

    def state(self) -> str | None:
        """The file and its version; of a file that is gone, that it is. None where a writer has it just now."""
        try:
            opened = self._take()
        except SourceError:
            return "unreadable"
        try:
            opened.connection.execute("PRAGMA busy_timeout = 0")
            version = opened.connection.execute("PRAGMA data_version").fetchone()[0]
            return f"{opened.id}:{version}"
        except sqlite3.Error:
            return None
        finally:
            opened.connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
            self._give_back(opened, keep=True)

    def close(self) -> None:
        with self._lock:
            opened, self._idle = self._idle, None
        if opened is not None:
            opened.connection.close()

    @contextmanager
    def _reading(self) -> Iterator[_Opened]:
        """A connection with a read transaction that sees one moment."""
        opened = self._take()
        keep = False
        try:
            with translated(self._path):
                opened.connection.execute("BEGIN")
                opened.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # BEGIN alone fixes nothing
            yield opened
            keep = True
        finally:
            self._give_back(opened, keep)

    def _take(self) -> _Opened:
        file = identity(self._path)
        with self._lock:
            opened, self._idle = self._idle, None
        if opened is not None:
            if opened.file == file:
                return opened
            opened.connection.close()
        return _Opened(connect(self._path), file, uuid.uuid4().hex[:16])

    def _give_back(self, opened: _Opened, keep: bool) -> None:
        if keep:
            opened.connection.rollback()
            with self._lock:
                if self._idle is None:
                    self._idle = opened
                    return
        opened.connection.close()
