"""What each source says that it has and can't be served: privileges, views that fail, keys that lead elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import sql

from reflexdb.model.not_served import Cause
from reflexdb.model.schema import SourceSchema
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, plan_of, postgres_address, read, table_of
from tests.sources.test_introspection import fill, fill_sqlite

READER = "few ü"


def listed(found: SourceSchema) -> dict[tuple[str, str | None, str | None], Cause]:
    return {(entry.table, entry.column, entry.relation): entry.cause for entry in found.not_served}


def remedy(found: SourceSchema, table: str, column: str | None = None) -> str:
    return next(each.remedy for each in found.not_served if (each.table, each.column) == (table, column))


@contextmanager
def postgres_reader(database: TestDatabase) -> Iterator[tuple[SourceAddress, str]]:
    """A role that may connect and has USAGE on public; its address and its name as an identifier."""
    name = f"{READER} {database.schema}"
    role = sql.Identifier(name).as_string(None)
    database.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        yield postgres_address(database, user=name, password="x"), role
    finally:
        database.execute(f"DROP OWNED BY {role}")
        database.execute(f"DROP ROLE {role}")


@contextmanager
def mysql_reader(database: TestDatabase) -> Iterator[tuple[SourceAddress, str]]:
    name = f"few_{database.schema}"
    user = f"'{name}'@'%'"
    database.execute(f"CREATE USER {user} IDENTIFIED BY 'x'")
    try:
        yield mysql_address(database, user=name, password="x"), user
    finally:
        database.execute(f"DROP USER {user}")


@pytest.mark.each_postgres
def test_postgres_lists_what_the_user_may_not_read(postgres_database: TestDatabase) -> None:
    fill(
        postgres_database,
        [
            "CREATE TABLE hidden (id int PRIMARY KEY)",
            "CREATE TABLE partly (id int PRIMARY KEY, shown int, secret int, up int REFERENCES hidden (id))",
            "INSERT INTO hidden VALUES (1)",
            "INSERT INTO partly VALUES (1, 2, 3, 1)",
            "CREATE TABLE free (id int PRIMARY KEY)",
        ],
    )
    with postgres_reader(postgres_database) as (where, role):
        fill(
            postgres_database,
            [f"GRANT SELECT ON free TO {role}", f"GRANT SELECT (id, shown, up) ON partly TO {role}"],
        )
        source = open_source(where)
        found = source.introspect(postgres_database.schema)

        assert listed(found) == {
            ("hidden", None, None): Cause.NO_PRIVILEGE,
            ("partly", "secret", None): Cause.NO_PRIVILEGE,
            ("partly", None, "partly_up_fkey"): Cause.MISSING_TARGET,
        }
        assert [table.name for table in found.tables] == ["free", "partly"]
        assert read(source, plan_of(found))["partly"].to_pylist() == [{"id": 1, "shown": 2, "up": 1}]

        before = source.definitions(postgres_database.schema)
        for statement in (remedy(found, "hidden"), remedy(found, "partly", "secret")):
            postgres_database.execute(statement.removeprefix("Run: "))
        assert source.introspect(postgres_database.schema).not_served == ()
        assert source.definitions(postgres_database.schema) != before


def test_postgres_names_the_grant_of_a_whole_schema(postgres_database: TestDatabase) -> None:
    fill(postgres_database, ['CREATE SCHEMA "a b"', 'CREATE TABLE "a b".t (id int)', 'CREATE VIEW "a b".v AS SELECT 1'])
    schema = f"{postgres_database.schema}.a b"
    with postgres_reader(postgres_database) as (where, _):
        source = open_source(where)
        found = source.introspect(schema)
        assert (found.tables, set(listed(found).values())) == ((), {Cause.NO_PRIVILEGE})

        for statement in found.grant.removesuffix(";").split(";"):
            postgres_database.execute(statement)
        after = source.introspect(schema)
        assert ([table.name for table in after.tables], after.not_served) == (["t", "v"], ())


@pytest.mark.each_postgres
def test_postgres_lists_views_that_cannot_be_read(postgres_database: TestDatabase) -> None:
    fill(
        postgres_database,
        [
            "CREATE TABLE t (id int PRIMARY KEY)",
            "CREATE TABLE kept (id int PRIMARY KEY)",
            "CREATE VIEW fine AS SELECT id FROM kept",
            "CREATE MATERIALIZED VIEW never AS SELECT id FROM kept WITH NO DATA",
            "CREATE VIEW denied AS SELECT id FROM t",
        ],
    )
    with postgres_reader(postgres_database) as (where, role):
        fill(
            postgres_database,
            [
                f"GRANT SELECT ON fine, never, denied, kept TO {role}",
                f"ALTER VIEW denied OWNER TO {role}",
            ],
        )
        found = open_source(where).introspect(postgres_database.schema)

    assert [table.name for table in found.tables] == ["fine", "kept"]
    assert listed(found) == {
        ("t", None, None): Cause.NO_PRIVILEGE,
        ("never", None, None): Cause.UNREADABLE,
        ("denied", None, None): Cause.UNREADABLE,
    }
    assert "REFRESH MATERIALIZED VIEW" in remedy(found, "never")


@pytest.mark.each_postgres
def test_postgres_lists_keys_that_lead_elsewhere(postgres_database: TestDatabase, postgres_version: int | None) -> None:
    fill(
        postgres_database,
        [
            "CREATE SCHEMA other",
            'CREATE TABLE other."th.ing" (id int PRIMARY KEY)',
            'CREATE TABLE points (id int PRIMARY KEY, thing int REFERENCES other."th.ing" (id))',
        ],
    )
    expected = {("points", None, "points_thing_fkey"): Cause.OTHER_SCHEMA}
    if (postgres_version or 0) >= 18:
        fill(
            postgres_database,
            [
                "CREATE TABLE leased (room int4range, during tstzrange, PRIMARY KEY (room, during WITHOUT OVERLAPS))",
                "CREATE TABLE visits (room int4range, during tstzrange,"
                " CONSTRAINT stay FOREIGN KEY (room, PERIOD during) REFERENCES leased (room, PERIOD during))",
            ],
        )
        expected["visits", None, "stay"] = Cause.TEMPORAL_KEY
    found = open_source(postgres_address(postgres_database)).introspect(postgres_database.schema)

    assert listed(found) == expected
    assert all(not table.foreign_keys for table in found.tables)


def test_a_locked_view_is_taken_for_readable(postgres_database: TestDatabase) -> None:
    fill(postgres_database, ["CREATE TABLE t (id int PRIMARY KEY)", "CREATE VIEW v AS SELECT id FROM t"])
    with postgres_database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        found = open_source(postgres_address(postgres_database)).introspect(postgres_database.schema)

    assert ([table.name for table in found.tables], found.not_served) == (["t", "v"], ())


def test_mysql_lists_what_the_user_may_not_read(mariadb_database: TestDatabase) -> None:
    schema = mariadb_database.schema
    fill(
        mariadb_database,
        [
            "CREATE TABLE unseen (id int PRIMARY KEY)",
            "CREATE TABLE written (id int PRIMARY KEY)",
            "CREATE TABLE partly (id int PRIMARY KEY, shown int, secret int, `wri``te` int, last int)",
            "INSERT INTO partly VALUES (1, 2, 3, 4, 5)",
        ],
    )
    with mysql_reader(mariadb_database) as (where, user):
        fill(
            mariadb_database,
            [
                f"GRANT INSERT ON {schema}.written TO {user}",
                f"GRANT SELECT (id, shown, last), UPDATE (`wri``te`) ON {schema}.partly TO {user}",
            ],
        )
        source = open_source(where)
        found = source.introspect(schema)

        assert listed(found) == {
            ("written", None, None): Cause.NO_PRIVILEGE,
            ("partly", "#3", None): Cause.NO_PRIVILEGE,
            ("partly", "wri`te", None): Cause.NO_PRIVILEGE,
        }
        assert read(source, plan_of(found))["partly"].to_pylist() == [{"id": 1, "shown": 2, "last": 5}]

        for each in found.not_served:
            mariadb_database.execute(each.remedy.removeprefix("Run: "))
        after = source.introspect(schema)
        assert ([table.name for table in after.tables], after.not_served) == (["partly", "written"], ())
        assert f"GRANT SELECT ON `{schema}`.* TO {user}" in after.grant


def test_mysql_lists_views_that_cannot_be_read(mariadb_database: TestDatabase) -> None:
    fill(
        mariadb_database,
        [
            "CREATE TABLE t (id int PRIMARY KEY, v int)",
            "CREATE VIEW fine AS SELECT id FROM t",
            "CREATE VIEW broken AS SELECT v FROM t",
            "ALTER TABLE t DROP v",
        ],
    )
    found = open_source(mysql_address(mariadb_database)).introspect(mariadb_database.schema)

    assert [table.name for table in found.tables] == ["fine", "t"]
    assert listed(found) == {("broken", None, None): Cause.UNREADABLE}
    assert "references invalid" in found.not_served[0].reason


def test_sqlite_lists_what_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.create_function("of_the_application", 1, lambda value: value)
        connection.create_collation("OWN", lambda a, b: (a > b) - (a < b))
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT REFERENCES nowhere (id))")
        connection.execute("CREATE VIEW broken AS SELECT of_the_application(id) AS v FROM t")
        connection.execute("CREATE TABLE own (name TEXT COLLATE OWN PRIMARY KEY) WITHOUT ROWID")
    connection.close()
    found = open_source(fill_sqlite(path, [])).introspect("main")

    assert [table.name for table in found.tables] == ["t"]
    assert listed(found) == {
        ("broken", None, None): Cause.UNREADABLE,
        ("own", None, None): Cause.UNREADABLE,
        ("t", None, "t_v_fkey"): Cause.MISSING_TARGET,
    }


@pytest.mark.parametrize("kind", ["mysql", "postgres"])
def test_the_documented_grant_leaves_nothing_out(kind: str, request: pytest.FixtureRequest) -> None:
    database: TestDatabase = request.getfixturevalue("mariadb_database" if kind == "mysql" else "postgres_database")
    fill(database, ["CREATE TABLE t (id int PRIMARY KEY, v int)", "CREATE VIEW w AS SELECT v FROM t"])
    with (mysql_reader if kind == "mysql" else postgres_reader)(database) as (where, user):
        grant = f"{database.schema}.*" if kind == "mysql" else "ALL TABLES IN SCHEMA public"
        database.execute(f"GRANT SELECT ON {grant} TO {user}")
        found = open_source(where).introspect(database.schema)

    assert ([table.name for table in found.tables], found.not_served) == (["t", "w"], ())
    assert table_of(found, "t").primary_key == ("id",)
