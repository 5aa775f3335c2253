"""Relations join as the keys of the source do, whatever takes different bytes for equal there."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import dataclass
from typing import Any

import psycopg
import pymysql
import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait
from tests.servers.plugin import TestDatabase

CODES = [
    "us",
    "US",
    "uS ",
    "é",
    "E",
    "ß",
    "ss",
    "Ǆ",
    "ﬁ",
    "fi",
    "İ",
    "i",
    "각",
    "\U0001d518",
    "u\u0308",
    "ü",
    "'",
    "\\",
]


@dataclass(frozen=True)
class Kind:
    type: str
    equal: str
    """Another key to the source's eyes than `us`, with other bytes."""
    before: str = ""


def followed(follow: Follow, source: tuple[Backend, Any], kind: Kind) -> Place:
    return follow(
        source,
        *([kind.before] if kind.before else []),
        f"CREATE TABLE country (code {kind.type} PRIMARY KEY)",
        f"CREATE TABLE city (id int PRIMARY KEY, country {kind.type}, "
        "FOREIGN KEY (country) REFERENCES country (code) ON UPDATE CASCADE)",
        "INSERT INTO country VALUES ('us'), ('de ')",
        f"INSERT INTO city VALUES (1, '{kind.equal}'), (2, 'us'), (3, NULL), (4, 'de ')",
    )


def check(place: Place) -> None:
    """Joined here as the source joins them, both ways and in a filter."""
    database = place.database
    truth = database.execute(
        "SELECT city.id, country.code FROM city LEFT JOIN country ON country.code = city.country ORDER BY city.id"
    )
    expected = [{"id": number, "land": code} for number, code in truth]

    def served() -> list[dict[str, Any]]:
        rows = place.ask("city { id country { code } }")
        return [{"id": row["id"], "land": row["country"] and row["country"]["code"]} for row in rows]

    wait(lambda: served() == expected, "every city has its country")
    back = {city["id"]: row["code"] for row in place.ask("country { code city { id } }") for city in row["city"]}
    assert back == {number: code for number, code in truth if code is not None}
    for (code,) in database.execute("SELECT DISTINCT country FROM city WHERE country IS NOT NULL"):
        found = [row["id"] for row in place.ask(f"city(country = {json.dumps(code)}) {{ id }}")]
        same = database.execute("SELECT id FROM city WHERE country = %s ORDER BY id", code)
        assert found == [number for (number,) in same]


def random_changes(place: Place, seed: int) -> None:
    dice = random.Random(seed)
    database = place.database
    for _ in range(6):
        for _ in range(12):
            code, other = dice.choice(CODES), dice.choice(CODES)
            statement = dice.choice(
                (
                    ("INSERT INTO country VALUES (%s)", (code,)),
                    ("INSERT INTO country VALUES (%s)", (code,)),
                    ("UPDATE country SET code = %s WHERE code = %s", (code, other)),
                    ("DELETE FROM country WHERE code = %s", (code,)),
                    ("INSERT INTO city VALUES (%s, %s)", (dice.randrange(1000), code)),
                    ("INSERT INTO city VALUES (%s, %s)", (dice.randrange(1000), code)),
                    ("UPDATE city SET country = %s WHERE id %% 7 = %s", (code, dice.randrange(7))),
                )
            )
            with contextlib.suppress(pymysql.err.IntegrityError, psycopg.IntegrityError):  # the keys that are there
                database.execute(statement[0], *statement[1])
        check(place)


@pytest.mark.parametrize(
    ("collation", "equal"), [("utf8mb4_general_ci", "ÚS "), ("utf8mb4_unicode_ci", "uS"), ("utf8mb4_bin", "us  ")]
)
def test_mysql_and_mariadb_join_by_collation(
    follow: Follow, binlog_database: TestDatabase, collation: str, equal: str
) -> None:
    kind = Kind(f"varchar(9) CHARACTER SET utf8mb4 COLLATE {collation}", equal)
    place = followed(follow, (Backend.MYSQL, binlog_database), kind)
    check(place)
    random_changes(place, 1)
    place.check()


def test_the_default_of_mysql_joins(follow: Follow, mysql_database: TestDatabase) -> None:
    place = followed(follow, (Backend.MYSQL, mysql_database), Kind("varchar(9)", "Ús"))
    random_changes(place, 2)


@pytest.mark.parametrize(
    "kind", [Kind("varchar(9)", "us"), Kind("character(9)", "us  "), Kind("citext", "uS", "CREATE EXTENSION citext")]
)
def test_postgres_joins_by_type(follow: Follow, postgres_database: TestDatabase, kind: Kind) -> None:
    place = followed(follow, (Backend.POSTGRES, postgres_database), kind)
    check(place)
    random_changes(place, 3)
    place.check()
