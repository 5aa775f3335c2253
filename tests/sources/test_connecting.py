"""Testing a connection, and what is said when it cannot be made: who is at fault, what to do, and never the
password.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.model.errors import (
    InvalidRequest,
    SourceData,
    SourceDenied,
    SourceError,
    SourceMissing,
    SourceUnreachable,
)
from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from reflexdb.sources import default_port, open_source
from reflexdb.sources.base import SourceAddress, TestResult
from reflexdb.sources.mysql.probe import capture_readiness as mysql_readiness
from reflexdb.sources.postgres.probe import capture_readiness as postgres_readiness
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, plan_of, postgres_address, read
from tests.sources.test_sqlite_types import address, execute

SECRET = "hunter2-do-not-print"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where something listens and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def said_by(error: SourceError) -> str:
    """Everything a log with causes would show."""
    text, cause = "", error
    while cause is not None:
        text += repr(cause) + str(cause)
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    return text


def test_a_mariadb_that_can_be_followed_says_so(mariadb_database: TestDatabase) -> None:
    result = open_source(mysql_address(mariadb_database)).test()

    assert result.latency_ms > 0
    assert mariadb_database.schema in result.available_schemas
    assert not {"mysql", "information_schema", "performance_schema", "sys"} & set(result.available_schemas)
    assert result.estimated_size_gb is not None
    assert "MariaDB" in result.server_version
    assert result.capture is not None
    assert (result.capture.log_bin, result.capture.format, result.capture.server_id) == (True, "ROW", 4711)
    assert result.capture.ready
    assert of_server(result) == []


def of_server(result: TestResult) -> list[str]:
    """What is wrong with the server, and not with tables that other tests make there."""
    assert result.capture is not None
    return [each for each in result.capture.issues if "primary key" not in each]


@pytest.mark.parametrize("kind", ["mysql", "postgres"])
def test_a_table_without_a_primary_key_is_named_with_what_mends_it(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"reflexdb.sources.{'mysql' if kind == 'mysql' else 'postgres'}.probe.MAX_NAMED", 10_000)
    monkeypatch.setattr("reflexdb.sources.keyless.MAX_NAMED", 10_000)
    database: TestDatabase = request.getfixturevalue("mariadb_database" if kind == "mysql" else "postgres_database")
    quote, address = ("`", mysql_address) if kind == "mysql" else ('"', postgres_address)
    hostile = "it's; -- %s"
    for name in ("bare", hostile):
        database.execute(f"CREATE TABLE {quote}{name}{quote} (id int)")
    database.execute("CREATE TABLE keyed (id int PRIMARY KEY)")
    if kind == "postgres":
        database.execute("CREATE TABLE parts (id int) PARTITION BY RANGE (id)")
        database.execute("CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (9)")
    result = open_source(address(database)).test()

    assert result.capture is not None
    assert result.capture.ready, "the other tables can be followed"
    mine = [each for each in result.capture.issues if database.schema in each]
    told = " ".join(mine)
    for name in ("bare", hostile, *(["parts"] if kind == "postgres" else [])):
        assert f".{quote}{name}{quote} ADD PRIMARY KEY (...);" in told
    assert len(mine) == (3 if kind == "postgres" else 2)
    monkeypatch.setattr("reflexdb.sources.keyless.MAX_NAMED", 1)
    fewer = open_source(address(database)).test().capture
    assert fewer is not None
    assert fewer.issues[-1].startswith("More tables have no primary key")
    assert len([each for each in fewer.issues if "has no primary key" in each]) == 1


def test_a_postgres_that_can_be_followed_says_so(postgres_database: TestDatabase) -> None:
    result = open_source(postgres_address(postgres_database)).test()

    assert result.latency_ms > 0
    assert postgres_database.schema in result.available_schemas
    assert not any("pg_" in name or "information_schema" in name for name in result.available_schemas)
    assert result.estimated_size_gb is not None
    assert result.estimated_size_gb > 0
    assert result.server_version.startswith("PostgreSQL 1")
    assert result.capture is not None
    assert (result.capture.log_bin, result.capture.format, result.capture.ready) == (True, "logical", True)


def test_a_sqlite_file_is_tested(tmp_path: Path) -> None:
    execute(tmp_path / "a.db", "CREATE TABLE t (a)")

    result = open_source(address(tmp_path / "a.db")).test()

    assert result.available_schemas == ("main",)
    assert result.estimated_size_gb == 8192 / 1e9
    assert result.server_version == f"SQLite {sqlite3.sqlite_version}"
    assert result.capture is None


@pytest.mark.parametrize("kind", ["mysql", "postgres"])
def test_a_wrong_password_is_denied_and_not_told(kind: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("mariadb_database" if kind == "mysql" else "postgres_database")
    where = (mysql_address if kind == "mysql" else postgres_address)(database, password=SECRET)

    for use in (lambda: open_source(where).test(), lambda: open_source(where).introspect(database.schema)):
        with pytest.raises(SourceDenied, match=r"(user 'r_|'admin').*password") as raised:
            use()
        assert SECRET not in said_by(raised.value)
        assert not raised.value.temporary
    assert SECRET not in repr(where)


@pytest.mark.parametrize("backend", [Backend.MYSQL, Backend.POSTGRES])
@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_server_that_is_not_there_is_unreachable(backend: Backend, host: str) -> None:
    where = SourceAddress(backend, host, free_port(), "me", SECRET)

    with pytest.raises(SourceUnreachable, match="Check host and port") as raised:
        open_source(where).test()

    assert raised.value.temporary
    assert host in raised.value.message
    assert SECRET not in said_by(raised.value)


@pytest.mark.parametrize("backend", [Backend.MYSQL, Backend.POSTGRES])
def test_a_server_that_never_answers_is_given_up(
    backend: Backend, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reflexdb.sources.mysql.connect.CONNECT_TIMEOUT_S", 2)
    monkeypatch.setattr("reflexdb.sources.postgres.connect.CONNECT_TIMEOUT_S", 2)

    with pytest.raises(SourceUnreachable):
        open_source(SourceAddress(backend, "127.0.0.1", silent_port, "me", SECRET)).test()


def test_a_kind_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(InvalidRequest, match="mssql"):
        open_source(SourceAddress(Backend.MSSQL, "h"))

    assert [default_port(kind) for kind in (Backend.MYSQL, Backend.POSTGRES, Backend.SQLITE)] == [3306, 5432, None]


def test_a_mysql_table_without_a_grant_is_denied_by_name(mariadb_database: TestDatabase) -> None:
    schema, user = mariadb_database.schema, mariadb_database.schema + "_u"
    for name in ("open", "secret"):
        mariadb_database.execute(f"CREATE TABLE `{name}` (id int PRIMARY KEY)")
    mariadb_database.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'pw'")
    try:
        mariadb_database.execute(f"GRANT SELECT ON {schema}.open TO {user}@'%'")
        plan = plan_of(open_source(mysql_address(mariadb_database)).introspect(schema))
        source = open_source(mysql_address(mariadb_database, user=user, password="pw"))

        result = source.test()
        assert [table.name for table in source.introspect(schema).tables] == ["open"]
        with pytest.raises(SourceDenied, match=r"'secret'.*GRANT SELECT"):
            read(source, plan)
    finally:
        mariadb_database.execute(f"DROP USER {user}@'%'")

    assert result.capture is not None
    assert [issue for issue in result.capture.issues if "REPLICATION SLAVE" in issue]
    assert [issue for issue in result.capture.issues if f"GRANT BINLOG MONITOR ON *.* TO '{user}'@'%'" in issue]


def test_a_postgres_table_without_a_grant_is_denied_by_name(postgres_database: TestDatabase) -> None:
    user = postgres_database.schema + "_u"
    postgres_database.execute('CREATE TABLE "open" (id int PRIMARY KEY, hidden int)')
    postgres_database.execute("CREATE TABLE secret (id int PRIMARY KEY)")
    postgres_database.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'pw'")
    try:
        postgres_database.execute(f'GRANT SELECT (id) ON "open" TO {user}')
        plan = plan_of(open_source(postgres_address(postgres_database)).introspect(postgres_database.schema))
        source = open_source(postgres_address(postgres_database, user=user, password="pw"))

        result = source.test()
        seen = source.introspect(postgres_database.schema)
        found = read(source, plan_of(seen))
        with pytest.raises(SourceDenied, match=r"'(open|secret)'.*GRANT SELECT"):
            read(source, plan)
    finally:
        postgres_database.execute(f'REVOKE ALL ON "open" FROM {user}')
        postgres_database.execute(f"DROP ROLE {user}")

    assert {name: table.column_names for name, table in found.items()} == {"open": ["id"]}
    assert result.capture is not None
    assert not result.capture.ready
    assert [issue for issue in result.capture.issues if f'ALTER ROLE "{user}" REPLICATION' in issue]


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgres"])
def test_a_table_or_column_that_went_away_is_missing_by_name(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "sqlite":
        path = request.getfixturevalue("tmp_path") / "a.db"
        execute(path, "CREATE TABLE t (a INTEGER)")
        where, schema = address(path), "main"
    else:
        database = request.getfixturevalue("mariadb_database" if kind == "mysql" else "postgres_database")
        database.execute("CREATE TABLE t (a int)")
        where, schema = (mysql_address if kind == "mysql" else postgres_address)(database), database.schema
    for table, column in (("gone", "a"), ("t", "gone")):
        planned = PlannedTable(table, table, (PlannedColumn(column, column, Storage.I64, "bigint", True),))
        plan = Plan(where.backend, schema, (planned,))

        with pytest.raises(SourceMissing, match="gone"):
            read(open_source(where), plan)


def test_a_sqlite_file_is_never_created(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.db", tmp_path / "no" / "such" / "directory", tmp_path):
        with pytest.raises(SourceMissing):
            open_source(address(path)).test()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["", "a\0b"])
def test_a_sqlite_path_that_is_none_is_missing(host: str) -> None:
    with pytest.raises(SourceMissing):
        open_source(SourceAddress(Backend.SQLITE, host)).test()


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_bytes(b"once upon a time " * 100)
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)

    for name in ("text.db", "torn.db"):
        with pytest.raises(SourceData):
            open_source(address(tmp_path / name)).test()


def test_an_empty_file_is_an_empty_database(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()

    assert open_source(address(tmp_path / "empty.db")).introspect("main").tables == ()
    assert (tmp_path / "empty.db").stat().st_size == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_denied(tmp_path: Path) -> None:
    execute(tmp_path / "a.db", "CREATE TABLE t (a)")
    (tmp_path / "a.db").chmod(0)

    with pytest.raises(SourceDenied):
        open_source(address(tmp_path / "a.db")).test()


def test_a_sqlite_file_in_a_strange_place_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "sp ace?#%41&mode=rwc é😀'\".db"
    execute(path, "CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1)")
    path.chmod(stat.S_IRUSR)

    source = open_source(address(path))

    assert read(source, plan_of(source.introspect("main")))["t"].num_rows == 1


def test_a_file_locked_by_a_writer_is_waited_for_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reflexdb.sources.sqlite.connect.BUSY_TIMEOUT_S", 0.1)
    execute(tmp_path / "a.db", "CREATE TABLE t (a)")
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnreachable, match="locked"):
            open_source(address(tmp_path / "a.db")).test()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    execute(tmp_path / "a.db", "CREATE TABLE t (a)")
    sources = [
        open_source(address(tmp_path / "a.db")),
        open_source(SourceAddress(Backend.MYSQL, "h")),
        open_source(SourceAddress(Backend.POSTGRES, "h")),
    ]
    sources[0].test()

    for source in (*sources, *sources):
        source.close()
    assert sources[0].test().available_schemas == ("main",)


def test_what_a_mysql_lacks_is_said_with_its_remedy() -> None:
    variables = {
        "log_bin": "OFF",
        "binlog_format": "MIXED",
        "binlog_row_image": "MINIMAL",
        "binlog_row_metadata": "NO_LOG",
        "server_id": "0",
    }

    bare = mysql_readiness(variables, ["GRANT SELECT ON *.* TO `R`@`%`"], "r@%", "8.0.36")
    good = mysql_readiness(
        {"log_bin": "ON", "binlog_format": "ROW", "server_id": "1"}, ["GRANT ALL PRIVILEGES ON *.* TO R"], "r@%", "8.0"
    )

    assert (bare.log_bin, bare.format, bare.server_id, bare.ready) == (False, "MIXED", 0, False)
    for remedy in (
        "log_bin",
        "SET GLOBAL binlog_format = 'ROW';",
        "SET GLOBAL server_id",
        "SET GLOBAL binlog_row_image = 'FULL';",
        "SET GLOBAL binlog_row_metadata = 'FULL';",
        "GRANT REPLICATION SLAVE ON *.* TO 'r'@'%';",
        "GRANT REPLICATION CLIENT ON *.* TO 'r'@'%';",
    ):
        assert [issue for issue in bare.issues if remedy in issue], remedy
    assert (good.ready, good.issues) == (True, ())


def test_a_postgres_whose_disk_a_slot_could_fill_is_ready_with_a_warning() -> None:
    settings = {"wal_level": "logical", "max_replication_slots": "4", "max_wal_senders": "4"}
    busy = postgres_readiness({**settings, "senders_in_use": "4"}, 0, True, "r")
    found = postgres_readiness({**settings, "max_slot_wal_keep_size": "-1"}, 0, True, "r")

    assert not busy.ready
    assert "ALTER SYSTEM SET max_wal_senders = 8;" in busy.issues[0]
    assert found.ready
    assert "ALTER SYSTEM SET max_slot_wal_keep_size" in found.issues[0]


def test_what_a_postgres_lacks_is_said_with_its_remedy() -> None:
    bare = postgres_readiness(
        {"wal_level": "replica", "max_replication_slots": "2", "max_wal_senders": "0"}, 2, False, 'a"b'
    )

    assert (bare.log_bin, bare.format, bare.ready, bare.server_id) == (False, "replica", False, None)
    for remedy in (
        "ALTER SYSTEM SET wal_level = 'logical';",
        "ALTER SYSTEM SET max_replication_slots = 6;",
        "ALTER SYSTEM SET max_wal_senders = 10;",
        'ALTER ROLE "a""b" REPLICATION;',
    ):
        assert [issue for issue in bare.issues if remedy in issue], remedy
