"""A reader with exactly the documented grants, or with fewer, is never silently wrong about keys and cascades."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reflexdb.sources import open_source
from tests.servers.plugin import TestDatabase, let_see_views
from tests.sources.applying import Applier, caught_up, followed, keyed_plan
from tests.sources.binlogs import follower_of, plan_for, script
from tests.sources.helpers import mysql_address, table_of

AUTHORS = (
    "CREATE TABLE author (id int PRIMARY KEY, name varchar(20))",
    "CREATE TABLE post (id int PRIMARY KEY, author_id int, note varchar(9), "
    "CONSTRAINT `on ``delete` FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "INSERT INTO author VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO post VALUES (10, 1, 'x'), (11, 1, 'y'), (20, 2, 'z')",
)


def rows_of(applier: Applier, name: str) -> list[Any]:
    index = next(i for i, table in enumerate(applier.plan.tables) if table.source_name == name)
    return sorted(applier.tables[index])


def stale_names(applier: Applier) -> set[str]:
    return {applier.plan.tables[table].source_name for table, _ in applier.stale}


def test_a_cascade_is_seen_with_the_documented_grants(binlog_database: TestDatabase) -> None:
    plan = plan_for(binlog_database, *AUTHORS)
    follower = follower_of(binlog_database)

    assert follower.preflight(plan) == ()
    assert "may not see" not in str(follower.warnings(plan))
    with followed(follower, plan) as (applier, stream):
        script(binlog_database, "DELETE FROM author WHERE id = 1")
        caught_up(follower, stream, applier)

        assert "post" in stale_names(applier) or rows_of(applier, "post") == [(20,)]
        applier.stale.clear()
        script(binlog_database, "UPDATE author SET id = 5 WHERE id = 2")
        caught_up(follower, stream, applier)

        held = applier.tables[[table.source_name for table in plan.tables].index("post")]
        assert "post" in stale_names(applier) or list(held.values()) == [(20, 5, "z")]


@pytest.fixture
def other_schema(binlog_database: TestDatabase) -> Iterator[str]:
    """A schema that the reader may not see."""
    name = f"{binlog_database.schema}_o"
    binlog_database.execute(f"CREATE DATABASE {name}")
    yield name
    script(binlog_database, "SET foreign_key_checks = 0", f"DROP DATABASE {name}")


def test_a_cascade_through_a_hidden_schema_is_seen(binlog_database: TestDatabase, other_schema: str) -> None:
    plan = plan_for(
        binlog_database,
        f"CREATE TABLE {other_schema}.top (id int PRIMARY KEY)",
        f"CREATE TABLE {other_schema}.mid (id int PRIMARY KEY, top int, FOREIGN KEY (top) REFERENCES "
        f"{other_schema}.top (id) ON DELETE CASCADE)",
        f"CREATE TABLE low (id int PRIMARY KEY, mid int, FOREIGN KEY (mid) REFERENCES {other_schema}.mid (id) "
        "ON DELETE CASCADE ON UPDATE RESTRICT)",
        f"INSERT INTO {other_schema}.top VALUES (1)",
        f"INSERT INTO {other_schema}.mid VALUES (1, 1)",
        "INSERT INTO low VALUES (1, 1), (2, NULL)",
    )
    follower = follower_of(binlog_database)

    with followed(follower, plan) as (applier, stream):
        script(binlog_database, f"DELETE FROM {other_schema}.top")
        caught_up(follower, stream, applier)

    assert "low" in stale_names(applier) or rows_of(applier, "low") == [(2,)]
    if "-mysql" not in binlog_database.socket:  # which logs what its foreign keys do
        assert f"GRANT SELECT ON `{other_schema}`.`mid`" in str(follower.warnings(plan))


def limit_to_columns(database: TestDatabase, grants: dict[str, str]) -> None:
    """Take SELECT on the schema from the reader, and give it for these columns, or whole tables."""
    account = f"{database.user}@'%'"
    database.execute(f"REVOKE SELECT ON {database.schema}.* FROM {account}")
    for table, columns in grants.items():
        database.execute(f"GRANT SELECT {columns} ON {database.schema}.{table} TO {account}")


def test_a_cascade_by_a_hidden_column_is_seen(binlog_database: TestDatabase) -> None:
    script(binlog_database, *AUTHORS)
    limit_to_columns(binlog_database, {"author": "", "post": "(id, note)"})
    plan = keyed_plan(open_source(mysql_address(binlog_database)).introspect(binlog_database.schema))
    follower = follower_of(binlog_database)

    with followed(follower, plan) as (applier, stream):
        script(binlog_database, "DELETE FROM author WHERE id = 1")
        caught_up(follower, stream, applier)

    redefined = {plan.tables[table].source_name for table, _ in applier.redefined if table is not None}
    assert redefined == set()
    assert "post" in stale_names(applier) or rows_of(applier, "post") == [(20,)]


def test_a_key_with_a_hidden_column_is_no_key(binlog_database: TestDatabase) -> None:
    script(
        binlog_database,
        "CREATE TABLE item (tenant int, id int, code int, name varchar(9), PRIMARY KEY (id, tenant), UNIQUE (code))",
        "INSERT INTO item VALUES (1, 1, 1, 'a'), (2, 1, 2, 'b')",
    )
    limit_to_columns(binlog_database, {"item": "(id, code, name)"})
    source = open_source(mysql_address(binlog_database))

    item = table_of(source.introspect(binlog_database.schema), "item")
    warnings = follower_of(binlog_database).warnings(keyed_plan(source.introspect(binlog_database.schema)))

    assert item.primary_key == ()
    assert item.unique_keys == (("code",),)
    assert "may read some columns of table 'item' only" in str(warnings)
    assert "ADD PRIMARY KEY" not in str(warnings)


def test_keys_are_seen_by_the_connection_test(binlog_database: TestDatabase) -> None:
    script(binlog_database, *AUTHORS, "CREATE TABLE keyless (a int)")

    tested = open_source(mysql_address(binlog_database)).test()

    assert tested.capture is not None
    named = [issue for issue in tested.capture.issues if binlog_database.schema in issue]
    assert len(named) == 1
    assert "keyless" in named[0]


def test_a_view_that_tells_nothing_is_polled_and_named(binlog_database: TestDatabase) -> None:
    plan = plan_for(binlog_database, *AUTHORS, "CREATE VIEW brief AS SELECT id FROM post")
    follower = follower_of(binlog_database)
    brief = next(i for i, table in enumerate(plan.tables) if table.is_view)

    assert follower.unfollowed(plan) == {brief}
    assert "SHOW VIEW" in str(follower.warnings(plan))
    let_see_views(binlog_database)
    assert follower.unfollowed(plan) == frozenset()
    assert "SHOW VIEW" not in str(follower.warnings(plan))


def test_a_view_over_a_hidden_view_is_polled(binlog_database: TestDatabase, other_schema: str) -> None:
    let_see_views(binlog_database)
    plan = plan_for(
        binlog_database,
        f"CREATE TABLE {other_schema}.base (id int PRIMARY KEY)",
        f"CREATE VIEW {other_schema}.hidden AS SELECT id FROM {other_schema}.base",
        f"CREATE VIEW shown AS SELECT x.id FROM {other_schema}.hidden x",
        "CREATE TABLE plain (id int PRIMARY KEY, made date)",
        "CREATE VIEW recent AS SELECT id FROM plain WHERE made > now() - INTERVAL 1 DAY",
        "CREATE VIEW old AS SELECT extract(year FROM made) AS y FROM plain",
    )
    names = [table.source_name for table in plan.tables]

    unfollowed = follower_of(binlog_database).unfollowed(plan)

    assert {names[index] for index in unfollowed} == {"shown", "recent"}
