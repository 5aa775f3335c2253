"""Each storage: as JSON, and compared with literals that fit and that do not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.storage import Storage
from tests.engine.harness import Cli
from tests.engine.plans import KINDS, PLAN

UUID = uuid.UUID("3f2b8c1e-5d7a-4e9b-8c1d-2a3b4c5d6e7f")
EARLY = date(1, 1, 1)
VALUES: list[tuple[str, Storage, Any, str]] = [
    ("bool", Storage.BOOL, True, "true"),
    ("i16", Storage.I16, -32768, "-32768"),
    ("i32", Storage.I32, 2147483647, "2147483647"),
    ("i64", Storage.I64, -9223372036854775808, "-9223372036854775808"),
    ("u64", Storage.U64, 18446744073709551615, "18446744073709551615"),
    ("f32", Storage.F32, 0.1, "0.1"),
    ("f64", Storage.F64, 1e-7, "1e-07"),
    ("nan", Storage.F64, float("nan"), "null"),
    ("inf", Storage.F32, float("inf"), "null"),
    ("decimal", Storage.DECIMAL, "-12.500000000000000000000000000000", "-12.500000000000000000000000000000"),
    ("decimal0", Storage.DECIMAL, "007", "7"),
    ("decimalnan", Storage.DECIMAL, "NaN", "null"),
    ("decimalinf", Storage.DECIMAL, "-Infinity", "null"),
    ("date", Storage.DATE, date(2026, 4, 15), '"2026-04-15"'),
    ("date1", Storage.DATE, EARLY, '"0001-01-01"'),
    ("datebc", Storage.DATE, -800_000, '"-0221-09-04"'),
    ("datefar", Storage.DATE, 4_000_000, '"+12921-08-18"'),
    ("dateinf", Storage.DATE, 2147483647, '"infinity"'),
    ("datetime", Storage.DATETIME, datetime.fromisoformat("2026-04-15T12:00:00"), '"2026-04-15T12:00:00"'),
    ("timestamp", Storage.TIMESTAMP, datetime(2026, 4, 15, 12, 0, 0, 500000, UTC), '"2026-04-15T12:00:00.5Z"'),
    ("before", Storage.TIMESTAMP, -1, '"1969-12-31T23:59:59.999999Z"'),
    ("never", Storage.TIMESTAMP, -(2**63), '"-infinity"'),
    ("first", Storage.DATETIME, -(2**63) + 1, '"-290308-12-21T19:59:05.224193"'),
    ("time", Storage.TIME, "-838:59:59", '"-838:59:59"'),
    ("text", Storage.TEXT, 'q"\\\x01\t\u2028é😀\x7f', '"q\\"\\\\\\u0001\\t\u2028é😀\x7f"'),
    ("empty", Storage.TEXT, "", '""'),
    ("enum", Storage.ENUM, "pro", '"pro"'),
    ("uuid", Storage.UUID, UUID.bytes, f'"{UUID}"'),
    ("json", Storage.JSON, '{"a": [1.10, null]}', '{"a": [1.10, null]}'),
    ("binary", Storage.BINARY, b"\x00\xff\x10a", '"AP8QYQ=="'),
    ("nothing", Storage.BINARY, b"", '""'),
    ("null", Storage.JSON, None, "null"),
]


@pytest.fixture(scope="module")
def kinds(program: Path) -> Iterator[Cli]:
    process = Cli(program, PLAN)
    process.load({"kinds": [{"id": name, storage.name.lower(): value} for name, storage, value, _ in VALUES]})
    yield process
    process.close()


@pytest.mark.parametrize(("name", "storage", "value", "expected"), VALUES, ids=[row[0] for row in VALUES])
def test_a_value_is_answered_as_the_table_of_types_says(
    kinds: Cli, name: str, storage: Storage, value: Any, expected: str
) -> None:
    field = storage.name.lower()

    assert kinds.raw(f"kinds(id = '{name}') {{ {field} }}") == (200, f'[{{"{field}":{expected}}}]')


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("i64 = -9223372036854775808", ["i64"]),
        ("i64 < -9223372036854775808", []),
        ("i64 <= -9223372036854775808", ["i64"]),
        ("u64 > 18446744073709551614", ["u64"]),
        ("u64 > 18446744073709551615", []),
        ("u64 > -1", ["u64"]),
        ("u64 IN (18446744073709551615, -1)", ["u64"]),
        ("i16 = -3.2768e4", ["i16"]),
        ("f32 = 0.1", ["f32"]),
        ("f32 > 0.1", ["inf"]),
        ("f64 = 1e-7", ["f64"]),
        ("f64 != 5", ["f64"]),
        ("f64 IS NOT NULL", ["f64", "nan"]),
        ("decimal = -12.5", ["decimal"]),
        ("decimal < 0", ["decimal", "decimalinf"]),
        ("decimal != 7", ["decimal", "decimalinf"]),
        ("date = '2026-04-15'", ["date"]),
        ("date < '0000-01-01'", ["datebc"]),
        ("date >= '+12921-08-18'", ["datefar", "dateinf"]),
        ("date = 'infinity'", ["dateinf"]),
        ("datetime = '2026-04-15 12:00'", ["datetime"]),
        ("timestamp = '2026-04-15T14:30:00.500+02:30'", ["timestamp"]),
        ("timestamp = '2026-04-15T12:00:00.5'", ["timestamp"]),
        ("timestamp > '2026-04-15'", ["timestamp"]),
        ("text = 'q\"\\\x01\t\u2028é😀\x7f'", ["text"]),
        ("text LIKE '%😀_'", ["text"]),
        ('text = ""', ["empty"]),
        ("uuid = '3F2B8C1E-5D7A-4E9B-8C1D-2A3B4C5D6E7F'", ["uuid"]),
        ("uuid IN ('3f2b8c1e5d7a4e9b8c1d2a3b4c5d6e7f')", ["uuid"]),
        ("binary = 'AP8QYQ=='", ["binary"]),
        ("binary > ''", ["binary"]),
        ("json IS NOT NULL", ["json"]),
        ("bool = true", ["bool"]),
        ("bool != 0", ["bool"]),
    ],
)
def test_values_compare_by_value(kinds: Cli, condition: str, expected: list[str]) -> None:
    assert sorted(row["id"] for row in kinds.rows(f"kinds({condition}) {{ id }}")) == sorted(expected)


@pytest.mark.parametrize(
    "condition",
    [
        "bool = 2",
        "bool = 'true'",
        "i32 = 1.5",
        "i32 = true",
        "i32 = '1'",
        "i32 LIKE '1%'",
        "f64 = '1'",
        "f64 = 1e400",
        "decimal = '1'",
        "decimal = 1e401",
        "date = '2026-02-30'",
        "date = '2026-04-15T00:00:00'",
        "date = 5",
        "datetime = '2026-04-15T00:00:00Z'",
        "timestamp = '2026-04-15T25:00:00Z'",
        "timestamp = '2026-04-15T00:00:00.0000001Z'",
        "timestamp = '+9999999-01-01'",
        "text = 5",
        "text LIKE 5",
        "enum = true",
        "uuid = '3f2b'",
        "uuid LIKE '3f%'",
        "json = '{}'",
        "binary = 'A'",
        "binary = 'AB=='",
    ],
)
def test_a_literal_that_does_not_fit_is_a_mismatch(kinds: Cli, condition: str) -> None:
    status, answer = kinds.ask(f"kinds({condition}) {{ id }}")

    assert (status, answer["error"]) == (400, "type_mismatch")
    assert f"`{condition.split()[0]}` ({condition.split()[0]} type)" in answer["message"]
    assert answer["column"] in (7, 7 + len(condition.split(" ", 2)[0]) + len(condition.split(" ", 2)[1]) + 2)


def test_folding_is_that_of_the_generator(kinds: Cli) -> None:
    import struct

    from tools.casefold import simple_fold

    status, table = kinds.order("F")
    assert status == 0
    folded = struct.unpack(f"<{0x110000}I", table)
    assert all(folded[code] == simple_fold(code) for code in range(0x110000))


def test_rows_keep_their_values_when_sorting_moves_them_between_chunks(cli: Cli) -> None:
    count = 70_000
    rows: list[dict[str, Any]] = [
        {"id": f"{n * 7919 % count:06}", "i32": n * 7919 % count, "text": None if n % 3 else "\n" * (n % 5)}
        for n in range(count)
    ]
    cli.begin()
    for index in range(len(PLAN.tables)):
        cli.send(index, rows if index == KINDS else [], 1 << 16)
    cli.do("C")

    answer = cli.rows("kinds { id i32 text }")
    assert [row["i32"] for row in answer] == list(range(count))
    assert answer == sorted(({"id": r["id"], "i32": r["i32"], "text": r["text"]} for r in rows), key=lambda r: r["id"])
    assert cli.rows("kinds(i32 BETWEEN 65535 AND 65536) { id }") == [{"id": "065535"}, {"id": "065536"}]
    assert len(cli.rows("kinds(text IS NULL) { id }")) == sum(1 for n in range(count) if n % 3)


def test_numbers_of_every_length_are_answered_digit_by_digit(cli: Cli) -> None:
    around = {sign * (10**power + d) for power in range(19) for d in (-1, 0, 1) for sign in (1, -1)}
    bits = {2**bit + d for bit in range(63) for d in (-1, 0, 1)}
    values = sorted(around | bits)
    cli.load({"posts": [{"id": i, "views": value} for i, value in enumerate(values)]})

    _, answer = cli.raw("posts { views }")

    assert answer == "[" + ",".join(f'{{"views":{value}}}' for value in values) + "]"
