"""The metadata database: opening it, bringing it to the present schema, and handing out transactions.

Opened once per process by control. SQLite in WAL mode; every writing transaction takes the write lock at its start,
so what it read is still true when it writes, and a committed one survives a power cut. Knows no nouns: those are in
the query modules, which take a transaction.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, create_engine, event

_BUSY_TIMEOUT_MS = 10_000


class Store:
    """Hands out transactions on one metadata file. Safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._engine = _engine(path)
        self._migrate(path)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._engine.connect() as tx:
            tx.exec_driver_sql("BEGIN")
            try:
                yield tx
            finally:
                tx.exec_driver_sql("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Commits at the end, rolls back on any exception. Writers wait for each other."""
        with self._engine.connect() as tx:
            tx.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield tx
            except BaseException:
                tx.exec_driver_sql("ROLLBACK")
                raise
            tx.exec_driver_sql("COMMIT")

    def close(self) -> None:
        self._engine.dispose()

    def _migrate(self, path: Path) -> None:
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.exec_driver_sql("COMMIT")


def _engine(path: Path) -> Engine:
    # AUTOCOMMIT leaves BEGIN and COMMIT to us: the driver's own would take the write lock only at the first write.
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)), isolation_level="AUTOCOMMIT", pool_size=8, max_overflow=64
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine
