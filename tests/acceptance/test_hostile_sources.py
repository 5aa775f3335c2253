"""Schemas and data that would break a careless system, through the whole of ours: built, loaded, queried over HTTP."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.plane import Endpoint, Plane, address

pytestmark = pytest.mark.timeout(600)

HOSTILE = [
    '"); system("x");//',
    "select",
    "class",
    "template<int>",
    "order by",
    "Case",
    "case",
    "a'b",
    'a"b',
    "a`b",
    "line\nbreak",
    "back\\slash",
    "tri??/graph",
    "émoji 😀",
    "%s%n{}$(id)",
    "../../etc/passwd",
    "x" * 500,
]


def name(text: str) -> str:
    """A name in the query language: backquoted, a backquote doubled."""
    return "`" + text.replace("`", "``") + "`"


def sql_name(text: str, quote: str = '"') -> str:
    return quote + text.replace(quote, quote * 2) + quote


def serve(plane: Plane, label: str, source: dict[str, Any], schema: str) -> Endpoint:
    database = plane.register(label, source, schema)
    plane.act(database, "provision")
    plane.require_running(database)
    return Endpoint(plane.database(database)["endpointUrl"], plane.key(database))


def test_names_are_data_from_a_sqlite_file_to_the_answer(plane: Plane, tmp_path: Path) -> None:
    path = tmp_path / "hostile.sqlite"
    with sqlite3.connect(path) as connection:
        names = [each for each in HOSTILE if each != "Case"]  # SQLite's names ignore letter case
        for index, table in enumerate(names):
            column = names[-1 - index]
            connection.execute(f"CREATE TABLE {sql_name(table)} (id INTEGER PRIMARY KEY, {sql_name(column)} TEXT)")
            connection.execute(f"INSERT INTO {sql_name(table)} VALUES (1, ?)", (table,))
    connection.close()
    endpoint = serve(plane, "hostile-sqlite", {"backend": "sqlite", "mysqlHost": str(path)}, "main")

    for index, table in enumerate(names):
        column = names[-1 - index]
        answer = endpoint.query(f"{name(table)}({name(column)} = {json.dumps(table)}) {{ {name(column)} }}")
        assert answer == [{column: table}]


def test_names_are_data_from_mariadb_to_the_answer(plane: Plane, mariadb_database: Any) -> None:
    names = [each for each in HOSTILE if len(each) <= 64 and "😀" not in each and each != "Case"]
    for index, table in enumerate(names):
        column = names[-1 - index]
        mariadb_database.execute(
            f"CREATE TABLE {sql_name(table, '`')} (id INT PRIMARY KEY, {sql_name(column, '`')} VARCHAR(600))"
        )
        mariadb_database.execute(f"INSERT INTO {sql_name(table, '`')} VALUES (1, 'x')")
    endpoint = serve(plane, "hostile-mysql", address("mysql", mariadb_database), mariadb_database.schema)

    for index, table in enumerate(names):
        column = names[-1 - index]
        assert endpoint.query(f"{name(table)} {{ {name(column)} }}") == [{column: "x"}]


def test_names_are_data_from_postgres_to_the_answer(plane: Plane, postgres_database: Any) -> None:
    names = [each for each in HOSTILE if len(each) <= 60]
    for index, table in enumerate(names):
        column = names[-1 - index]
        postgres_database.execute(f"CREATE TABLE {sql_name(table)} (id INT PRIMARY KEY, {sql_name(column)} TEXT)")
        postgres_database.execute(f"INSERT INTO {sql_name(table)} VALUES (1, 'x')")
    endpoint = serve(plane, "hostile-postgres", address("postgres", postgres_database), postgres_database.schema)

    for index, table in enumerate(names):
        column = names[-1 - index]
        assert endpoint.query(f"{name(table)} {{ {name(column)} }}") == [{column: "x"}]


def test_extreme_values_of_mariadb_arrive_digit_for_digit(plane: Plane, mariadb_database: Any) -> None:
    execute = mariadb_database.execute
    execute(
        "CREATE TABLE extremes (id INT PRIMARY KEY, d DECIMAL(65,30), u BIGINT UNSIGNED, day DATE, at DATETIME, "
        "latin VARCHAR(20) CHARACTER SET latin1, doc JSON, big LONGTEXT, bits BIT(1), flags SET('a','b','c'))"
    )
    execute("SET SESSION sql_mode = ''")
    digits = "9" * 35 + "." + "8" * 30
    deep = "[" * 30 + "1" + "]" * 30
    execute(
        f"INSERT INTO extremes VALUES (1, {digits}, 18446744073709551615, '0000-00-00', '0000-00-00 00:00:00', 'café', "
        f"'{deep}', REPEAT('ä', 5000000), b'1', 'a,c')"
    )
    execute("INSERT INTO extremes VALUES (2, NULL, NULL, '2026-00-10', NULL, _latin1 x'81E9FF', NULL, '', NULL, '')")
    endpoint = serve(plane, "extremes", address("mysql", mariadb_database), mariadb_database.schema)

    first, second = endpoint.query("extremes { id d u day at latin doc bits flags }")
    big = endpoint.query("extremes(id = 1) { big }")
    by_value = endpoint.query("extremes(u = 18446744073709551615) { id }")

    assert first["d"] == Decimal(digits)
    assert first["u"] == 18446744073709551615
    assert first["day"] is None
    assert first["at"] is None
    assert first["latin"] == "café"
    assert json.dumps(first["doc"]) == deep
    assert first["bits"] is True
    assert first["flags"] == ["a", "c"]
    assert second["latin"].endswith("éÿ")
    assert second["day"] is None
    assert second["flags"] == []
    assert big == [{"big": "ä" * 5_000_000}]
    assert by_value == [{"id": 1}]


def test_a_schema_of_a_thousand_tables_is_built_and_served(plane: Plane, tmp_path: Path) -> None:
    path = tmp_path / "thousand.sqlite"
    with sqlite3.connect(path) as connection:
        for index in range(1000):
            parent = f", parent_id INTEGER REFERENCES t{index - 1}(id)" if index else ""
            connection.execute(f"CREATE TABLE t{index} (id INTEGER PRIMARY KEY, label TEXT{parent})")
            connection.execute(f"INSERT INTO t{index} VALUES (1, 'row of {index}'{', 1' if index else ''})")
    connection.close()
    endpoint = serve(plane, "thousand", {"backend": "sqlite", "mysqlHost": str(path)}, "main")

    assert endpoint.query("t999 { label parent { label parent { label } } }") == [
        {"label": "row of 999", "parent": {"label": "row of 998", "parent": {"label": "row of 997"}}}
    ]


def test_keys_that_point_nowhere_to_themselves_and_in_circles_are_answered(plane: Plane, tmp_path: Path) -> None:
    path = tmp_path / "circles.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE node (id INTEGER PRIMARY KEY, up_id INTEGER REFERENCES node(id));
            CREATE TABLE hen (id INTEGER PRIMARY KEY, first_egg_id INTEGER REFERENCES egg(id));
            CREATE TABLE egg (id INTEGER PRIMARY KEY, mother_id INTEGER REFERENCES hen(id));
            CREATE TABLE keyless (word TEXT);
            CREATE TABLE empty (id INTEGER PRIMARY KEY, word TEXT);
            INSERT INTO node VALUES (1, 1), (2, 1), (3, 99), (4, NULL);
            INSERT INTO hen VALUES (1, 1);
            INSERT INTO egg VALUES (1, 1);
            INSERT INTO keyless VALUES ('b'), ('a'), (NULL), ('a');
            """
        )
    connection.close()
    endpoint = serve(plane, "circles", {"backend": "sqlite", "mysqlHost": str(path)}, "main")

    assert endpoint.query("node { id up { id up { id } } }") == [
        {"id": 1, "up": {"id": 1, "up": {"id": 1}}},
        {"id": 2, "up": {"id": 1, "up": {"id": 1}}},
        {"id": 3, "up": None},
        {"id": 4, "up": None},
    ]
    assert endpoint.query("node(id = 1) { node { id } }") == [{"node": [{"id": 1}, {"id": 2}]}]
    assert endpoint.query("hen { first_egg { mother { egg { id } } } }") == [
        {"first_egg": {"mother": {"egg": [{"id": 1}]}}}
    ]
    assert endpoint.query("keyless { word }") == [{"word": "b"}, {"word": "a"}, {"word": None}, {"word": "a"}]
    assert endpoint.query("empty { * }") == []


def test_an_empty_schema_and_a_missing_file_fail_the_build_and_say_what_to_do(plane: Plane, tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    sqlite3.connect(path).close()
    path.touch()
    empty = plane.register("empty-schema", {"backend": "sqlite", "mysqlHost": str(path)}, "main")
    missing = plane.register("missing", {"backend": "sqlite", "mysqlHost": str(tmp_path / "no.sqlite")}, "main")

    for database in (empty, missing):
        plane.act(database, "provision")
        found = plane.database(database)
        build = plane.history(database)["builds"][0]
        assert found["status"] == "failed"
        assert found["lastError"]
        assert build["status"] == "failed"
        assert build["deployable"] is False
        assert plane.build_log(database, build["id"])
