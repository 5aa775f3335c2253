"""Rows that the stream does not tell whole are asked for by their keys: the others stay, and no table is read."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import wait
from tests.following.writers import Writers, numbers, read_again

WHERE = "version: 1\ntables:\n  - name: notes\n    where: \"state <> 'hidden'\"\n"
NOTES = "CREATE TABLE notes (id int PRIMARY KEY, state varchar(20) NOT NULL, body varchar(40))"


def test_rows_that_enter_and_leave_where_are_read_alone(follow: Follow, source: tuple[Backend, Any]) -> None:
    hide = "CASE WHEN seq % 2 = 0 THEN 'hidden' ELSE 'open' END, 'text'"
    place = follow(source, NOTES, numbers("notes", f"seq, {hide}", 2_000), config=WHERE)
    place.execute("UPDATE notes SET state = 'open' WHERE id = 2")
    wait(lambda: place.ask("notes(id = 2) { body }"), "a row that enters")
    place.execute("UPDATE notes SET state = 'hidden' WHERE id IN (1, 3)")
    wait(lambda: not place.ask("notes(id IN (1, 3)) { body }"), "rows that leave")
    place.execute("UPDATE notes SET id = -id, body = 'moved' WHERE id IN (5, 6)", "DELETE FROM notes WHERE id = 7")
    place.execute("INSERT INTO notes VALUES (9001, 'open', 'new'), (9002, 'hidden', 'new')")
    wait(lambda: place.ask("notes(id = 9001) { body }"), "a new row")
    place.check()

    assert read_again(place) == (0, 10)


def test_more_rows_than_worth_asking_for_are_read_whole(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, NOTES, numbers("notes", "seq, 'open', 'text'", 2_000), config=WHERE)
    place.execute(numbers("notes", "seq + 10000, 'open', 'text'", 9_000), "UPDATE notes SET body = 'more'")
    place.check()

    assert read_again(place)[0] == 1


def test_computed_columns_come_with_their_rows_alone(follow: Follow, source: tuple[Backend, Any]) -> None:
    computed = "CREATE TABLE sums (a int, b int, total int GENERATED ALWAYS AS (a + b) {}, PRIMARY KEY (a, b))"
    place = follow(
        source, computed.format("STORED"), numbers("sums (a, b)", "seq, seq * 2", 2_000), "CREATE TABLE other (id int)"
    )
    place.execute("UPDATE sums SET b = 0 WHERE a = 10", "DELETE FROM sums WHERE a = 11")
    place.execute("INSERT INTO sums (a, b) VALUES (-1, -1)")
    place.check()

    assert read_again(place) in ((0, 4), (0, 0))  # where the stream has them nothing is read
    assert place.ask("sums(a = 10) { b total }") == [{"b": 0, "total": 10}]


def test_parts_of_json_values_come_with_their_rows(follow: Follow, mysql_database: Any) -> None:
    place = follow(
        (Backend.MYSQL, mysql_database),
        "CREATE TABLE docs (id int PRIMARY KEY, doc json)",
        "INSERT INTO docs VALUES (1, JSON_OBJECT('a', 1, 'b', REPEAT('x', 300))), (2, '[1, 2, 3]')",
    )
    partly = "SET binlog_row_value_options = 'PARTIAL_JSON'"
    place.execute(
        partly, "UPDATE docs SET doc = JSON_SET(doc, '$.a', 5) WHERE id = 1", "INSERT INTO docs VALUES (3, '{}')"
    )
    place.check()

    assert read_again(place) in ((0, 1), (0, 2))  # the new row comes with it, or after it


KEYS = {
    Backend.MYSQL: {
        "char(36)": ("'ä\\'\\\\'", "'Ä'", "'\\n\\t'"),
        "datetime(6)": ("'2024-02-29 12:00:00.000001'", "'1000-01-01'", "'9999-12-31 23:59:59.999999'"),
        "timestamp(3)": ("'2024-02-29 12:00:00.001'", "'1970-01-02'", "'2037-12-31 23:59:59.999'"),
        "date": ("'2024-02-29'", "'1000-01-01'", "'9999-12-31'"),
        "binary(4)": ("x'00ff'", "x''", "x'275c'"),
        "bigint unsigned": ("18446744073709551615", "0", "7"),
        "decimal(20,3)": ("12345678901234567.125", "0.001", "-1"),
        "uuid": ("'6ccd780c-baba-1026-9564-5b8c656024db'", "'6ccd780c-baba-1026-9564-5b8c656024dc'", "uuid()"),
        "enum('a','B''s','')": ("'a'", "'B''s'", "''"),
        "double": ("0.1", "1e300", "-0.5"),
    },
    Backend.POSTGRES: {
        "text": ("'ä''\\'", "'Ä'", "E'\\n\\t'"),
        "timestamp": ("'2024-02-29 12:00:00.000001'", "'0001-01-01'", "'9999-12-31 23:59:59.999999'"),
        "timestamptz": ("'2024-02-29 12:00:00.001+02'", "'1970-01-02Z'", "'2037-12-31 23:59:59.999Z'"),
        "date": ("'2024-02-29'", "'0001-01-01'", "'9999-12-31'"),
        "bytea": ("'\\x00ff'", "''", "'\\x275c'"),
        "numeric": ("12345678901234567.125", "0.001", "'NaN'"),
        "uuid": (
            "'6ccd780c-baba-1026-9564-5b8c656024db'",
            "'6ccd780c-baba-1026-9564-5b8c656024dc'",
            "gen_random_uuid()",
        ),
        "char(5)": ("'a'", "'B''s'", "''"),
        "double precision": ("0.1", "1e300", "-0.5"),
        "boolean": ("true", "false", "true"),
        "int[]": ("'{1,2}'", "'{}'", "'{3}'"),
    },
}


def test_rows_are_found_by_keys_of_any_type(follow: Follow, source: tuple[Backend, Any]) -> None:
    kinds = KEYS[source[0]]
    names = {f"t{number}": kind for number, kind in enumerate(kinds)}
    config = "version: 1\ntables:\n" + "".join(f"  - name: {name}\n    where: n <> 0\n" for name in names)
    made = [
        f"CREATE TABLE {name} (k {kind}, v int, n int NOT NULL, PRIMARY KEY (k, v))" for name, kind in names.items()
    ]
    rows = [
        f"INSERT INTO {name} VALUES ({value}, {v}, 1)"
        for name, kind in names.items()
        for v, value in enumerate(kinds[kind])
    ]
    place = follow(source, *made, *rows, config=config)
    place.execute(*(f"UPDATE {name} SET n = 0 WHERE v = 0" for name in names))
    place.execute(*(f"DELETE FROM {name} WHERE v = 1" for name in names))
    place.execute(*(f"UPDATE {name} SET n = 2 WHERE v = 2" for name in names))
    place.check()

    for name in names:
        assert place.ask(f"{name} {{ v n }}") == [{"v": 2, "n": 2}], names[name]


MADE = (
    "CREATE TABLE purses (id int PRIMARY KEY, cents int NOT NULL, twice int GENERATED ALWAYS AS (cents * 2) STORED)",
    "CREATE TABLE shown (id int PRIMARY KEY, cents int NOT NULL)",
    "CREATE TABLE named (name varchar(20) NOT NULL, n int NOT NULL, PRIMARY KEY (name, n))",
)
MADE_CONFIG = (
    "version: 1\ntables:\n  - name: purses\n  - name: shown\n    where: id > 0\n"
    "  - name: named\n    where: n % 3 <> 0\n"
)
SUM = "purses { total: sum(cents) } shown { total: sum(cents) }"


def step(dice: random.Random) -> list[str]:
    """Statements of one transaction; what purses and shown have together stays."""
    one, other, cents = dice.randrange(1, 41), dice.randrange(1, 41), dice.randint(1, 9)
    name, renamed, n = dice.choice("aAbBäÄ"), dice.choice("aAbBäÄ"), dice.randrange(30)
    named = f"named WHERE name = '{name}'"
    return dice.choice(
        (
            [
                f"UPDATE purses SET cents = cents - {cents} WHERE id = {one}",
                f"UPDATE shown SET cents = cents + {cents} WHERE id = {other}",
            ],
            [
                f"UPDATE shown SET cents = cents + {cents} WHERE id = {one}",
                f"UPDATE shown SET cents = cents - {cents} WHERE id = {other}",
            ],
            [f"INSERT INTO shown VALUES ({-one}, 0)", f"UPDATE named SET n = n + 1 WHERE name = '{name}' AND n = {n}"],
            [f"DELETE FROM shown WHERE id IN ({-one}, {100 + one})"],
            [f"UPDATE shown SET id = 100 - id WHERE id IN ({-one}, {100 + other})"],
            [f"INSERT INTO named VALUES ('{name}', {n})", f"INSERT INTO named VALUES ('{renamed}', {n + 1})"],
            [f"DELETE FROM {named} AND n < {n}"],
            [f"UPDATE named SET name = '{renamed}' WHERE name = '{name}' AND n BETWEEN {n} AND {n + 3}"],
        )
    )


@pytest.mark.timeout(300)
def test_rows_asked_for_beside_writers_fit_all_others(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(
        source,
        *MADE,
        numbers("purses (id, cents)", "seq, 100", 40),
        numbers("shown", "seq, 100", 40),
        config=MADE_CONFIG,
    )
    writers = Writers(place, 17, step)

    def look() -> None:
        found = place.ask(SUM)
        assert found["purses"]["total"] + found["shown"]["total"] == 8_000, found

    for _ in range(4):
        writers.run(1.5, look)
        place.check()
    print(writers.committed, "transactions", writers.looks, "looks", read_again(place), "tables and rows read again")

    assert read_again(place)[0] == 0
    assert read_again(place)[1] > 0
