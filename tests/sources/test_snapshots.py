"""A snapshot is of one moment, whatever happens to the source while it is read."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.base import Source, SourceAddress
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, plan_of, planned, postgres_address, read, table_of
from tests.sources.test_introspection import filled
from tests.sources.test_sqlite_types import address, execute

TABLES = ("here", "there")
BANK = tuple(f"CREATE TABLE {name} (id int PRIMARY KEY, cents int)" for name in TABLES) + tuple(
    f"INSERT INTO {name} (id, cents) VALUES " + ", ".join(f"({n}, 100)" for n in range(500)) for name in TABLES
)


@contextlib.contextmanager
def money_moving(connect: Callable[[], Any], mark: str) -> Iterator[Callable[[], int]]:
    """A thread that moves money between the tables, each time in one transaction; gives the number of moves so far."""
    stop, moves, failed = threading.Event(), [0], []

    def work() -> None:
        connection = connect()
        try:
            cursor = connection.cursor()
            number = 0
            while not stop.is_set():
                number = (number * 7 + 3) % 500
                cursor.execute("BEGIN")
                cursor.execute(f"UPDATE here SET cents = cents - 7 WHERE id = {mark}", (number,))
                cursor.execute(f"UPDATE there SET cents = cents + 7 WHERE id = {mark}", (499 - number,))
                cursor.execute("COMMIT")
                moves[0] += 1
                stop.wait(0.003)  # SQLite is not fair: a writer without a pause keeps readers out
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: moves[0]
    finally:
        stop.set()
        thread.join(30)
    assert failed == []


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("nothing happened within 20 s")


@pytest.mark.parametrize("kind", ["sqlite", "sqlite-wal", "mysql", "postgres"])
def test_all_tables_are_of_one_moment(kind: str, request: pytest.FixtureRequest) -> None:
    where, schema = filled(kind.removesuffix("-wal"), request, BANK)
    if kind.startswith("sqlite"):
        if kind == "sqlite-wal":
            execute(Path(where.host), "PRAGMA journal_mode = WAL")
        mark = "?"

        def connect() -> Any:
            return sqlite3.connect(where.host, timeout=60, isolation_level=None)
    else:
        mark = "%s"
        fixture = "mariadb_database" if kind == "mysql" else "postgres_database"
        connect = request.getfixturevalue(fixture).connect
    source = open_source(where)
    plan = plan_of(source.introspect(schema))

    with money_moving(connect, mark) as moves:
        for _ in range(5):
            before = moves()
            wait_for(lambda since=before: moves() > since)  # type: ignore[misc]
            with source.snapshot(plan) as reader:
                here = sum(sum(batch.column("cents").to_pylist()) for batch in reader.read(plan.tables[0]))
                if kind != "sqlite":  # where a reader keeps the writer waiting
                    during = moves()
                    wait_for(lambda since=during: moves() > since + 2)  # type: ignore[misc]
                there = sum(sum(batch.column("cents").to_pylist()) for batch in reader.read(plan.tables[1]))
                again = sum(sum(batch.column("cents").to_pylist()) for batch in reader.read(plan.tables[0]))
            assert here + there == 100_000
            assert here == again


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgres"])
def test_a_snapshot_is_no_older_than_it_says(kind: str, request: pytest.FixtureRequest) -> None:
    where, schema = filled(kind, request, BANK)
    source = open_source(where)
    plan = plan_of(source.introspect(schema))

    before = datetime.now(UTC)
    with source.snapshot(plan) as reader:
        assert before <= reader.taken_at <= datetime.now(UTC)
        assert reader.taken_at.tzinfo is UTC
        assert reader.position != ""


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgres"])
def test_a_cancelled_read_leaves_the_snapshot_usable(kind: str, request: pytest.FixtureRequest) -> None:
    digits = " UNION ALL ".join(f"SELECT {n} AS d" for n in range(10))
    many = (
        f"INSERT INTO t SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d, '{'x' * 900}' "
        f"FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) e, ({digits}) f"
    )
    where, schema = filled(kind, request, ("CREATE TABLE t (id int PRIMARY KEY, v varchar(900))", many))
    source = open_source(where)
    plan = plan_of(source.introspect(schema))

    with source.snapshot(plan) as reader:
        reading = reader.read(plan.tables[0])
        first = next(reading)
        reading.close()  # type: ignore[attr-defined]
        counted = sum(batch.num_rows for batch in reader.read(plan.tables[0]))

    assert 0 < first.num_rows < 100_000
    assert counted == 100_000


@pytest.mark.parametrize("kind", ["sqlite", "mysql", "postgres"])
def test_a_failed_use_leaves_the_source_usable(kind: str, request: pytest.FixtureRequest) -> None:
    where, schema = filled(kind, request, BANK)
    source = open_source(where)
    plan = plan_of(source.introspect(schema))

    def fail() -> None:
        with source.snapshot(plan) as reader:
            next(reader.read(plan.tables[0]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert {name: table.num_rows for name, table in read(source, plan).items()} == {"here": 500, "there": 500}


def test_a_mariadb_position_is_that_of_the_snapshot(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute("CREATE TABLE t (a int)")
    source = open_source(mysql_address(mariadb_database))
    plan = plan_of(source.introspect(mariadb_database.schema))

    with source.snapshot(plan) as reader:
        earlier = reader.position
    mariadb_database.execute("INSERT INTO t VALUES (1)")
    with source.snapshot(plan) as reader:
        later = reader.position

    domain, server, sequence = map(int, earlier.split("-"))
    assert (domain, server) == (0, 4711)
    assert int(later.split("-")[2]) > sequence


def test_a_postgres_position_is_an_lsn_that_grows(postgres_database: TestDatabase) -> None:
    postgres_database.execute("CREATE TABLE t (a int)")
    source = open_source(postgres_address(postgres_database))
    plan = plan_of(source.introspect(postgres_database.schema))

    positions = []
    for _ in range(2):
        with source.snapshot(plan) as reader:
            high, low = reader.position.split("/")
            positions.append(int(high, 16) << 32 | int(low, 16))
        postgres_database.execute("INSERT INTO t VALUES (1)")
        postgres_database.execute("CHECKPOINT")  # the test server commits before it writes

    assert positions[0] < positions[1]


def token(source: Source, where: SourceAddress, name: str = "t", predicate: str | None = None) -> str | None:
    table = planned(table_of(source.introspect("main"), name), predicate)
    with source.snapshot(Plan(where.backend, "main", (table,))) as reader:
        return reader.change_token(table)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_sqlite_token_changes_exactly_with_the_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.db"
    execute(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE t (a)")
    source, where = open_source(address(path)), address(path)

    first = token(source, where)
    assert token(source, where) == first is not None
    execute(path, "INSERT INTO t VALUES (1)")
    second = token(source, where)
    assert token(source, where) == second != first
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("UPDATE t SET a = 2")
        assert token(source, where) == second, "not committed yet"
        writer.rollback()
    assert token(source, where) == second
    assert token(open_source(where), where) != second, "another source cannot know"


def test_a_sqlite_file_that_was_replaced_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for number, name in enumerate(("a.db", "b.db")):
        execute(tmp_path / name, "CREATE TABLE t (a INTEGER)", f"INSERT INTO t VALUES ({number})")
    source, where = open_source(address(path)), address(path)
    plan = plan_of(source.introspect("main"))

    before = token(source, where)
    (tmp_path / "b.db").replace(path)

    assert token(source, where) != before
    assert read(source, plan)["t"].to_pylist() == [{"a": 1}]


def test_rows_that_can_change_without_a_commit_have_no_token(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(path, "CREATE TABLE t (a)", "CREATE VIEW v AS SELECT a, random() FROM t")
    source, where = open_source(address(path)), address(path)

    assert token(source, where, "v") is None
    assert token(source, where, "t", "a < datetime('now')") is None


def test_reading_never_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    before = path.read_bytes()

    source = open_source(address(path))
    plan = plan_of(source.introspect("main"))
    read(source, plan)
    with source.snapshot(plan), source.snapshot(plan) as second:
        assert sum(batch.num_rows for batch in second.read(plan.tables[0])) == 1
    source.close()

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.db"]
