"""What the sources say of their collations, against the servers' own comparisons."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from reflexdb.build.plan import make_plan
from reflexdb.model.folding import Folding
from reflexdb.model.not_served import Cause
from reflexdb.model.schema import Backend, SourceSchema
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from tests.servers.plugin import TestDatabase

POOL = [
    *map(chr, range(0x20, 0x250)),
    *map(chr, range(0x370, 0x400)),
    *map(chr, range(0x1E00, 0x1F00)),
    *map(chr, (0x300, 0x301, 0x308, 0x200B, 0xFB01, 0x1F600, 0x1D400, 0x4E00, 0xAC00, 0xAC01, 0x1100, 0x1161, 0x11A8)),
    *map(chr, (0xFFFD, 0xE000, 0xFDFA, 0x10400, 0x10428, 0x3042, 0x30A2, 0x5D0, 0x20001, 0x2F800, 0x4E3D)),
]
PAIRS = 1_500
Compare = Callable[[Sequence[tuple[str, str]]], list[bool]]


def folded(folding: Folding, text: str, known: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    elements: list[int] = []
    for character in text:
        if character not in known:
            known[character] = folding.of(ord(character))
        elements += known[character]
    while folding.pads and elements and elements[-1] == folding.blank():
        elements.pop()
    return tuple(elements)


def agrees(folding: Folding, compare: Compare, pool: Sequence[str], blanks: Sequence[str] = ("", "", " ", "  ")) -> int:
    """Compare made-up pairs, many of them equal here or nearly so; answers how many were equal."""
    dice, known = random.Random(folding.name), dict[str, tuple[int, ...]]()
    alike: dict[tuple[int, ...], list[str]] = {}
    for character in pool:
        alike.setdefault(folded(folding, character, known), []).append(character)
    pairs = []
    for _ in range(PAIRS):
        text = [dice.choice(pool) for _ in range(dice.randrange(5))]
        other = [
            dice.choice(alike[folded(folding, character, known)])
            if dice.random() < 0.7
            else dice.choice([character, dice.choice(pool)])
            for character in text
        ]
        pairs.append(("".join(text) + dice.choice(blanks), "".join(other) + dice.choice(blanks)))
    said = compare(pairs)
    found = [folded(folding, text, known) == folded(folding, other, known) for text, other in pairs]
    assert [pair for pair, here, there in zip(pairs, found, said, strict=True) if here != there] == []
    return sum(found)


def described(address: SourceAddress, schema: str) -> SourceSchema:
    with closing(open_source(address)) as source:
        return source.introspect(schema)


def mysql_schema(database: TestDatabase, kind: str) -> SourceSchema:
    database.execute(f"CREATE TABLE country (code {kind} PRIMARY KEY)")
    database.execute(
        f"CREATE TABLE city (id int PRIMARY KEY, country {kind}, FOREIGN KEY (country) REFERENCES country (code))"
    )
    address = SourceAddress(Backend.MYSQL, database.host, database.port, database.user, database.password)
    return described(address, database.schema)


@pytest.mark.parametrize(
    "collation",
    [
        "utf8mb4_general_ci",
        "utf8mb4_unicode_ci",
        "utf8mb4_unicode_520_ci",
        "utf8mb4_swedish_ci",
        "utf8mb4_bin",
        "utf8mb3_general_ci",
        "latin1_swedish_ci",
        "latin1_german2_ci",
    ],
)
def test_collations_of_mysql_and_mariadb_agree(binlog_database: TestDatabase, collation: str) -> None:
    character_set = collation.partition("_")[0]
    schema = mysql_schema(binlog_database, f"varchar(9) CHARACTER SET {character_set} COLLATE {collation}")
    (folding,) = schema.foldings
    assert folding.name == collation

    def compare(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        one = f"CONVERT(%s USING {character_set}) COLLATE {collation}"
        said: list[bool] = []
        for at in range(0, len(pairs), 250):
            part = pairs[at : at + 250]
            columns = ", ".join(f"{one} = {one}" for _ in part)
            ((*row,),) = binlog_database.execute(f"SELECT {columns}", *(text for pair in part for text in pair))
            said += map(bool, row)
        return said

    limit = {"latin1": 0x100, "utf8mb3": 0x10000}.get(character_set, 0x110000)
    pool = [character for character in POOL if ord(character) < limit and not 0x80 <= ord(character) < 0xA0]
    assert agrees(folding, compare, pool) > PAIRS / 5


@pytest.mark.parametrize("collation", ["utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_0900_as_ci"])
def test_collations_of_mysql_agree(mysql_database: TestDatabase, collation: str) -> None:
    test_collations_of_mysql_and_mariadb_agree(mysql_database, collation)


@pytest.mark.parametrize(
    ("kind", "collation"),
    [
        ("varbinary(9)", ""),
        ("varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", "utf8mb4_general_ci"),
        ("int", ""),
    ],
)
def test_columns_of_keys_have_foldings(binlog_database: TestDatabase, kind: str, collation: str) -> None:
    plan = make_plan(mysql_schema(binlog_database, kind), None).plan
    columns = [plan.tables[0].columns[1], plan.tables[1].columns[0]]
    assert [column.collation for column in columns] == [collation] * 2
    assert [folding.name for folding in plan.foldings] == ([collation] if collation else [])
    assert type(plan).from_json(plan.to_json()) == plan


def test_a_collation_that_joins_letters_is_named(binlog_database: TestDatabase) -> None:
    kind = "varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci"
    plan = make_plan(mysql_schema(binlog_database, kind), None).plan
    (entry,) = plan.not_served
    assert entry.cause is Cause.NOT_COMPARABLE
    assert "utf8mb4_czech_ci" in entry.reason
    assert plan.tables[0].forward == ()


@pytest.mark.parametrize(("kind", "collation"), [("citext", "citext"), ("character(9)", "bpchar")])
def test_types_of_postgres_agree(postgres_database: TestDatabase, kind: str, collation: str) -> None:
    postgres_database.execute("CREATE EXTENSION citext")
    postgres_database.execute(f"CREATE TABLE country (code {kind} PRIMARY KEY)")
    address = SourceAddress(
        Backend.POSTGRES,
        postgres_database.host,
        postgres_database.port,
        postgres_database.user,
        postgres_database.password,
    )
    (folding,) = described(address, postgres_database.schema).foldings
    assert folding.name == collation

    def compare(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        lefts, rights = [left for left, _ in pairs], [right for _, right in pairs]
        kinds = kind.replace("(9)", "(20)")
        rows = postgres_database.execute(
            f"SELECT a::{kinds} = b::{kinds} FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY u(a, b, n) ORDER BY n",
            lefts,
            rights,
        )
        return [bool(equal) for (equal,) in rows]

    assert agrees(folding, compare, POOL) > PAIRS / 20


def test_a_nondeterministic_collation_is_named(postgres_database: TestDatabase) -> None:
    for statement in (
        "CREATE COLLATION plain (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
        "CREATE TABLE country (code text COLLATE plain PRIMARY KEY)",
        "CREATE TABLE city (id int PRIMARY KEY, country text COLLATE plain REFERENCES country (code))",
    ):
        postgres_database.execute(statement)
    address = SourceAddress(
        Backend.POSTGRES,
        postgres_database.host,
        postgres_database.port,
        postgres_database.user,
        postgres_database.password,
    )
    (entry,) = make_plan(described(address, postgres_database.schema), None).plan.not_served
    assert (entry.table, entry.cause) == ("city", Cause.NOT_COMPARABLE)
    assert '"plain"' in entry.reason


@pytest.mark.parametrize("collation", ["NOCASE", "RTRIM", "nocase"])
def test_collations_of_sqlite_agree(tmp_path: Path, collation: str) -> None:
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"CREATE TABLE country (code TEXT COLLATE {collation} PRIMARY KEY);"
            "CREATE TABLE city (id INTEGER PRIMARY KEY, country TEXT REFERENCES country (code));"
        )
        plan = make_plan(described(SourceAddress(Backend.SQLITE, str(path), None), "main"), None).plan
        assert [plan.tables[0].columns[1].folding, plan.tables[1].columns[0].folding] == [0, 0]

        def compare(pairs: Sequence[tuple[str, str]]) -> list[bool]:
            query = f"SELECT ? = ? COLLATE {collation}"
            return [bool(connection.execute(query, pair).fetchone()[0]) for pair in pairs]

        assert agrees(plan.foldings[0], compare, POOL) > PAIRS / 20


@pytest.mark.parametrize("collation", ["OWN", "NOCASE"])
def test_keys_that_compare_differently_are_named(tmp_path: Path, collation: str) -> None:
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.create_collation("OWN", lambda a, b: (a > b) - (a < b))
        connection.executescript(
            f"CREATE TABLE tag (name TEXT COLLATE {collation} PRIMARY KEY);"
            "CREATE TABLE post_tag (post INTEGER, tag TEXT REFERENCES tag (name), PRIMARY KEY (post, tag));"
        )
    (entry,) = make_plan(described(SourceAddress(Backend.SQLITE, str(path), None), "main"), None).plan.not_served
    assert (entry.table, entry.cause) == ("post_tag", Cause.NOT_COMPARABLE)
    assert collation in entry.reason
