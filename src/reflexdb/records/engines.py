"""The two kinds of database that records may be kept in, and everything in which they differ.

`sqlite(path)` and `postgresql(url)` give the engine and the statements with which a reading and a writing transaction
begin; `store` knows nothing else of either. What a driver reports is translated in `trouble`. No password is in
anything this shows: `where` names host and database.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

WAIT_MS = 10_000
"""How long a writer waits for the one before it."""
IDLE_MS = 8_000
"""A process that is stopped within a transaction loses it after this long, shorter than others wait for it."""
STATEMENT_MS = 60_000
WRITE_LOCK = 0x7265_666C_6578
"""The advisory lock of everybody who writes: `reflex` in ASCII."""


@dataclass(frozen=True, slots=True)
class Place:
    """Records opened, not migrated yet."""

    engine: Engine
    where: str
    """For messages: the file, or host, port and database."""
    begin_read: tuple[str, ...]
    begin_write: tuple[str, ...]
    """After these nobody else writes until the end, and everything written before is seen."""

    state: Callable[[], int | None]
    """A number that is another after every commit of anybody; None where a server would have to be asked. Any thread,
    and never waits."""

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"


def sqlite(path: Path) -> Place:
    # AUTOCOMMIT leaves BEGIN and COMMIT to us: the driver's own would take the write lock only at the first write.
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_size=8,
        max_overflow=64,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={WAIT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return Place(engine, str(path), ("BEGIN",), ("BEGIN IMMEDIATE",), _Commits(path).count)


class _Commits:
    """A connection that never writes, and so is told of every commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def count(self) -> int | None:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
                found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                return None
            return found


def postgresql(url: URL) -> Place:
    options: dict[str, Any] = {
        "application_name": "reflexdb",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "client_encoding": "UTF8",
    }
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=20,
        pool_timeout=10,
        connect_args={name: value for name, value in options.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for name, value in (
            ("lock_timeout", f"{WAIT_MS}ms"),
            ("idle_in_transaction_session_timeout", f"{IDLE_MS}ms"),
            ("statement_timeout", f"{STATEMENT_MS}ms"),
        ):
            cursor.execute(f"SET {name} = '{value}'")
        # A committed transaction survives a power cut, whatever the server does for others.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        cursor.close()
        if not connection.autocommit:
            connection.commit()

    return Place(
        engine,
        f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}",
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
        # The lock is a statement of its own: each statement sees what was committed before it began.
        ("BEGIN ISOLATION LEVEL READ COMMITTED", f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"),
        lambda: None,
    )
