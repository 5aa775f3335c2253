"""Values and definitions that MySQL and MariaDB tell in a way of their own, in the log or the catalog."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.sources import open_source
from tests.servers.plugin import TestDatabase
from tests.sources.applying import applied_rows, caught_up, followed
from tests.sources.binlogs import follower_of, plan_for, script
from tests.sources.helpers import mysql_address, table_of


@contextlib.contextmanager
def metadata(database: TestDatabase, value: str) -> Iterator[None]:
    """The server's binlog_row_metadata for as long as the context lasts."""
    ((before,),) = database.execute("SELECT @@GLOBAL.binlog_row_metadata")
    database.execute(f"SET GLOBAL binlog_row_metadata = {value}")
    try:
        yield
    finally:
        database.execute(f"SET GLOBAL binlog_row_metadata = {before}")


def is_mariadb(database: TestDatabase) -> bool:
    ((version,),) = database.execute("SELECT version()")
    return "mariadb" in version.lower()


@pytest.mark.parametrize("columns", ["FULL", "MINIMAL"])
def test_labels_of_any_character_are_right(binlog_database: TestDatabase, columns: str) -> None:
    plan = plan_for(
        binlog_database,
        "CREATE TABLE wide (id int PRIMARY KEY, label enum('😀', '😃', 'ok') COLLATE utf8mb4_bin, tags set('😀', 'x'))",
        "CREATE TABLE plain (id int PRIMARY KEY, label enum('a,b', 'it''s', 'back\\\\slash', '日本', '\"', ''))",
    )
    follower = follower_of(binlog_database)
    with metadata(binlog_database, columns), followed(follower, plan) as (applier, stream):
        script(
            binlog_database,
            "INSERT INTO wide VALUES (1, '😀', '😀,x'), (2, '😃', ''), (3, 'ok', NULL)",
            "INSERT INTO plain VALUES (1, 'a,b'), (2, 'it''s'), (3, 'back\\\\slash'), (4, '日本'), (5, '\"'), (6, '')",
        )
        expected = caught_up(follower, stream, applier)
        stale = {plan.tables[table].source_name for table, _ in applier.stale}
        warnings = str(follower.warnings(plan))

    assert plan.tables[0].source_name == "plain"
    assert applied_rows(applier)[0] == expected[0]
    assert stale == (set() if columns == "FULL" else {"wide"})
    assert columns == "MINIMAL" or applied_rows(applier)[1] == expected[1]
    assert ("'label' of table 'wide'" in warnings) is (columns == "MINIMAL")


def test_a_double_with_digits_is_one_value(binlog_database: TestDatabase) -> None:
    plan = plan_for(
        binlog_database,
        "CREATE TABLE t (id int PRIMARY KEY, d double(16,4), z double(10,2) zerofill, f float(7,3), e double)",
    )
    values = "-0.0001, 0.1, 0.1, 0.1), (2, 123456789012.3456, 1.005, 9999.999, 1e300), (3, -0.00004, 0, 1234.5678, 2.5)"
    follower = follower_of(binlog_database)
    with followed(follower, plan) as (applier, stream):
        script(binlog_database, f"INSERT INTO t VALUES (1, {values}")
        expected = caught_up(follower, stream, applier)

    assert applied_rows(applier) == expected
    assert expected[0][0][1] == -0.0001


def test_a_long_unique_text_is_followed_by_row(mariadb_database: TestDatabase) -> None:
    plan = plan_for(
        mariadb_database,
        "CREATE TABLE t (id int PRIMARY KEY, a text, b text, UNIQUE (a), UNIQUE (id, b), c int AS (id + 1) VIRTUAL)",
    )
    follower = follower_of(mariadb_database)
    with metadata(mariadb_database, "NO_LOG"), followed(follower, plan) as (applier, stream):
        script(mariadb_database, "INSERT INTO t (id, a, b) VALUES (1, 'x', 'y'), (2, NULL, NULL)")
        script(mariadb_database, "UPDATE t SET a = 'z' WHERE id = 2", "DELETE FROM t WHERE id = 1")
        expected = caught_up(follower, stream, applier)

    assert applied_rows(applier) == expected
    assert [row[:3] for row in expected[0]] == [(2, "z", None)]
    assert applier.stale == []
    assert applier.redefined == []


