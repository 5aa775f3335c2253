"""Fixtures for tests against real MariaDB and PostgreSQL servers; tests/conftest.py makes them known everywhere.

`mariadb_server` and `postgres_server` live as long as the run; `mariadb_database` and `postgres_database` are an
empty database of the test's own. A test marked `each_postgres` runs on the system's PostgreSQL and on the newest one,
with `--servers=all` on every version; a test of every source that is marked `each_binlog` runs on MySQL beside MariaDB.
Where a server's program is absent the test is skipped with a reason that starts with "needs", and named at the end of
the run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from reflexdb.control import fetch
from reflexdb.sources.mysql.grants import SHOW_VIEW, Grant, needed
from tests.servers import mariadb, mysql, postgres
from tests.servers.issuer import LittleIssuer, little_issuer
from tests.servers.shared import Server, running, wait_until_stopped
from tests.servers.versions import BINLOG_ALL, BINLOG_DEFAULT, CHOICES, POSTGRES_NEWEST, POSTGRES_VERSIONS

READER_PASSWORD = "reader-ö'\"\\"


@dataclass(frozen=True, slots=True)
class TestDatabase:
    """An empty database on a test server. On MariaDB and MySQL the login is that of a user with exactly the grants
    that the documentation asks for; `connect` and `execute` work as the administrator.
    """

    __test__ = False
    host: str
    port: int
    user: str
    password: str
    schema: str
    """What ReflexDB calls the schema: the MariaDB schema, or the PostgreSQL database (whose schema `public` it
    then means).
    """
    socket: str
    connect: Callable[..., Any]
    """A new autocommitting connection (PyMySQL or psycopg) to this database; the caller closes it."""

    def execute(self, statement: str, *args: Any) -> Sequence[tuple[Any, ...]]:
        """Run one statement with bound arguments (%s) and return its rows, if it has any."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, args or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers", choices=CHOICES, default="default", help="which versions of servers tests run on")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "each_postgres: runs on several versions of PostgreSQL")
    config.addinivalue_line("markers", "each_binlog: of the tests of every source, runs on MySQL beside MariaDB")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.get_closest_marker("each_postgres") is not None
    if marked and "postgres_version" in metafunc.fixturenames:
        versions = postgres_versions(metafunc.config)
        ids = [f"postgres{version or ''}" for version in versions]
        metafunc.parametrize("postgres_version", versions, ids=ids, indirect=True, scope="session")
    if "binlog_kind" in metafunc.fixturenames:
        metafunc.parametrize("binlog_kind", binlog_kinds(metafunc.config), indirect=True, scope="session")
    if "source_kind" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("each_binlog") is not None
        kinds = source_kinds(metafunc.config, both=both)
        metafunc.parametrize("source_kind", kinds, indirect=True, scope="session")


def source_kinds(config: pytest.Config, *, both: bool) -> list[str]:
    """The kinds of servers that a test of every source runs on; `both` where MySQL's log differs from MariaDB's in what
    the test is about, and with `--servers=all` always."""
    binlogs = binlog_kinds(config) if both or config.getoption("--servers") == "all" else ["mariadb"]
    return [*binlogs, *(f"postgres{version or ''}" for version in postgres_versions(config))]


def binlog_kinds(config: pytest.Config) -> list[str]:
    """The kinds of servers that a test of every binary log runs on."""
    return list(BINLOG_ALL if config.getoption("--servers") == "all" else BINLOG_DEFAULT)


def postgres_versions(config: pytest.Config) -> Sequence[int | None]:
    """Those a test runs on that runs on several; None is the system's own."""
    return POSTGRES_VERSIONS if config.getoption("--servers") == "all" else (None, POSTGRES_NEWEST)


def missing(kind: str) -> str | None:
    """Why a server of the kind can't run here; None where it can."""
    if kind == "mariadb":
        return mariadb.MISSING if mariadb.binary() is None else None
    if kind == "mariadb-next":
        return mariadb.NEXT_MISSING if mariadb.next_root() is None else None
    if kind.startswith("mysql"):
        return mysql.MISSING if mysql.root() is None else None
    version = int(kind.removeprefix("postgres") or 0) or None
    return postgres.missing(version) if postgres.programs(version) is None else None


def _shared_directory(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "servers"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """The running server of a kind, such as `mariadb`, `postgres` or `postgres18`; it runs until the tests end."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def start(kind: str) -> Server:
            return stack.enter_context(running(kind, _shared_directory(tmp_path_factory)))

        yield start


@pytest.fixture(scope="session")
def source_kind(request: pytest.FixtureRequest) -> str:
    """Each of `source_kinds`."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def source_server(servers: Callable[[str], Server], source_kind: str) -> Server:
    """A running server of the kind."""
    if (reason := missing(source_kind)) is not None:
        pytest.skip(reason)
    return servers(source_kind)


@pytest.fixture(scope="session")
def mariadb_server(servers: Callable[[str], Server]) -> Server:
    """A running mariadbd with a row-based binary log."""
    if (reason := missing("mariadb")) is not None:
        pytest.skip(reason)
    return servers("mariadb")


@pytest.fixture(scope="session")
def binlog_kind(request: pytest.FixtureRequest) -> str:
    """Each of `binlog_kinds`."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def binlog_server(servers: Callable[[str], Server], binlog_kind: str) -> Server:
    """A running server of the kind, with a row-based binary log."""
    if (reason := missing(binlog_kind)) is not None:
        pytest.skip(reason)
    return servers(binlog_kind)


@pytest.fixture(scope="session")
def mysql_server(servers: Callable[[str], Server]) -> Server:
    """A running mysqld with the defaults of its version."""
    if (reason := missing("mysql")) is not None:
        pytest.skip(reason)
    return servers("mysql")


@pytest.fixture(scope="session")
def postgres_version(request: pytest.FixtureRequest) -> int | None:
    """The major version; None is the system's own. Overridden for tests that are marked `each_postgres`."""
    return getattr(request, "param", None)


@pytest.fixture(scope="session")
def postgres_server(servers: Callable[[str], Server], postgres_version: int | None) -> Server:
    """A running PostgreSQL with wal_level=logical."""
    kind = f"postgres{postgres_version or ''}"
    if (reason := missing(kind)) is not None:
        pytest.skip(reason)
    return servers(kind)


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleIssuer]:
    """One that is waited for as long as a busy machine needs."""
    monkeypatch.setattr(fetch, "STEP_TIMEOUT_S", 60.0)
    monkeypatch.setattr(fetch, "TOTAL_TIMEOUT_S", 60.0)
    with little_issuer() as issuer:
        yield issuer


