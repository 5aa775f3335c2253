"""What the binary log does not tell row by row is told as stale or redefined: cascades, DDL, statements, views."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.servers.plugin import TestDatabase, let_see_views
from tests.sources.applying import Applier, caught_up, drained, followed
from tests.sources.binlogs import ITEMS, follower_of, plan_for, script


def test_tables_below_cascading_keys_are_read_again_when_the_log_is_silent(mariadb_database: TestDatabase) -> None:
    plan = plan_for(
        mariadb_database,
        "CREATE TABLE top (id int PRIMARY KEY, code varchar(9) UNIQUE, free int)",
        "CREATE TABLE mid (id int PRIMARY KEY, top int, FOREIGN KEY (top) REFERENCES top (id) ON DELETE CASCADE)",
        "CREATE TABLE low (id int PRIMARY KEY, mid int, FOREIGN KEY (mid) REFERENCES mid (id) ON DELETE SET NULL)",
        "CREATE TABLE named (id int PRIMARY KEY, code varchar(9), "
        "FOREIGN KEY (code) REFERENCES top (code) ON UPDATE CASCADE ON DELETE RESTRICT)",
        "CREATE TABLE strict (id int PRIMARY KEY, top int, FOREIGN KEY (top) REFERENCES top (id))",
        "INSERT INTO top VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)",
        "INSERT INTO mid VALUES (10, 1), (20, 2)",
        "INSERT INTO low VALUES (100, 10), (200, 20)",
        "INSERT INTO named VALUES (7, 'b')",
    )
    names = [table.source_name for table in plan.tables]
    follower = follower_of(mariadb_database)

    def stale_after(applier: Applier, stream: Any, *statements: str) -> set[str]:
        applier.stale.clear()
        script(mariadb_database, *statements)
        caught_up(follower, stream, applier)
        return {names[table] for table, _ in applier.stale}

    with followed(follower, plan) as (applier, stream):
        assert stale_after(applier, stream, "INSERT INTO top VALUES (4, 'd', 0)") == set()
        assert stale_after(applier, stream, "UPDATE top SET free = 1") == set()
        assert stale_after(applier, stream, "UPDATE top SET code = 'bb' WHERE id = 2") == {"named"}
        assert stale_after(applier, stream, "DELETE FROM top WHERE id = 1") == {"mid", "low"}
        assert stale_after(applier, stream, "DELETE FROM mid WHERE id = 20") == {"low"}
        assert stale_after(applier, stream, "SET foreign_key_checks = 0", "DELETE FROM top WHERE id = 3") == set()
        assert stale_after(applier, stream, "ALTER TABLE strict ADD COLUMN other int") == set()
        assert (
            stale_after(
                applier,
                stream,
                "ALTER TABLE low ADD COLUMN up int, ADD FOREIGN KEY (up) REFERENCES top (id) ON DELETE CASCADE",
            )
            == set()
        )
        assert [names[table] for table, _ in applier.redefined if table is not None] == ["strict", "low"]


def test_an_unplanned_parent_makes_its_planned_child_stale(mariadb_database: TestDatabase) -> None:
    whole = plan_for(
        mariadb_database,
        "CREATE TABLE child (id int PRIMARY KEY, up int)",
    )
    script(
        mariadb_database,
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "ALTER TABLE child ADD FOREIGN KEY (up) REFERENCES parent (id) ON DELETE CASCADE",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (1, 1)",
    )
    follower = follower_of(mariadb_database)

    with followed(follower, whole) as (applier, stream):
        script(mariadb_database, "DELETE FROM parent")
        caught_up(follower, stream, applier)

    assert [table for table, _ in applier.stale] == [0]


def test_what_cannot_be_told_row_by_row_is_stale_at_the_right_commit(mariadb_database: TestDatabase) -> None:
    let_see_views(mariadb_database)
    plan = plan_for(
        mariadb_database,
        "CREATE TABLE filtered (id int PRIMARY KEY, public bool)",
        "CREATE TABLE keyless (a int)",
        "CREATE TABLE plain (id int PRIMARY KEY)",
        "CREATE VIEW seen AS SELECT id FROM plain WHERE id > 1",
        "CREATE TABLE history (id int PRIMARY KEY) WITH SYSTEM VERSIONING",
        where={"filtered": "public"},
    )
    names = [table.source_name for table in plan.tables]
    follower = follower_of(mariadb_database)

    with followed(follower, plan) as (applier, stream):
        seen = []
        for name in ("filtered (id)", "keyless", "plain", "history (id)"):
            applier.stale.clear()
            script(mariadb_database, f"INSERT INTO {name} VALUES (7)")
            caught_up(follower, stream, applier)
            seen.append({names[table] for table, _ in applier.stale})

    assert seen == [{"filtered"}, {"keyless"}, {"seen"}, {"history"}]
    assert applier.tables[names.index("plain")] == {(7,): (7,)}


REDEFINING = (
    "ALTER TABLE {t} ADD COLUMN extra int",
    "ALTER TABLE {t} DROP COLUMN cents",
    "ALTER TABLE {t} MODIFY cents int",
    "ALTER TABLE {t} CHANGE name title varchar(40)",
    "ALTER TABLE {t} MODIFY cents bigint FIRST",
    "ALTER TABLE {t} RENAME TO {s}.moved",
    "RENAME TABLE {t} TO {s}.moved2",
    "CREATE TABLE {s}.ghost LIKE {t}; RENAME TABLE {t} TO {s}._old, {s}.ghost TO {t}",
    "DROP TABLE {t}",
    "DROP TABLE IF EXISTS {s}.nowhere, {t} RESTRICT",
    "CREATE OR REPLACE TABLE {t} (id int PRIMARY KEY)",
    "/* a comment */ ALTER /*!40000 TABLE */ {t} -- x\n DROP PRIMARY KEY",
    "SET STATEMENT max_statement_time = 9 FOR ALTER TABLE {t} ADD z int",
)
HARMLESS = (
    "ALTER TABLE {t} ADD INDEX (cents), COMMENT = 'ALTER TABLE items DROP x'",
    "CREATE INDEX i ON {t} (cents)",
    "ANALYZE TABLE {t}",
    "CREATE TABLE IF NOT EXISTS {t} (id int)",
    "CREATE TABLE {s}.other (id int, note varchar(99) DEFAULT 'ALTER TABLE items')",
    "CREATE TEMPORARY TABLE {t} (id int); DROP TEMPORARY TABLE {t}",
)


def test_a_changed_definition_is_told_at_its_place_in_the_stream(mariadb_database: TestDatabase) -> None:
    """Each statement has tables of its own, once named within the default schema and once from another one."""
    statements = (*REDEFINING, *HARMLESS)
    names = [f"t`{number}{way}" for number in range(len(statements)) for way in ("in", "out")]
    quoted = ["`" + name.replace("`", "``") + "`" for name in names]
    plan = plan_for(mariadb_database, *(ITEMS.replace("items", name) for name in quoted))
    follower = follower_of(mariadb_database)
    schema = mariadb_database.schema

    with followed(follower, plan) as (applier, stream):
        for number, statement in enumerate(statements):
            for way, default in enumerate((schema, "mysql")):
                table = quoted[2 * number + way]
                qualified = f"`{schema}` . {table}" if way else table
                text = statement.replace("moved", f"moved{way}").replace("ghost", f"ghost{way}")
                text = text.replace("_old", f"_old{way}").replace("other", f"other{way}")
                script(
                    mariadb_database,
                    f"INSERT INTO {table} VALUES (1, 'x', 1)",
                    f"USE {default}",
                    *text.format(t=qualified, s=schema).split("; "),
                )
        caught_up_position(follower, stream, applier)

    redefined = {plan.tables[table].source_name for table, _ in applier.redefined if table is not None}
    assert redefined == set(names[: 2 * len(REDEFINING)])
    assert [rows for rows in applier.tables if rows != {(1,): (1, "x", 1)}] == []
    assert applier.stale == []


def caught_up_position(follower: Any, stream: Any, applier: Applier) -> None:
    """Follow up to the present of a source of which not all planned tables are there any more."""
    with follower.snapshot(applier.plan) as reader:
        position = reader.position
    drained(stream, applier, lambda: follower.reached(applier.position, position))


def test_a_definition_that_changed_before_the_stream_is_told_first(binlog_database: TestDatabase) -> None:
    plan = plan_for(binlog_database, ITEMS)
    follower = follower_of(binlog_database)
    with follower.snapshot(plan) as reader:
        position = reader.position
    script(binlog_database, "INSERT INTO items VALUES (1, 'x', 1)", "ALTER TABLE items MODIFY cents int")

    stream = follower.stream(plan, position)
    with contextlib.closing(stream):
        event = stream.next(5)

    assert "cents" in getattr(event, "what", "")


def test_statements_instead_of_rows_make_tables_stale(binlog_database: TestDatabase) -> None:
    plan = plan_for(binlog_database, ITEMS)
    follower = follower_of(binlog_database)

    with followed(follower, plan) as (applier, stream):
        script(binlog_database, "SET SESSION binlog_format = STATEMENT", "INSERT INTO items VALUES (1, 'x', 1)")
        caught_up(follower, stream, applier)
        load = len(applier.stale)
        script(binlog_database, "SET SESSION binlog_format = STATEMENT", "BEGIN", "DELETE FROM items", "ROLLBACK")
        caught_up(follower, stream, applier)

    assert load == 1
    assert len(applier.stale) == 1


def test_partitions_that_are_dropped_make_their_table_stale(binlog_database: TestDatabase) -> None:
    plan = plan_for(
        binlog_database,
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id) "
        "(PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN (20))",
    )
    follower = follower_of(binlog_database)

    with followed(follower, plan) as (applier, stream):
        script(binlog_database, "INSERT INTO p VALUES (1), (11)", "ALTER TABLE p TRUNCATE PARTITION a")
        caught_up(follower, stream, applier)

    assert [table for table, _ in applier.stale] == [0]
    assert applier.redefined == []


def test_what_a_foreign_key_did_before_it_was_dropped_is_not_missed(binlog_database: TestDatabase) -> None:
    """The catalog a stream asks for tells of the present, and the stream begins in the past."""
    plan = plan_for(
        binlog_database,
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE children (id int PRIMARY KEY, parent int, "
        "CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE)",
        "INSERT INTO parents VALUES (1), (2)",
        "INSERT INTO children VALUES (10, 1), (20, 2)",
    )
    follower = follower_of(binlog_database)
    with follower.snapshot(plan) as reader:
        applier = Applier(plan, reader)
    script(binlog_database, "DELETE FROM parents WHERE id = 1", "ALTER TABLE children DROP FOREIGN KEY fk")
    with contextlib.closing(follower.stream(plan, applier.position)) as stream:
        caught_up(follower, stream, applier)

    assert plan.tables[0].source_name == "children"
    assert 0 in {table for table, _ in applier.stale}


def test_a_view_of_a_table_below_a_cascading_key_is_read_again(mariadb_database: TestDatabase) -> None:
    let_see_views(mariadb_database)
    plan = plan_for(
        mariadb_database,
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE children (id int PRIMARY KEY, parent int, "
        "FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE CASCADE)",
        "CREATE VIEW many AS SELECT id FROM children",
        "INSERT INTO parents VALUES (1)",
        "INSERT INTO children VALUES (10, 1)",
    )
    follower = follower_of(mariadb_database)
    with followed(follower, plan) as (applier, stream):
        script(mariadb_database, "DELETE FROM parents WHERE id = 1")
        caught_up(follower, stream, applier)

    assert {plan.tables[table].source_name for table, _ in applier.stale} == {"children", "many"}