def test_invisible_columns_are_left_out_of_a_wildcard(binlog_database: TestDatabase) -> None:
    script(binlog_database, "CREATE TABLE t (id int PRIMARY KEY, seen int, unseen int INVISIBLE)")

    schema = open_source(mysql_address(binlog_database)).introspect(binlog_database.schema)
    [planned] = make_plan(schema, None).plan.tables

    assert {column.name: column.in_star for column in planned.columns} == {"id": True, "seen": True, "unseen": False}


def test_a_generated_invisible_key_is_a_key(mysql_database: TestDatabase) -> None:
    script(
        mysql_database,
        "SET sql_generate_invisible_primary_key = ON",
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1)",
    )
    mysql_database.execute("SET GLOBAL show_gipk_in_create_table_and_information_schema = OFF")
    try:
        plan = plan_for(mysql_database)
        follower = follower_of(mysql_database)
        with followed(follower, plan) as (applier, stream):
            script(mysql_database, "INSERT INTO t VALUES (2)", "DELETE FROM t WHERE a = 1")
            expected = caught_up(follower, stream, applier)
    finally:
        mysql_database.execute("SET GLOBAL show_gipk_in_create_table_and_information_schema = ON")

    assert plan.tables[0].primary_key == (0,)
    assert applied_rows(applier) == expected == [[(2, 2)]]


def test_transactions_with_tags_are_followed(mysql_database: TestDatabase) -> None:
    plan = plan_for(mysql_database, "CREATE TABLE t (id int PRIMARY KEY)")
    follower = follower_of(mysql_database)
    assert follower.preflight(plan) == ()
    with followed(follower, plan) as (applier, stream):
        script(
            mysql_database, "SET gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"
        )
        script(mysql_database, "INSERT INTO t VALUES (3)")
        script(mysql_database, "SET gtid_next = 'AUTOMATIC:red_1'", "INSERT INTO t VALUES (4)")
        expected = caught_up(follower, stream, applier)
        position = applier.position
        assert ":blue:" in position

        with contextlib.closing(follower.stream(plan, position)) as again:
            script(mysql_database, "SET gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (5)")
            later = caught_up(follower, again, applier)

    assert expected == [[(1,), (2,), (3,), (4,)]]
    assert applied_rows(applier) == later == [[(1,), (2,), (3,), (4,), (5,)]]
    assert follower.reached(applier.position, position)
    assert not follower.reached(position, applier.position)


def test_a_column_without_padding_compares_by_bytes(mysql_database: TestDatabase) -> None:
    script(mysql_database, "CREATE TABLE t (id int PRIMARY KEY, a varchar(9) COLLATE utf8mb4_0900_bin, b varchar(9))")

    table = table_of(open_source(mysql_address(mysql_database)).introspect(mysql_database.schema), "t")

    assert [column.collation for column in table.columns] == ["", "", "utf8mb4_0900_ai_ci"]


def applied(database: TestDatabase, statements: list[str], *more: str) -> tuple[list[Any], list[Any], Any]:
    """What is applied of statements, what the source has then, and the applier."""
    plan = plan_for(database, *statements)
    follower = follower_of(database)
    with followed(follower, plan) as (applier, stream):
        script(database, *more)
        expected = caught_up(follower, stream, applier)
    return applied_rows(applier), expected, applier


def test_a_compressed_transaction_is_followed(mysql_database: TestDatabase) -> None:
    found, expected, applier = applied(
        mysql_database,
        ["CREATE TABLE t (id int PRIMARY KEY, note text)"],
        "SET binlog_transaction_compression = ON",
        "INSERT INTO t VALUES (1, repeat('x', 10000)), (2, 'y')",
        "UPDATE t SET note = 'z' WHERE id = 1",
    )

    assert found == expected
    assert applier.stale == []


def test_a_vector_is_passed_over(mysql_database: TestDatabase) -> None:
    found, expected, applier = applied(
        mysql_database,
        ["CREATE TABLE t (id int PRIMARY KEY, v vector(3), note text)"],
        "INSERT INTO t VALUES (1, to_vector('[1,2,3]'), 'a')",
        "UPDATE t SET note = 'b'",
    )

    assert found == expected
    assert applier.stale == []
