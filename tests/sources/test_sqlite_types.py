"""Each row of SQLite's type mapping, and what happens to values that a declared type does not allow."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.errors import SourceData
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from tests.sources.helpers import column, rows
from tests.sources.moments import days, micros

UUID = "3f2b0000-0000-1000-8000-00000000000a"
NESTED = "[" * 200 + '{"a": "😀"}' + "]" * 200
NOON = micros(2026, 4, 15, 12)

CASES: list[tuple[str, Storage, list[tuple[Any, Any]]]] = [
    ("BOOLEAN", Storage.BOOL, [(0, False), (1, True), ("true", True), ("FALSE", False), (None, None)]),
    ("bool", Storage.BOOL, [(1, True)]),
    ("INTEGER", Storage.I64, [(-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), ("12", 12), (3.0, 3), (None, None)]),
    ("UNSIGNED BIG INT", Storage.I64, [(5, 5)]),
    ("tinyint(1)", Storage.I64, [(1, 1)]),
    ("BIT", Storage.I64, [(1, 1)]),
    ("REAL", Storage.F64, [(0.1, 0.1), (1, 1.0), (5e-324, 5e-324), (float("inf"), float("inf")), (None, None)]),
    ("DOUBLE PRECISION", Storage.F64, [(1.5, 1.5)]),
    ("FLOAT", Storage.F64, [(1.5, 1.5)]),
    (
        "DECIMAL(10, 2)",
        Storage.DECIMAL,
        [(12.5, "12.5"), (12, "12"), (-0.01, "-0.01"), (0.1 + 0.2, "0.30000000000000004")],
    ),
    (
        "NUMERIC",
        Storage.DECIMAL,
        [(2**63 - 1, str(2**63 - 1)), (1e300, "1" + "0" * 300), (1e-7, "0.0000001"), (None, None)],
    ),
    ("MONEY", Storage.DECIMAL, [(1.99, "1.99")]),
    ("NUMBER(4)", Storage.DECIMAL, [(1, "1")]),
    ("DEC(4)", Storage.DECIMAL, [(1, "1")]),
    (
        "VARCHAR(3)",
        Storage.TEXT,
        [("longer than 3, 😀", "longer than 3, 😀"), ("", ""), (12, "12"), ("a\0b", "a\0b"), (None, None)],
    ),
    ("TEXT", Storage.TEXT, [("x\n'\"", "x\n'\"")]),
    ("CLOB", Storage.TEXT, [("x", "x")]),
    ("STRING", Storage.TEXT, [("x", "x"), ("007x", "007x")]),
    ("BLOB", Storage.BINARY, [(b"\0\xff", b"\0\xff"), (b"", b""), ("é", "é".encode()), (None, None)]),
    ("VARBINARY(9)", Storage.BINARY, [(b"\0", b"\0")]),
    ("BINARY(9)", Storage.BINARY, [(b"\0", b"\0")]),
    (
        "DATE",
        Storage.DATE,
        [("2026-04-15", days(2026, 4, 15)), ("2026-04-15 00:00:00", days(2026, 4, 15)), (None, None)],
    ),
    (
        "DATETIME",
        Storage.DATETIME,
        [
            ("2026-04-15 12:00:00", NOON),
            ("2026-04-15T12:00:00", NOON),
            ("2026-04-15T12:00:00Z", NOON),
            ("2026-04-15 14:00:00+02:00", NOON),
            ("2026-04-15 12:00:00.5", NOON + 500_000),
            ("2026-04-15 12:00:00.123456789", NOON + 123_456),
            ("2026-04-15 12:00", NOON),
            ("2026-04-15", micros(2026, 4, 15)),
            ("0001-01-01", micros(1, 1, 1)),
            (None, None),
        ],
    ),
    ("TIMESTAMP", Storage.DATETIME, [("9999-12-31 23:59:59.999999", micros(9999, 12, 31, 23, 59, 59, 999999))]),
    ("TIME", Storage.TIME, [("12:00:00", "12:00:00")]),
    (
        "JSON",
        Storage.JSON,
        [('{"b": 1, "a": [null]}', '{"b": 1, "a": [null]}'), (NESTED, NESTED), (1, "1"), (1.5, "1.5"), (None, None)],
    ),
    (
        "UUID",
        Storage.UUID,
        [(UUID, UUID), (UUID.upper(), UUID), (bytes.fromhex(UUID.replace("-", "")), UUID), (None, None)],
    ),
]

MISFITS: list[tuple[str, Any]] = [
    ("BOOLEAN", 2),
    ("BOOLEAN", "yes"),
    ("INTEGER", "twelve"),
    ("INTEGER", 1.5),
    ("INT", b"1"),
    ("REAL", "much"),
    ("DECIMAL(4,2)", "1,5"),
    ("DECIMAL(4,2)", b"1"),
    ("TEXT", b"\xff"),
    ("DATE", "15.04.2026"),
    ("DATE", "2026-04-15 12:00:00"),
    ("DATE", "2026-02-31"),
    ("DATE", ""),
    ("DATETIME", 1776254400),
    ("DATETIME", "yesterday"),
    ("DATETIME", "0000-00-00 00:00:00"),
    ("JSON", "{nonsense"),
    ("JSON", "NaN"),
    ("UUID", "123"),
]


def execute(path: Path, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            text, arguments = (statement, ()) if isinstance(statement, str) else statement
            connection.execute(text, arguments)
        connection.commit()


def address(path: Path) -> SourceAddress:
    return SourceAddress(Backend.SQLITE, str(path))


@pytest.mark.parametrize(("declared", "storage", "values"), CASES, ids=[case[0] for case in CASES])
def test_a_type_is_mapped_and_its_values_come_back_exactly(
    tmp_path: Path, declared: str, storage: Storage, values: list[tuple[Any, Any]]
) -> None:
    path = tmp_path / "a.db"
    execute(path, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    execute(path, *(("INSERT INTO t (v) VALUES (?)", (value,)) for value, _ in values))

    described = open_source(address(path)).introspect("main").tables[0].columns[1]

    assert (described.declared_type, described.storage) == (declared, storage)
    assert column(rows(address(path), "main"), "t", "v") == [expected for _, expected in values]


@pytest.mark.parametrize(("declared", "value"), MISFITS)
def test_a_value_that_the_declared_type_does_not_allow_is_named_with_its_row(
    tmp_path: Path, declared: str, value: Any
) -> None:
    path = tmp_path / "a.db"
    execute(path, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    execute(path, "INSERT INTO t VALUES (1, NULL)", ("INSERT INTO t VALUES (77, ?)", (value,)))

    with pytest.raises(SourceData) as raised:
        rows(address(path), "main")

    assert "'v' of table 't'" in raised.value.message
    assert "(rowid 77)" in raised.value.message
    assert "reflexdb.yaml" in raised.value.message


def test_columns_without_a_known_type_go_by_their_values(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(
        path,
        "CREATE TABLE t (i, r, m, s, b, n, e, x ENUM)",
        "INSERT INTO t VALUES (1, 1.5, 1, 'a', x'00', NULL, '', 'a'), (2, 2, 'two', 'b', NULL, NULL, 1.5, 'b')",
        "CREATE VIEW v AS SELECT count(*) AS c, sum(r) AS s, max(s) AS m, min(i) + 0.5 AS h FROM t",
    )

    t, v = open_source(address(path)).introspect("main").tables
    found = rows(address(path), "main")

    text = Storage.TEXT
    assert [c.storage for c in t.columns] == [Storage.I64, Storage.F64, text, text, Storage.BINARY, text, text, text]
    assert [c.storage for c in v.columns] == [Storage.I64, Storage.F64, text, Storage.F64]
    assert column(found, "t", "m") == ["1", "two"]
    assert found["v"].to_pylist() == [{"c": 2, "s": 3.5, "m": "b", "h": 1.5}]


def test_text_that_is_no_utf8_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(path, "CREATE TABLE t (a TEXT, broken TEXT)", "INSERT INTO t VALUES ('x', CAST(x'ff41' AS TEXT))")

    with pytest.raises(SourceData, match=r"'broken' of table 't'.*UTF-8"):
        rows(address(path), "main")


def test_a_value_of_ten_million_bytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(path, "CREATE TABLE t (v TEXT)", ("INSERT INTO t VALUES ('a'), (?), ('b')", ("é" * 5_000_000,)))

    assert column(rows(address(path), "main"), "t", "v") == ["a", "é" * 5_000_000, "b"]


def test_a_value_that_no_frame_can_carry_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(path, "CREATE TABLE t (small TEXT, huge BLOB)", ("INSERT INTO t VALUES ('a', ?)", (bytes(63_000_000),)))

    with pytest.raises(SourceData, match="'huge' of table 't'"):
        rows(address(path), "main")


def test_a_large_table_comes_in_batches_that_are_small(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000) "
        "INSERT INTO t SELECT i, '' FROM n",
        "UPDATE t SET v = hex(zeroblob(2000000)) WHERE id BETWEEN 100000 AND 100024",
    )

    found = rows(address(path), "main")["t"]
    sizes = [batch.nbytes for batch in found.to_batches()]

    assert found.num_rows == 150_000
    assert found.column("id").to_pylist() == list(range(1, 150_001))
    assert max(sizes) <= 24 * 1024 * 1024
    assert len(sizes) > 4
