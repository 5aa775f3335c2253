"""Statements that a source ends while their rows come: which table it was, and whether trying again can help."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.errors import SourceData, SourceError, SourceInterrupted, SourceUnreachable
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.sources import open_source
from reflexdb.sources.base import SnapshotReader, SourceAddress

LOT = (
    "CREATE TABLE lot (id int PRIMARY KEY, price int NOT NULL, pieces int NOT NULL)",
    "INSERT INTO lot VALUES (1, 100, 4), (2, 90, 3)",
    "CREATE VIEW lot_each AS SELECT id, price / pieces AS each FROM lot",
)
MANY = (
    "CREATE TABLE many (id int PRIMARY KEY, body text)",
    "INSERT INTO many SELECT g, repeat('x', 500) FROM generate_series(1, 200000) g",
)


@contextlib.contextmanager
def reading(database: Any, backend: Backend, *statements: str) -> Iterator[tuple[Plan, SnapshotReader]]:
    for statement in statements:
        database.execute(statement)
    source = open_source(SourceAddress(backend, database.host, database.port, database.user, database.password))
    plan = make_plan(source.introspect(database.schema), None).plan
    with contextlib.closing(source), source.snapshot(plan) as reader:
        yield plan, reader


def table(plan: Plan, name: str) -> PlannedTable:
    return next(table for table in plan.tables if table.source_name == name)


def test_an_error_in_a_row_names_its_table(postgres_database: Any) -> None:
    rows = "INSERT INTO lot SELECT g, 1, CASE g WHEN 99000 THEN 0 ELSE 1 END FROM generate_series(3, 100000) g"
    with (
        reading(postgres_database, Backend.POSTGRES, *LOT, rows) as (plan, reader),
        pytest.raises(SourceData, match=r"reading table 'lot_each': ERROR: division by zero$") as raised,
    ):
        list(reader.read(table(plan, "lot_each")))
    assert not raised.value.temporary


@pytest.mark.parametrize(
    ("done", "error"),
    [("pg_cancel_backend", SourceInterrupted), ("pg_terminate_backend", SourceUnreachable)],
)
def test_a_backend_that_is_ended_is_told(postgres_database: Any, done: str, error: type[SourceError]) -> None:
    with reading(postgres_database, Backend.POSTGRES, *MANY) as (plan, reader):
        batches = reader.read(table(plan, "many"))
        next(batches)
        postgres_database.execute(
            f"SELECT {done}(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'COPY (SELECT%' AND datname = current_database()"
        )
        with pytest.raises(error, match="reading table 'many'") as raised:
            list(batches)
    assert raised.value.temporary


def test_a_lock_is_not_waited_for_without_end(postgres_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reflexdb.sources.postgres.connect.LOCK_TIMEOUT_S", 1)
    with (
        reading(postgres_database, Backend.POSTGRES, *LOT) as (plan, reader),
        contextlib.closing(postgres_database.connect()) as other,
    ):
        other.execute("BEGIN")
        other.execute("LOCK TABLE lot IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SourceInterrupted, match=r"reading table 'lot'.*lock timeout"):
            list(reader.read(table(plan, "lot")))


def kill_query(database: Any) -> None:
    for (thread,) in database.execute(
        "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT%%many%%' AND id <> CONNECTION_ID()"
    ):
        database.execute(f"KILL QUERY {thread}")


def kill_connection(database: Any) -> None:
    for (thread,) in database.execute(
        "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT%%many%%' AND id <> CONNECTION_ID()"
    ):
        database.execute(f"KILL {thread}")


@pytest.mark.parametrize(
    ("end", "error"), [(kill_query, SourceInterrupted), (kill_connection, SourceUnreachable)], ids=["query", "all"]
)
def test_mariadb_ends_a_statement_and_is_told(
    mariadb_database: Any, end: Callable[[Any], None], error: type[SourceError]
) -> None:
    rows = "INSERT INTO many SELECT seq, repeat('x', 500) FROM seq_1_to_200000"
    with reading(mariadb_database, Backend.MYSQL, MANY[0], rows) as (plan, reader):
        batches = reader.read(table(plan, "many"))
        next(batches)
        end(mariadb_database)
        with pytest.raises(error, match="reading table 'many'") as raised:
            list(batches)
    assert raised.value.temporary
