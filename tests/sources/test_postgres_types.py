"""Each row of PostgreSQL's type mapping, read back from a real server at its limits."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest

from reflexdb.model.errors import SourceData
from reflexdb.model.storage import Storage
from reflexdb.sources import open_source
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import column, postgres_address, rows
from tests.sources.moments import days, micros

pytestmark = pytest.mark.each_postgres

I32_MIN, I32_MAX, I64_MIN, I64_MAX = -(2**31), 2**31 - 1, -(2**63), 2**63 - 1
LONG = "9" * 200 + "." + "9" * 200
UUID = "3f2b0000-0000-1000-8000-00000000000a"
DAY = 86_400_000_000
F32 = struct.unpack("<f", struct.pack("<f", 1.1))[0]
NESTED = "[" * 200 + '{"a": "😀\\n"}' + "]" * 200

SETUP = """
    CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
    CREATE TYPE mood AS ENUM ('so "so"', 'glad, very'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0); CREATE DOMAIN more_cents AS cents; CREATE DOMAIN doc AS jsonb;
    CREATE DOMAIN mail AS citext; CREATE DOMAIN due AS timestamptz"""

CASES: list[tuple[str, str, Storage, list[tuple[str, Any]]]] = [
    ("boolean", "boolean", Storage.BOOL, [("true", True), ("false", False), ("NULL", None)]),
    ("smallint", "smallint", Storage.I16, [("-32768", -32768), ("32767", 32767), ("NULL", None)]),
    ("integer", "integer", Storage.I32, [("-2147483648", I32_MIN), ("2147483647", I32_MAX)]),
    ("bigint", "bigint", Storage.I64, [("-9223372036854775808", I64_MIN), ("9223372036854775807", I64_MAX)]),
    ("more_cents", "more_cents", Storage.I64, [("12", 12), ("NULL", None)]),
    ("oid", "oid", Storage.I64, [("4294967295", 2**32 - 1)]),
    ("real", "real", Storage.F32, [("1.1", F32), ("'-Infinity'", -math.inf), ("1e-45", 1.401298464324817e-45)]),
    ("double precision", "double precision", Storage.F64, [("0.1", 0.1), ("'Infinity'", math.inf), ("5e-324", 5e-324)]),
    (
        "numeric",
        "numeric",
        Storage.DECIMAL,
        [
            (LONG, LONG),
            ("-0.00", "0.00"),
            ("1e3", "1000"),
            ("'NaN'", "NaN"),
            ("'-Infinity'", "-Infinity"),
            ("NULL", None),
        ],
    ),
    ("numeric(10,2)", "numeric(10,2)", Storage.DECIMAL, [("12.5", "12.50"), ("-0.01", "-0.01"), ("0", "0.00")]),
    ("money", "money", Storage.TEXT, [("'-1234.5'", "-$1,234.50")]),
    ("char(5)", "character(5)", Storage.TEXT, [("'ab'", "ab   "), ("'é😀'", "é😀   ")]),
    ("bpchar", "bpchar", Storage.TEXT, [("'ab '", "ab ")]),
    ('"char"', '"char"', Storage.TEXT, [("'q'", "q"), ("''", "")]),
    ("varchar(9)", "character varying(9)", Storage.TEXT, [("'ab  '", "ab  "), ("''", ""), ("NULL", None)]),
    ("text", "text", Storage.TEXT, [(r"E'😀\n\'\"é\\'", "😀\n'\"é\\"), ("''", ""), ("NULL", None)]),
    ("name", "name", Storage.TEXT, [("'x'", "x")]),
    ("citext", "citext", Storage.TEXT, [("'Ab'", "Ab")]),
    ("mail", "mail", Storage.TEXT, [("'Ab'", "Ab")]),
    ("uuid", "uuid", Storage.UUID, [(f"'{UUID.upper()}'", UUID), ("NULL", None)]),
    (
        "date",
        "date",
        Storage.DATE,
        [
            ("'2026-04-15'", days(2026, 4, 15)),
            ("'infinity'", I32_MAX),
            ("'-infinity'", I32_MIN),
            ("'4714-11-24 BC'", -2_440_588),
            ("'5874897-12-31'", 2_145_042_905),
            ("'0001-12-31 BC'", days(1, 1, 1) - 1),
            ("NULL", None),
        ],
    ),
    (
        "timestamp",
        "timestamp without time zone",
        Storage.DATETIME,
        [
            ("'2026-04-15 12:00:00.000001'", micros(2026, 4, 15, 12, 0, 0, 1)),
            ("'infinity'", I64_MAX),
            ("'-infinity'", I64_MIN),
            ("'4714-11-24 00:00:00 BC'", -2_440_588 * DAY),
            ("'0001-12-31 BC'", (days(1, 1, 1) - 1) * DAY),
            ("NULL", None),
        ],
    ),
    (
        "timestamp(0)",
        "timestamp(0) without time zone",
        Storage.DATETIME,
        [("'1969-12-31 23:59:59'", -1_000_000)],
    ),
    (
        "timestamptz",
        "timestamp with time zone",
        Storage.TIMESTAMP,
        [
            ("'2026-04-15 12:00:00+02'", micros(2026, 4, 15, 10)),
            ("'infinity'", I64_MAX),
            ("'-infinity'", I64_MIN),
            ("NULL", None),
        ],
    ),
    ("due", "due", Storage.TIMESTAMP, [("'2026-04-15 12:00:00+02'", micros(2026, 4, 15, 10)), ("'infinity'", I64_MAX)]),
    ("time", "time without time zone", Storage.TIME, [("'24:00'", "24:00:00"), ("'01:02:03.5'", "01:02:03.5")]),
    ("timetz", "time with time zone", Storage.TIME, [("'01:02:03+05:30'", "01:02:03+05:30")]),
    ("interval", "interval", Storage.TEXT, [("'1 year 2 days 03:04:05.5'", "1 year 2 days 03:04:05.5")]),
    (
        "json",
        "json",
        Storage.JSON,
        [("""'{"b": 1,  "a": "\\u0000"}'""", '{"b": 1,  "a": "\\u0000"}'), (f"'{NESTED}'", NESTED)],
    ),
    (
        "jsonb",
        "jsonb",
        Storage.JSON,
        [("""'{"b":1.50, "a": null}'""", '{"a": null, "b": 1.50}'), (f"'{NESTED}'", NESTED)],
    ),
    ("doc", "doc", Storage.JSON, [("""'[1]'""", "[1]"), ("'null'", "null"), ("NULL", None)]),
    (
        "int[]",
        "integer[]",
        Storage.JSON,
        [("'{1,NULL,3}'", "[1,null,3]"), ("'{{1,2},{3,4}}'", "[[1,2],[3,4]]"), ("'{}'", "[]")],
    ),
    ("text[]", "text[]", Storage.JSON, [("""ARRAY['a"b', '😀', NULL]""", '["a\\"b","😀",null]'), ("NULL", None)]),
    ("numeric[]", "numeric[]", Storage.JSON, [("ARRAY[1.50, 'NaN']::numeric[]", '[1.50,"NaN"]')]),
    ("mood[]", "mood[]", Storage.JSON, [("""ARRAY['glad, very']::mood[]""", '["glad, very"]')]),
    (
        "timestamptz[]",
        "timestamp with time zone[]",
        Storage.JSON,
        [("ARRAY['2026-04-15 12:00+02'::timestamptz]", '["2026-04-15T10:00:00+00:00"]')],
    ),
    ("mood", "mood", Storage.ENUM, [("""'so "so"'""", 'so "so"'), ("NULL", None)]),
    ("bytea", "bytea", Storage.BINARY, [(r"'\x00ff5c'", b"\0\xff\\"), ("''", b""), ("NULL", None)]),
    ("inet", "inet", Storage.TEXT, [("'::1/64'", "::1/64"), ("'10.0.0.1'", "10.0.0.1")]),
    ("cidr", "cidr", Storage.TEXT, [("'10.0.0.0/8'", "10.0.0.0/8")]),
    ("macaddr", "macaddr", Storage.TEXT, [("'08:00:2b:01:02:03'", "08:00:2b:01:02:03")]),
    ("macaddr8", "macaddr8", Storage.TEXT, [("'08:00:2b:01:02:03:04:05'", "08:00:2b:01:02:03:04:05")]),
    ("bit(4)", "bit(4)", Storage.TEXT, [("B'0101'", "0101")]),
    ("varbit", "bit varying", Storage.TEXT, [("B'01'", "01")]),
    ("xml", "xml", Storage.TEXT, [("'<a>é</a>'", "<a>é</a>")]),
    ("tsvector", "tsvector", Storage.TEXT, [("'a:1 b:2'", "'a':1 'b':2")]),
    ("tsquery", "tsquery", Storage.TEXT, [("'a & b'", "'a' & 'b'")]),
    ("int4range", "int4range", Storage.TEXT, [("'[1,5]'", "[1,6)")]),
    ("int4multirange", "int4multirange", Storage.TEXT, [("'{[1,2],[5,6]}'", "{[1,3),[5,7)}")]),
    ("hstore", "hstore", Storage.JSON, [("""'a=>"1", b=>NULL'""", '{"a": "1", "b": null}')]),
    ("pair", "pair", Storage.JSON, [("ROW(1,'x')", '{"a":1,"b":"x"}'), ("NULL", None)]),
    ("ltree", "ltree", Storage.TEXT, [("'a.b'", "a.b")]),
    ("point", "point", Storage.TEXT, [("'(1.5,-2)'", "(1.5,-2)")]),
    ("pg_lsn", "pg_lsn", Storage.TEXT, [("'0/16'", "0/16")]),
    ("regclass", "regclass", Storage.TEXT, [("'pg_class'", "pg_class")]),
]


@pytest.fixture
def database(postgres_database: TestDatabase) -> TestDatabase:
    for statement in SETUP.split(";"):
        postgres_database.execute(statement)
    return postgres_database


def test_every_type_is_mapped_and_its_limits_come_back_exactly(database: TestDatabase) -> None:
    for number, (declared, _, _, values) in enumerate(CASES):
        database.execute(f"CREATE TABLE t{number} (id int PRIMARY KEY, v {declared} NULL)")
        for row, (literal, _) in enumerate(values):
            database.execute(f"INSERT INTO t{number} VALUES ({row}, {literal})")

    described = {
        t.name: t.columns[1] for t in open_source(postgres_address(database)).introspect(database.schema).tables
    }
    found = rows(postgres_address(database), database.schema)

    wrong = []
    for number, (declared, printed, storage, values) in enumerate(CASES):
        name = f"t{number}"
        got = (described[name].declared_type, described[name].storage, column(found, name, "v"))
        want = (printed, storage, [expected for _, expected in values])
        if got != want:
            wrong.append((declared, got, want))
    assert wrong == []


def test_nan_is_nan(database: TestDatabase) -> None:
    database.execute("CREATE TABLE t (v double precision, w real)")
    database.execute("INSERT INTO t VALUES ('NaN', 'NaN')")

    found = rows(postgres_address(database), database.schema)

    assert math.isnan(column(found, "t", "v")[0])
    assert math.isnan(column(found, "t", "w")[0])


def test_a_year_that_64_bits_of_microseconds_cannot_hold_is_refused_by_name(database: TestDatabase) -> None:
    database.execute("CREATE TABLE t (far timestamp)")
    database.execute("INSERT INTO t VALUES ('294276-12-31')")

    with pytest.raises(SourceData, match="'far' of table 't'"):
        rows(postgres_address(database), database.schema)


def test_a_value_of_ten_million_bytes_is_read(database: TestDatabase) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    database.execute("INSERT INTO t VALUES (1, 'a'), (2, repeat('é', 5000000)), (3, 'b')")

    assert column(rows(postgres_address(database), database.schema), "t", "v") == ["a", "é" * 5_000_000, "b"]


def test_a_value_that_no_frame_can_carry_is_refused_by_name(database: TestDatabase) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, huge text)")
    database.execute("INSERT INTO t VALUES (1, repeat('x', 63000000))")

    with pytest.raises(SourceData, match=r"'huge' of table 't'.*63,000,000 bytes"):
        rows(postgres_address(database), database.schema)


def test_json_comes_back_as_it_was_written(database: TestDatabase) -> None:
    document = {"text": "\u0001\u2028", "numbers": [1.5, 10**30], "deep": {"a": [{}]}}
    database.execute("CREATE TABLE t (v jsonb)")
    database.execute("INSERT INTO t VALUES (%s)", json.dumps(document))

    assert json.loads(column(rows(postgres_address(database), database.schema), "t", "v")[0]) == document
