"""Rows of which the log has only parts of JSON values are told by their keys, with all that the event does besides."""

from __future__ import annotations

from tests.servers.plugin import TestDatabase
from tests.sources.applying import caught_up, followed
from tests.sources.binlogs import follower_of, plan_for, script

PARTLY = "SET binlog_row_value_options = 'PARTIAL_JSON'"


def test_parts_of_json_values_tell_the_keys_of_their_rows(mysql_database: TestDatabase) -> None:
    document = "JSON_OBJECT('a', 1, 'b', REPEAT('x', 300), 'c', JSON_ARRAY(1, 2, 3))"
    plan = plan_for(
        mysql_database,
        "CREATE TABLE docs (other json, id int PRIMARY KEY, doc json, note text)",
        f"INSERT INTO docs VALUES ('[1]', 1, {document}, 'one'), (NULL, 2, {document}, NULL)",
        "INSERT INTO docs VALUES ('{}', 3, NULL, 'three')",
    )
    follower = follower_of(mysql_database)

    with followed(follower, plan) as (applier, stream):
        script(
            mysql_database,
            PARTLY,
            "UPDATE docs SET doc = JSON_SET(doc, '$.a', 5), note = 'x' WHERE id = 1",
            "UPDATE docs SET doc = JSON_REPLACE(doc, '$.c[1]', 7) WHERE id < 3",
            "UPDATE docs SET id = 9, doc = JSON_REMOVE(doc, '$.c') WHERE id = 2",
            "UPDATE docs SET note = 'plain' WHERE id = 3",
            "INSERT INTO docs VALUES (NULL, 4, NULL, 'new')",
            "DELETE FROM docs WHERE id = 3",
        )
        caught_up(follower, stream, applier)

    assert applier.stale_keys == [(1,), (1,), (2,), (2,), (9,), (3,)]
    assert {reason for _, reason in applier.stale} == {"the log has only parts of JSON values"}
    assert (4,) in applier.tables[0]


def test_a_source_with_parts_of_json_values_is_followed(mysql_database: TestDatabase) -> None:
    plan = plan_for(mysql_database, "CREATE TABLE docs (id int PRIMARY KEY, doc json)")
    follower = follower_of(mysql_database)
    script(mysql_database, "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'")
    try:
        assert follower.preflight(plan) == ()
        assert "asked for again" in str(follower.warnings(plan))
    finally:
        script(mysql_database, "SET GLOBAL binlog_row_value_options = ''")
