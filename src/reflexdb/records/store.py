"""The metadata database: opening it, bringing it to the present schema, and handing out transactions.

Opened once per process by control, on SQLite or PostgreSQL. On both a reader sees one state, and writers follow each
other: a writing transaction takes the one write lock at its start, so what it read is still true when it writes, and
a committed one survives a power cut. Knows no nouns: those are in the query modules, which take a transaction.

Where several control planes share the records, `fence` makes every writing transaction of a process that has been
declared dead fail, whatever the process believes.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, MetaData, text
from sqlalchemy.exc import SQLAlchemyError

from reflexdb.model.errors import LeaseLost, RecordsUnavailable, SystemError_
from reflexdb.records import engines
from reflexdb.records.trouble import translated

_RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
_patience_s: ContextVar[float] = ContextVar("patience_s", default=0.0)
_let_pass: ContextVar[Callable[[], None] | None] = ContextVar("let_pass", default=None)
_HELD = text("SELECT 1 FROM planes WHERE id = :id")


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Inside, a transaction that can't begin because the records are away is tried again for so long.

    For work that would be lost; a request rather hears at once that it can't be served.
    """
    token = _patience_s.set(seconds)
    try:
        yield
    finally:
        _patience_s.reset(token)


@contextmanager
def background(let_pass: Callable[[], None]) -> Iterator[None]:
    """Inside, every transaction begins by calling this: for work that can wait while somebody else can't."""
    token = _let_pass.set(let_pass)
    try:
        yield
    finally:
        _let_pass.reset(token)


class Store:
    """Hands out transactions on one metadata database: a file, or a database on PostgreSQL. Any thread."""

    watch: Callable[[str, float], None] | None = None
    """Hears of every transaction that has ended: read or write, and how many seconds it took with its waiting."""

    def __init__(self, where: Path | URL, *, migrate: bool = True) -> None:
        """Raises RecordsUnavailable where it can't be opened, SystemError_ where it is damaged or too new."""
        self._path = where if isinstance(where, Path) else None
        self._place = engines.sqlite(where) if isinstance(where, Path) else engines.postgresql(where)
        self._fence: str | None = None
        if migrate:
            self.upgrade("head")

    @property
    def where(self) -> str:
        """For messages: the file, or host, port and database."""
        return self._place.where

    @property
    def is_shared(self) -> bool:
        """Whether several control planes may use these records at the same time."""
        return self._place.is_postgresql

    def state(self) -> int | None:
        """Equal to an earlier one only where nothing was committed in between, by whomever; None where that can't be
        told without asking a server. What was read after it was taken holds for as long as it stays. Never waits."""
        return self._place.state()

    def fence(self, plane_id: str | None) -> None:
        """From now on a writing transaction needs this entry of `planes`. Raises LeaseLost where it is gone."""
        self._fence = plane_id

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._timed("read"), translated(self.where), self._begun(self._place.begin_read) as tx:
            try:
                yield tx
            finally:
                _roll_back(tx)

    @contextmanager
    def write(self, *, serial: bool = True) -> Iterator[Connection]:
        """Commits at the end, rolls back on any exception. Writers wait for each other, unless one statement is all."""
        statements = self._place.begin_write if serial else self._place.begin_write[:1]
        with self._timed("write"), translated(self.where), self._begun(statements) as tx:
            try:
                if self._fence is not None and tx.execute(_HELD, {"id": self._fence}).first() is None:
                    raise LeaseLost("This control plane was taken for dead and another took its work; it ends")
                yield tx
            except BaseException:
                _roll_back(tx)
                raise
            tx.exec_driver_sql("COMMIT")

    @contextmanager
    def _timed(self, mode: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            if self.watch is not None:
                self.watch(mode, time.monotonic() - started)

    def close(self) -> None:
        self._place.engine.dispose()

    def revision(self) -> str | None:
        """The revision of the schema that is there; None where there is none."""
        with self.read() as tx:
            return MigrationContext.configure(tx).get_current_revision()

    def upgrade(self, revision: str) -> None:
        """Bring the schema to a revision, while nobody else writes; of several that start, one does it."""
        with self._alone(), self.write() as tx:
            if self._place.is_postgresql:
                tx.exec_driver_sql("SET LOCAL statement_timeout = 0")
            config = _config()
            config.attributes["connection"] = tx
            try:
                command.upgrade(config, revision)
            except CommandError as exc:
                raise SystemError_(
                    f"The records ({self.where}) were written by a newer version of ReflexDB; use that one"
                ) from exc

    def empty(self) -> None:
        """Remove every table: of a database that was filled only in part."""
        with self.write() as tx:
            found = MetaData()
            found.reflect(bind=tx)
            found.drop_all(tx)

    @contextmanager
    def _begun(self, statements: tuple[str, ...]) -> Iterator[Connection]:
        """A connection with a transaction begun, which may be tried several times: nothing has been done yet."""
        if (let_pass := _let_pass.get()) is not None:
            let_pass()
        deadline, waits = time.monotonic() + _patience_s.get(), iter(_RETRY_S)
        while True:
            try:
                tx = self._begin(statements)
                break
            except RecordsUnavailable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(next(waits, _RETRY_S[-1]))
        with tx:
            yield tx

    def _begin(self, statements: tuple[str, ...]) -> Connection:
        with translated(self.where):
            tx = self._place.engine.connect()
            try:
                for statement in statements:
                    tx.exec_driver_sql(statement)
            except BaseException:
                _roll_back(tx)
                tx.close()
                raise
            return tx

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """On SQLite the first two starts race for more than a transaction: for the file and its journal mode."""
        if self._path is None:
            yield
            return
        try:
            lock = self._path.with_suffix(".lock").open("w")
        except OSError as exc:
            raise RecordsUnavailable(f"The records can't be opened: {exc.strerror}", self.where) from exc
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def newest_revision() -> str:
    """The revision that this version of ReflexDB works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _roll_back(tx: Connection) -> None:
    """A connection that can't even do this is thrown away."""
    try:
        tx.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError:
        with suppress(SQLAlchemyError):
            tx.invalidate()
