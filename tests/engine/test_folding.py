"""Keys that compare by a collation: joined, found and changed by it, whatever their bytes are."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.folding import folding
from reflexdb.model.plan import ForwardRelation, Plan, PlannedColumn, PlannedTable, ReverseRelation
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from reflexdb.sources.changes import Op, Row, Rows
from reflexdb.sync.change_frames import changes, table_find, table_keys
from tests.engine.harness import Cli, bodies, build

A_TO_Z = {ord(letter): (ord(letter.lower()),) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
LETTERS = {**A_TO_Z, ord("ß"): (ord("s"), ord("s")), 0xA0: (0x20,), 0x200B: ()}
SYLLABLES = {
    0xAC00 + lead * 588 + vowel * 28 + trail: tuple(
        part for part in (0x1100 + lead, 0x1161 + vowel, 0x11A7 + trail) if part != 0x11A7
    )
    for lead in range(19)
    for vowel in range(21)
    for trail in range(28)
}
FOLDED = folding("letters", {**LETTERS, **SYLLABLES}, pads=True)
COUNTRIES, CITIES, SIGHTS = range(3)


def key(name: str, nullable: bool = False) -> PlannedColumn:
    return PlannedColumn(name, name, Storage.TEXT, "text", nullable, folding=0, collation="letters")


PLAN = Plan(
    Backend.MYSQL,
    "main",
    (
        PlannedTable(
            "countries",
            "countries",
            (key("code"), key("alias", nullable=True)),
            (0,),
            reverse=(ReverseRelation("cities", CITIES, 0), ReverseRelation("sights", SIGHTS, 0)),
        ),
        PlannedTable(
            "cities",
            "cities",
            (PlannedColumn("id", "id", Storage.I32, "int", False), key("country", nullable=True)),
            (0,),
            (ForwardRelation("land", (1,), COUNTRIES, (0,)),),
        ),
        PlannedTable(
            "sights",
            "sights",
            (
                PlannedColumn("id", "id", Storage.I32, "int", False),
                key("alias", nullable=True),
                PlannedColumn("name", "name", Storage.TEXT, "text", True),
            ),
            (0,),
            (ForwardRelation("land", (1,), COUNTRIES, (1,)),),
        ),
    ),
    foldings=(FOLDED,),
)
ROWS: dict[str, list[dict[str, Any]]] = {
    "countries": [{"code": "US", "alias": "Strasse"}, {"code": "de ", "alias": "가"}],
    "cities": [
        {"id": 1, "country": "us"},
        {"id": 2, "country": "Us  "},
        {"id": 3, "country": "DE\u00a0"},
        {"id": 4, "country": "fr"},
        {"id": 5, "country": None},
    ],
    "sights": [
        {"id": 1, "alias": "STRA\u200bßE", "name": "us"},
        {"id": 2, "alias": "\u1100\u1161", "name": "US"},
        {"id": 3, "alias": "각", "name": None},
    ],
}


@pytest.fixture(scope="module")
def program(pytestconfig: pytest.Config) -> Path:
    return build(PLAN, pytestconfig.cache.mkdir("engine"))


@pytest.fixture
def cli(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load(ROWS)
    yield process
    process.close()


def joined(cli: Cli) -> dict[int, Any]:
    found = {row["id"]: row["land"] and row["land"]["code"] for row in cli.rows("cities { id land { code } }")}
    backwards = {
        city["id"]: country["code"]
        for country in cli.rows("countries { code cities { id } }")
        for city in country["cities"]
    }
    assert backwards == {city: code for city, code in found.items() if code is not None}
    return found


def test_relations_join_by_the_collation(cli: Cli) -> None:
    assert joined(cli) == {1: "US", 2: "US", 3: "de ", 4: None, 5: None}
    assert cli.rows("sights { id land { code } }") == [
        {"id": 1, "land": {"code": "US"}},
        {"id": 2, "land": {"code": "de "}},
        {"id": 3, "land": None},
    ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('country = "uS"', [1, 2]),
        ('country != "us"', [3, 4]),
        ('NOT country = "us"', [3, 4]),
        ('country IN ("de", "FR", "DE")', [3, 4]),
        ('country NOT IN ("de", "FR")', [1, 2]),
        ('country = "u"', []),
        ('country = ""', []),
        ('country LIKE "u%"', [1]),
        ('country > "us"', []),
        ('country >= "us" AND country <= "us"', [1]),
        ('land.code = "us "', [1, 2]),
    ],
)
def test_equality_is_the_collations_and_order_is_not(cli: Cli, condition: str, expected: list[int]) -> None:
    assert [row["id"] for row in cli.rows(f"cities({condition}) {{ id }}")] == expected


@pytest.mark.parametrize("code", ["us", "US ", "uS\u00a0", "\u200bus"])
def test_a_row_is_found_by_any_equal_key(cli: Cli, code: str) -> None:
    assert cli.rows(f'countries(code = "{code}") {{ code }}') == [{"code": "US"}]
    assert cli.rows(f'countries(code IN ("{code}", "us")) {{ code }}') == [{"code": "US"}]


def test_columns_of_no_key_compare_by_their_bytes(cli: Cli) -> None:
    assert cli.rows('sights(name = "us") { id }') == [{"id": 1}]


def change(cli: Cli, table: int, op: Op, before: Row | None, after: Row | None) -> None:
    cli.do("X", struct.pack("<Q", 0))
    for frame in changes(PLAN.tables[table], Rows(table, [op], [before], [after])):
        cli.do("D", b"".join(bytes(part) for part in frame.parts))
    cli.do("E")


def test_changes_join_by_the_collation(cli: Cli) -> None:
    change(cli, CITIES, Op.INSERT, None, (6, "FR "))
    assert joined(cli)[6] is None
    change(cli, COUNTRIES, Op.INSERT, None, ("fR", None))
    assert joined(cli) == {1: "US", 2: "US", 3: "de ", 4: "fR", 5: None, 6: "fR"}
    change(cli, COUNTRIES, Op.UPDATE, ("US",), ("us", None))
    assert joined(cli) == {1: "us", 2: "us", 3: "de ", 4: "fR", 5: None, 6: "fR"}
    change(cli, COUNTRIES, Op.DELETE, ("DE",), None)
    assert joined(cli) == {1: "us", 2: "us", 3: None, 4: "fR", 5: None, 6: "fR"}
    change(cli, CITIES, Op.UPDATE, (4,), (4, "uS"))
    assert joined(cli) == {1: "us", 2: "us", 3: None, 4: "us", 5: None, 6: "fR"}


def test_rows_of_equal_keys_are_replaced_in_place(cli: Cli) -> None:
    cli.do("X", struct.pack("<Q", 0))
    cli.do("a", struct.pack("<II", COUNTRIES, 0))
    for body in bodies(PLAN, COUNTRIES, [{"code": "de"}, {"code": "fr"}, {"code": "us", "alias": "x"}]):
        cli.do("R", body)
    cli.do("E")

    assert cli.rows("countries { code alias }") == [
        {"code": "de", "alias": None},
        {"code": "fr", "alias": None},
        {"code": "us", "alias": "x"},
    ]
    assert joined(cli) == {1: "us", 2: "us", 3: "de", 4: "fr", 5: None}


@pytest.mark.parametrize("asked", [["US"], ["us "], ["US", "us"]])
def test_a_named_row_comes_with_an_equal_key(cli: Cli, asked: list[str]) -> None:
    cli.do("X", struct.pack("<Q", 0))
    frame = table_keys(COUNTRIES, PLAN.tables[COUNTRIES], [(code,) for code in asked])
    cli.do("k", b"".join(bytes(part) for part in frame.parts))
    for body in bodies(PLAN, COUNTRIES, [{"code": "us", "alias": "x"}]):
        cli.do("R", body)
    cli.do("E")

    assert cli.rows("countries { code }") == [{"code": "de "}, {"code": "us"}]
    assert joined(cli) == {1: "us", 2: "us", 3: "de ", 4: None, 5: None}


def test_rows_that_refer_to_an_equal_key_are_found(cli: Cli) -> None:
    cli.do("X", struct.pack("<Q", 0))
    frame = table_find(CITIES, PLAN.tables[CITIES], [1], [("uS ",), ("De",)], [0], 100)
    status, answer = cli.order("f", b"".join(bytes(part) for part in frame.parts))
    assert (status, json.loads(answer)["rows"]) == (0, [[1], [2], [3]])


def test_two_equal_keys_are_refused(cli: Cli) -> None:
    cli.begin()
    cli.send(COUNTRIES, [{"code": "us"}, {"code": "US "}])
    cli.send(CITIES, [])
    cli.send(SIGHTS, [])

    assert cli.refused("C").startswith("invalid_rows: Table `countries`")
