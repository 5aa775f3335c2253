"""Columns whose type reflexdb.yaml sets: snapshot and stream give the same values, and what does not fit is named."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.errors import InvalidConfig, SourceData
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from reflexdb.sources import open_source
from reflexdb.sources.base import Source, SourceAddress
from reflexdb.sources.changes import FollowOptions
from reflexdb.sources.mysql.binlog.follower import MySQLFollower
from reflexdb.sources.postgres.follow import PostgresFollower
from reflexdb.sources.retyped import conversion
from reflexdb.sync.drift import drift
from tests.build.schemas import column, schema, table
from tests.servers.plugin import TestDatabase
from tests.sources.following import Replica
from tests.sources.helpers import mysql_address, postgres_address

CONFIG = """
version: 1
overrides:
  page:
    types:
      level: integer
      title: text
      meta: json
      touched: {epoch: s}
      seen: {epoch: ms}
      code: number
      price: text
      flag: boolean
      at: instant
"""


def planned(source: Source, name: str, config: str = CONFIG) -> Plan:
    return make_plan(source.introspect(name), parse_config(config)).plan


def changes(database: TestDatabase, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(3, 60):
        title = chance.choice(["Café", "日本", "", "x" * 300]).encode().hex()
        database.execute(
            f"INSERT INTO page VALUES ({number}, {chance.randrange(-9, 9)}, X'{title}', '{{\"a\": {number}}}', "
            f"{chance.randrange(2**31)}, {chance.randrange(2**41)}, '{chance.randrange(99)}', {number}.50, "
            f"{chance.randrange(2)}, '2026-01-02 03:04:05')"
        )
    database.execute("UPDATE page SET level = level + 1, seen = NULL, touched = 0 WHERE id % 2 = 0")
    database.execute("DELETE FROM page WHERE id % 5 = 0")


def test_mariadb_snapshot_and_stream_convert_alike(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute(
        "CREATE TABLE page (id int PRIMARY KEY, level tinyint(1), title varbinary(600), meta longtext, touched int, "
        "seen bigint, code varchar(9), price decimal(9,2), flag int, at datetime)"
    )
    mariadb_database.execute(
        "INSERT INTO page VALUES (1, 5, 'Stra\u00dfe', '[]', 0, 1500, '1.5', 2.00, 1, '2026-01-02 03:04:05'), "
        "(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    with contextlib.closing(open_source(mysql_address(mariadb_database))) as source:
        plan = planned(source, mariadb_database.schema)
        follower = MySQLFollower(mysql_address(mariadb_database))
        replica = Replica(plan)
        with contextlib.closing(follower):
            with follower.snapshot(plan) as reader:
                replica.load(reader)
            first = replica.tables[0][(1,)]
            with contextlib.closing(follower.stream(plan, replica.position)) as stream:
                changes(mariadb_database, 7)
                with follower.snapshot(plan) as reader:
                    replica.follow(stream, follower, reader.position)
                    replica.assert_equals(reader)

        assert first[1:5] == (5, "Straße", "[]", 0)
        assert first[5:9] == (1_500_000, 1.5, "2.00", True)
        assert replica.events == []
        assert drift(plan, source.introspect(mariadb_database.schema)) == []


@pytest.mark.each_postgres
def test_postgres_snapshot_and_stream_convert_alike(postgres_database: TestDatabase) -> None:
    postgres_database.execute(
        "CREATE TABLE page (id int PRIMARY KEY, level text, title bytea, meta text, touched int, "
        "seen bigint, code text, price numeric(9,2), flag int, at timestamp)"
    )
    postgres_database.execute(
        "INSERT INTO page VALUES (1, '5', '\\x53747261c39f65', '[]', 0, 1500, '1.5', 2.00, 1, '2026-01-02 03:04:05')"
    )
    address = postgres_address(postgres_database)
    with contextlib.closing(open_source(address)) as source:
        plan = planned(source, postgres_database.schema)
    follower = PostgresFollower(address, postgres_database.schema, FollowOptions("reflexdb_retyped", 1))
    replica = Replica(plan)
    try:
        with follower.snapshot(plan) as reader:
            replica.load(reader)
        first = replica.tables[0][(1,)]
        with contextlib.closing(follower.stream(plan, replica.position)) as stream:
            changes_of_text(postgres_database)
            until = postgres_database.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
            replica.follow(stream, follower, until)
        with contextlib.closing(open_source(address)) as source, source.snapshot(plan) as reader:
            replica.assert_equals(reader)
    finally:
        follower.drop()

    assert first[1:5] == (5, "Straße", "[]", 0)
    assert first[5:9] == (1_500_000, 1.5, "2.00", True)


def changes_of_text(database: TestDatabase) -> None:
    database.execute(
        "INSERT INTO page SELECT n, n::text, convert_to('é' || n, 'UTF8'), '{\"a\": 1}', n, n * 1000, n || '.25', n, "
        "n % 2, '2026-05-06 07:08:09.5' FROM generate_series(2, 40) n"
    )
    database.execute("UPDATE page SET level = '-' || level, seen = NULL WHERE id % 3 = 0")
    database.execute("DELETE FROM page WHERE id % 7 = 0")


def sqlite_source(path: Path, *statements: str) -> Source:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)
    return open_source(SourceAddress(Backend.SQLITE, str(path)))


def rows(source: Source, plan: Plan) -> list[dict[str, Any]]:
    with source.snapshot(plan) as reader:
        return [row for batch in reader.read(plan.tables[0]) for row in batch.to_pylist()]


def test_sqlite_columns_have_the_type_that_is_set(tmp_path: Path) -> None:
    source = sqlite_source(
        tmp_path / "a.sqlite",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, untyped, at DATETIME, title BLOB)",
        "INSERT INTO log VALUES (1, 5, 1700000000, CAST('é' AS BLOB)), (2, NULL, NULL, NULL)",
    )
    types = "{untyped: integer, at: {epoch: s}, title: text}"
    plan = planned(source, "main", f"version: 1\noverrides: {{log: {{types: {types}}}}}")

    moment = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert rows(source, plan)[0] == {"id": 1, "untyped": 5, "at": moment, "title": "é"}
    assert rows(source, plan)[1] == {"id": 2, "untyped": None, "at": None, "title": None}


def test_an_untyped_column_that_was_empty_takes_integers(tmp_path: Path) -> None:
    source = sqlite_source(tmp_path / "a.sqlite", "CREATE TABLE log (id INTEGER PRIMARY KEY, untyped)")
    plan = planned(source, "main", "version: 1\noverrides: {log: {types: {untyped: integer}}}")
    sqlite_source(tmp_path / "a.sqlite", "INSERT INTO log VALUES (1, 5)").close()

    assert rows(source, plan) == [{"id": 1, "untyped": 5}]
    assert drift(plan, source.introspect("main")) == []


def test_a_value_that_does_not_fit_is_named(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute("CREATE TABLE page (id int PRIMARY KEY, title varbinary(9))")
    mariadb_database.execute("INSERT INTO page VALUES (41, 'fine'), (42, X'FF')")
    with contextlib.closing(open_source(mysql_address(mariadb_database))) as source:
        plan = planned(source, mariadb_database.schema, "version: 1\noverrides: {page: {types: {title: text}}}")
        with source.snapshot(plan) as reader, pytest.raises(SourceData) as caught:
            list(reader.read(plan.tables[0]))

    assert "'title' of table 'page'" in caught.value.message
    assert "key (42)" in caught.value.message


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ("{nmae: text}", 'no column "nmae". Did you mean "name"'),
        ("{name: txt}", 'is no type: "txt". Did you mean "text"'),
        ("{name: {epoch: min}}", "{epoch: s}, {epoch: ms} or {epoch: us}"),
        ("{id: text}", "belongs to the primary key"),
        ("{day: integer}", "cannot be served as integer"),
    ],
)
def test_a_type_that_cannot_be_is_refused(types: str, words: str) -> None:
    known = table("t", "id", column("name", Storage.TEXT, "text"), column("day", Storage.DATE, "date"))
    known_schema = schema(known)
    mysql = type(known_schema)(Backend.MYSQL, "shop", "10", known_schema.tables)
    with pytest.raises(InvalidConfig) as caught:
        make_plan(mysql, parse_config(f"version: 1\noverrides: {{t: {{types: {types}}}}}"))

    assert words in caught.value.message


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_survives_every_way_of_keeping_it(number: int) -> None:
    as_text, from_text = conversion(Storage.I64, Storage.TEXT), conversion(Storage.TEXT, Storage.I64)
    as_decimal, from_decimal = conversion(Storage.I64, Storage.DECIMAL), conversion(Storage.DECIMAL, Storage.I64)
    assert as_text is not None
    assert from_text is not None
    assert as_decimal is not None
    assert from_decimal is not None

    assert from_text(as_text(number)) == from_decimal(as_decimal(number)) == number