@pytest.fixture
def mariadb_database(mariadb_server: Server) -> Iterator[TestDatabase]:
    """An empty schema, dropped after the test."""
    with mariadb_schema(mariadb_server) as database:
        yield database


@pytest.fixture
def binlog_database(binlog_server: Server) -> Iterator[TestDatabase]:
    """An empty schema on each server with a binary log, dropped after the test."""
    with mariadb_schema(binlog_server) as database:
        yield database


@pytest.fixture
def mysql_database(mysql_server: Server) -> Iterator[TestDatabase]:
    """An empty schema, dropped after the test."""
    with mariadb_schema(mysql_server) as database:
        yield database


@pytest.fixture
def postgres_database(postgres_server: Server) -> Iterator[TestDatabase]:
    """An empty database, dropped after the test with whoever is still connected to it."""
    with postgres_schema(postgres_server) as database:
        yield database


@contextlib.contextmanager
def mariadb_schema(server: Server) -> Iterator[TestDatabase]:
    """An empty schema of a MariaDB or MySQL server for as long as the context lasts, and a user who may read it."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    reader = f"r_{name[2:]}"

    def connect(**options: Any) -> Any:
        return mariadb.connect(server, name, **options)

    with contextlib.closing(mariadb.connect(server)) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        cursor.execute(f"CREATE USER {reader}@'%%' IDENTIFIED BY %s", (READER_PASSWORD,))
        for grant in grants_of(cursor):
            cursor.execute(grant.statement(name, f"{reader}@'%'"))
    yield TestDatabase(server.host, server.port, reader, READER_PASSWORD, name, server.socket, connect)
    with contextlib.closing(mariadb.connect(server)) as admin, admin.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"DROP USER IF EXISTS {reader}@'%'")


def grants_of(cursor: Any) -> tuple[Grant, ...]:
    """The documented grants for the server that the cursor is connected to, without those for views."""
    cursor.execute("SELECT version()")
    ((version,),) = cursor.fetchall()
    found = re.match(r"(\d+)\.(\d+)", version)
    assert found is not None
    is_mariadb = "mariadb" in version.lower()
    gtid = is_mariadb
    if not is_mariadb:
        cursor.execute("SELECT @@GLOBAL.gtid_mode = 'ON'")
        ((gtid,),) = cursor.fetchall()
    return needed(mariadb=is_mariadb, number=(int(found[1]), int(found[2])), gtid=bool(gtid), views=False)


def let_see_views(database: TestDatabase) -> None:
    """Give the reader what the documentation asks for where views are served."""
    database.execute(SHOW_VIEW.statement(database.schema, f"{database.user}@'%'"))


@contextlib.contextmanager
def postgres_schema(server: Server) -> Iterator[TestDatabase]:
    """An empty database for as long as the context lasts."""
    name = f"t_{uuid.uuid4().hex[:12]}"

    def connect() -> Any:
        return postgres.connect(server, name)

    with postgres.connect(server) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield TestDatabase(server.host, server.port, server.user, server.password, name, server.socket, connect)
    with postgres.connect(server) as admin:
        _drop_slots(admin, name)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_slots(admin: Any, database: str) -> None:
    """What an instance that still runs reads from: a database with a slot in use can't be dropped, and whoever reads
    it comes back until it can't connect any more."""
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(database)))
    query = "SELECT slot_name, active_pid FROM pg_replication_slots WHERE database = %s"
    give_up = time.monotonic() + 20
    while slots := admin.execute(query, (database,)).fetchall():
        assert time.monotonic() < give_up, f"replication slots of {database} stay in use"
        for slot, process in slots:
            if process is None:
                admin.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
            else:
                admin.execute("SELECT pg_terminate_backend(%s)", (process,))
        time.sleep(0.05)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every test that was left out because a server or program is not installed."""
    absent: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if reason.startswith("needs "):
            absent.setdefault(reason, []).append(report.nodeid)
    for reason, names in sorted(absent.items()):
        terminalreporter.section(f"left out: {reason}")
        for name in sorted(set(names)):
            terminalreporter.line(name)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The run ends only when the servers it started are gone."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    factory = getattr(session.config, "_tmp_path_factory", None)
    base = getattr(factory, "_basetemp", None)
    if base is not None and (Path(base) / "servers").exists():
        wait_until_stopped(Path(base) / "servers")
