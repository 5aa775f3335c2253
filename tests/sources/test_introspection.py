"""What the three kinds of source say about the same schema, and about names that are nobody's friends."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflexdb.model.errors import SourceMissing
from reflexdb.model.plan import Plan
from reflexdb.model.schema import ForeignKey
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.mysql.grants import SELECT
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, plan_of, planned, postgres_address, read, rows, table_of
from tests.sources.test_sqlite_types import address, execute

BLOG = (
    "CREATE TABLE zebra (a int NOT NULL, b int NOT NULL, note varchar(40), PRIMARY KEY (b, a))",
    "CREATE TABLE author (id int PRIMARY KEY, email varchar(99) NOT NULL UNIQUE, boss int REFERENCES author (id),"
    " first varchar(9), last varchar(9), UNIQUE (last, first))",
    "CREATE TABLE post (id int NOT NULL PRIMARY KEY, author int NOT NULL, za int, zb int,"
    " twice int GENERATED ALWAYS AS (author * 2) STORED,"
    " CONSTRAINT post_author FOREIGN KEY (author) REFERENCES author (id),"
    " CONSTRAINT post_zebra FOREIGN KEY (zb, za) REFERENCES zebra (b, a))",
    "CREATE TABLE keyless (v int)",
    "CREATE VIEW brief AS SELECT id, author FROM post",
)

HOSTILE = [
    '"); system("rm");//',
    "new\nline",
    "😀 emoji",
    "select",
    "class",
    "with space",
    "quote'double\"back`slash\\",
    "percent%s{0}$1:name?",
    "x" * 63,
]


def hostile_tables(names: list[str], quote: str) -> list[str]:
    def quoted(name: str) -> str:
        return quote + name.replace(quote, quote * 2) + quote

    return [f"CREATE TABLE {quoted(name)} ({quoted(name)} int PRIMARY KEY)" for name in names]


def fill_sqlite(path: Path, statements: list[str] | tuple[str, ...]) -> SourceAddress:
    execute(path, *statements)
    return address(path)


def fill(database: TestDatabase, statements: list[str] | tuple[str, ...]) -> None:
    connection = database.connect()
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(params=["sqlite", "mysql", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def filled(
    kind: str, request: pytest.FixtureRequest, statements: list[str] | tuple[str, ...]
) -> tuple[SourceAddress, str]:
    """An address and schema of the kind, with the statements run in it."""
    if kind == "sqlite":
        return fill_sqlite(request.getfixturevalue("tmp_path") / "a.db", statements), "main"
    database: TestDatabase = request.getfixturevalue("mariadb_database" if kind == "mysql" else "postgres_database")
    fill(database, statements)
    return (mysql_address if kind == "mysql" else postgres_address)(database), database.schema


def test_a_schema_is_described_whole_and_in_order(kind: str, request: pytest.FixtureRequest) -> None:
    where, schema = filled(kind, request, BLOG)

    found = open_source(where).introspect(schema)

    assert [table.name for table in found.tables] == ["author", "brief", "keyless", "post", "zebra"]
    author, brief, keyless, post, zebra = found.tables
    assert zebra.primary_key == ("b", "a")
    assert [column.nullable for column in zebra.columns] == [False, False, True]
    assert author.primary_key == ("id",)
    assert author.unique_keys == (("email",), ("last", "first"))
    assert [(key.columns, key.references, key.referenced_columns) for key in author.foreign_keys] == [
        (("boss",), "author", ("id",))
    ]
    assert [(key.columns, key.references, key.referenced_columns) for key in post.foreign_keys] == [
        (("author",), "author", ("id",)),
        (("zb", "za"), "zebra", ("b", "a")),
    ]
    assert [column.name for column in post.columns] == ["id", "author", "za", "zb", "twice"]
    assert [column.generated for column in post.columns] == [False] * 4 + [True]
    assert keyless.primary_key == ()
    assert (brief.is_view, brief.primary_key, [column.name for column in brief.columns]) == (True, (), ["id", "author"])
    assert [table.is_view for table in (author, keyless, post, zebra)] == [False] * 4
    assert open_source(where).introspect(schema) == found


def test_empty_tables_and_views_are_read_as_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    where, schema = filled(kind, request, BLOG)

    assert {name: table.num_rows for name, table in rows(where, schema).items()} == dict.fromkeys(
        ("author", "brief", "keyless", "post", "zebra"), 0
    )


def test_an_empty_schema_has_no_tables(kind: str, request: pytest.FixtureRequest) -> None:
    where, schema = filled(kind, request, ())

    assert open_source(where).introspect(schema).tables == ()


def test_names_of_any_kind_are_described_and_read(kind: str, request: pytest.FixtureRequest) -> None:
    names = [name for name in HOSTILE if kind != "mysql" or "😀" not in name]  # which MySQL does not allow in names
    where, schema = filled(kind, request, hostile_tables(names, "`" if kind == "mysql" else '"'))

    found = rows(where, schema)

    assert sorted(found) == sorted(names)
    assert all(table.column_names == [name] for name, table in found.items())


@pytest.mark.parametrize("missing", ["nowhere", "no.where", "'; DROP TABLE x; --", "a\0b", "", "x" * 10_000, "😀"])
def test_a_schema_that_is_not_there_is_missing(kind: str, request: pytest.FixtureRequest, missing: str) -> None:
    where, _ = filled(kind, request, ())

    with pytest.raises(SourceMissing):
        open_source(where).introspect(missing)


def test_a_thousand_tables_are_described_and_read(kind: str, request: pytest.FixtureRequest) -> None:
    parent = [f" REFERENCES t{n - 1} (id)" if n % 10 == 1 else "" for n in range(1000)]
    create = [f"CREATE TABLE t{n} (id int PRIMARY KEY, parent int{parent[n]}, name varchar(20))" for n in range(1000)]
    where, schema = filled(kind, request, create)

    found = open_source(where).introspect(schema)

    assert len(found.tables) == 1000
    assert sum(len(table.foreign_keys) for table in found.tables) == 100
    assert len(read(open_source(where), plan_of(found))) == 1000


def test_the_predicate_and_the_choice_of_columns_reach_the_source(kind: str, request: pytest.FixtureRequest) -> None:
    statements = ("CREATE TABLE t (a int, b int, c int)", "INSERT INTO t VALUES (1, 2, 3), (4, 5, 6), (7, 8, NULL)")
    where, schema = filled(kind, request, statements)
    source = open_source(where)
    table = planned(table_of(source.introspect(schema), "t"), where="a = 4 OR c IS NULL -- rest", only=("c", "b"))
    reordered = type(table)(table.source_name, table.name, table.columns[::-1], where=table.where)
    found = read(source, Plan(where.backend, schema, (reordered,)))["t"]

    assert found.to_pylist() == [{"c": 6, "b": 5}, {"c": None, "b": 8}]
    assert found.column_names == ["c", "b"]


def test_sqlite_names_that_differ_only_by_case_or_are_very_long(tmp_path: Path) -> None:
    long = "n" * 10_000
    where = fill_sqlite(tmp_path / "a.db", [f'CREATE TABLE "{long}" ("{long}" int, "Ä" int, "ä" int)'])

    assert list(rows(where, "main")) == [long]
    assert rows(where, "main")[long].column_names == [long, "Ä", "ä"]


def test_postgres_names_that_differ_only_by_case(postgres_database: TestDatabase) -> None:
    fill(
        postgres_database,
        ['CREATE TABLE t (a int, "A" int)', 'CREATE TABLE "T" (a int)', "INSERT INTO t VALUES (1, 2)"],
    )

    found = rows(postgres_address(postgres_database), postgres_database.schema)

    assert {name: table.to_pylist() for name, table in found.items()} == {"T": [], "t": [{"a": 1, "A": 2}]}


def test_mysql_names_that_differ_only_by_case(mariadb_database: TestDatabase) -> None:
    fill(mariadb_database, ["CREATE TABLE t (a int)", "CREATE TABLE T (a int, b int)", "INSERT INTO t VALUES (1)"])

    found = rows(mysql_address(mariadb_database), mariadb_database.schema)

    assert {name: table.to_pylist() for name, table in found.items()} == {"T": [], "t": [{"a": 1}]}


def test_sqlite_foreign_keys_without_columns_mean_the_primary_key(tmp_path: Path) -> None:
    where = fill_sqlite(
        tmp_path / "a.db",
        [
            "CREATE TABLE Parent (x int, Y int, PRIMARY KEY (Y, x))",
            "CREATE TABLE child (a int, b int, FOREIGN KEY (A, b) REFERENCES PARENT)",
            "CREATE TABLE orphan (a int REFERENCES nowhere (id), b int REFERENCES Parent (absent))",
        ],
    )

    found = open_source(where).introspect("main")

    assert table_of(found, "child").foreign_keys == (ForeignKey("child_a_b_fkey", ("a", "b"), "Parent", ("Y", "x")),)
    assert table_of(found, "orphan").foreign_keys == ()
    assert [entry.relation for entry in found.not_served] == ["orphan_a_fkey", "orphan_b_fkey"]


def test_sqlite_leaves_out_its_own_tables(tmp_path: Path) -> None:
    where = fill_sqlite(
        tmp_path / "a.db",
        [
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v)",
            "CREATE VIRTUAL TABLE f USING fts5(body)",
            "ANALYZE",
        ],
    )

    assert [table.name for table in open_source(where).introspect("main").tables] == ["f", "t"]


def test_postgres_partitions_are_one_table_and_materialized_views_are_views(postgres_database: TestDatabase) -> None:
    fill(
        postgres_database,
        [
            "CREATE TABLE whole (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
            "CREATE TABLE part1 PARTITION OF whole FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
            "CREATE TABLE part2 PARTITION OF whole FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
            "INSERT INTO whole VALUES (1, '2026-01-05'), (2, '2026-02-05')",
            "CREATE MATERIALIZED VIEW days AS SELECT day FROM whole",
            "CREATE SCHEMA other",
            "CREATE TABLE other.thing (id int PRIMARY KEY)",
            "CREATE TABLE points (id int PRIMARY KEY, thing int REFERENCES other.thing (id))",
            "COMMENT ON TABLE points IS 'what''s the point'",
            "COMMENT ON COLUMN points.thing IS 'a thing'",
            "ANALYZE",
        ],
    )
    where = postgres_address(postgres_database)

    found = open_source(where).introspect(postgres_database.schema)
    other = open_source(where).introspect(postgres_database.schema + ".other")
    points = table_of(found, "points")

    assert [table.name for table in found.tables] == ["days", "points", "whole"]
    assert table_of(found, "days").is_view
    assert table_of(found, "whole").primary_key == ("id", "day")
    assert table_of(found, "whole").estimated_rows == 2
    assert (points.comment, points.columns[1].comment, points.foreign_keys) == ("what's the point", "a thing", ())
    assert "other.thing" in found.not_served[0].reason
    assert [table.name for table in other.tables] == ["thing"]
    assert read(open_source(where), plan_of(found))["whole"].num_rows == 2
    assert f"{postgres_database.schema}.other" in open_source(where).test().available_schemas


def test_mysql_comments_estimates_and_keys_into_other_schemas(mariadb_database: TestDatabase) -> None:
    other = mariadb_database.schema + "_other"
    fill(
        mariadb_database,
        [
            "CREATE TABLE t (id int PRIMARY KEY COMMENT 'it''s', v int AS (id + 1) VIRTUAL) COMMENT 'a table'",
            "INSERT INTO t (id) VALUES (1), (2)",
            "ANALYZE TABLE t",
            f"CREATE DATABASE {other}",
            f"CREATE TABLE {other}.thing (id int PRIMARY KEY)",
            f"CREATE TABLE u (id int PRIMARY KEY, CONSTRAINT away FOREIGN KEY (id) REFERENCES {other}.thing (id))",
        ],
    )
    try:
        found = open_source(mysql_address(mariadb_database)).introspect(mariadb_database.schema)
    finally:
        fill(mariadb_database, ["DROP TABLE u", f"DROP DATABASE {other}"])

    t, u = found.tables
    assert (t.comment, t.columns[0].comment, t.estimated_rows) == ("a table", "it's", 2)
    assert [column.generated for column in t.columns] == [False, True]
    assert u.foreign_keys == ()
    assert [(entry.table, entry.relation) for entry in found.not_served] == [("u", "away")]
    assert f"{other}.thing" in found.not_served[0].reason


def test_mysql_schemas_that_differ_only_by_case(mariadb_database: TestDatabase) -> None:
    upper = mariadb_database.schema.upper()
    fill(mariadb_database, ["CREATE TABLE t (a int)", f"CREATE DATABASE {upper}", f"CREATE TABLE {upper}.u (a int)"])
    mariadb_database.execute(SELECT.statement(upper, f"{mariadb_database.user}@'%'"))
    source = open_source(mysql_address(mariadb_database))
    try:
        names = [[t.name for t in source.introspect(name).tables] for name in (mariadb_database.schema, upper)]
        with pytest.raises(SourceMissing):
            source.introspect(mariadb_database.schema.capitalize())
    finally:
        fill(mariadb_database, [f"DROP DATABASE {upper}"])

    assert names == [["t"], ["u"]]
