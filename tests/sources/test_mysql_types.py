"""Each row of MySQL's type mapping, read back from a real server at its limits."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from reflexdb.model.errors import SourceData
from reflexdb.model.storage import Storage
from reflexdb.sources import open_source
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import column, mysql_address, rows
from tests.sources.moments import days, micros

LONG = "9" * 35 + "." + "9" * 30


F32 = struct.unpack("<f", struct.pack("<f", 1.1))[0]
F32_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]

CASES: list[tuple[str, Storage, list[tuple[str, Any]]]] = [
    ("tinyint(1)", Storage.BOOL, [("0", False), ("1", True), ("-128", True), ("NULL", None)]),
    ("bit(1)", Storage.BOOL, [("b'0'", False), ("b'1'", True), ("NULL", None)]),
    ("bit(64)", Storage.U64, [("b'0'", 0), ("18446744073709551615", 2**64 - 1), ("NULL", None)]),
    ("bit(10)", Storage.U64, [("b'1000000001'", 513)]),
    ("tinyint(4)", Storage.I16, [("-128", -128), ("127", 127)]),
    ("tinyint(3) unsigned", Storage.I16, [("255", 255)]),
    ("smallint(6)", Storage.I16, [("-32768", -32768), ("32767", 32767)]),
    ("smallint(5) unsigned", Storage.I32, [("65535", 65535)]),
    ("mediumint(9)", Storage.I32, [("-8388608", -8388608)]),
    ("mediumint(8) unsigned", Storage.I32, [("16777215", 16777215)]),
    ("int(11)", Storage.I32, [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    ("int(10) unsigned", Storage.I64, [("4294967295", 2**32 - 1)]),
    ("int(8) unsigned zerofill", Storage.I64, [("42", 42)]),
    ("bigint(20)", Storage.I64, [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)]),
    ("bigint(20) unsigned", Storage.U64, [("18446744073709551615", 2**64 - 1), ("0", 0)]),
    ("year(4)", Storage.I16, [("1901", 1901), ("2155", 2155), ("0", 0)]),
    ("decimal(65,30)", Storage.DECIMAL, [(LONG, LONG), ("-" + LONG, "-" + LONG), ("0", "0." + "0" * 30)]),
    ("decimal(10,2)", Storage.DECIMAL, [("12.5", "12.50"), ("-0.01", "-0.01"), ("NULL", None)]),
    ("decimal(8,2) unsigned zerofill", Storage.DECIMAL, [("1.5", "1.50"), ("0", "0.00")]),
    ("float", Storage.F32, [("1.1", F32), ("16777217", 16777216.0), ("3.4028234e38", F32_MAX), ("NULL", None)]),
    ("double", Storage.F64, [("0.1", 0.1), ("1.7976931348623157e308", 1.7976931348623157e308), ("-5e-324", -5e-324)]),
    ("date", Storage.DATE, [("'2026-04-15'", days(2026, 4, 15)), ("'9999-12-31'", days(9999, 12, 31))]),
    ("datetime", Storage.DATETIME, [("'2026-04-15 12:00:00'", micros(2026, 4, 15, 12)), ("NULL", None)]),
    ("datetime(6)", Storage.DATETIME, [("'9999-12-31 23:59:59.999999'", micros(9999, 12, 31, 23, 59, 59, 999999))]),
    ("datetime(3)", Storage.DATETIME, [("'1000-01-01 00:00:00.5'", micros(1000, 1, 1, 0, 0, 0, 500000))]),
    ("time(6)", Storage.TIME, [("'-838:59:59.999999'", "-838:59:59.999999"), ("'00:00:01'", "00:00:01.000000")]),
    ("time", Storage.TIME, [("'838:59:59'", "838:59:59")]),
    ("char(10)", Storage.TEXT, [("'ab  '", "ab"), ("''", ""), ("NULL", None)]),
    (
        "varchar(200)",
        Storage.TEXT,
        [("'ab  '", "ab  "), ("'😀 \\'\"é\\0x\\n'", "😀 '\"é\0x\n"), ("''", ""), ("NULL", None)],
    ),
    ("tinytext", Storage.TEXT, [("'é'", "é")]),
    ("text", Storage.TEXT, [("'é'", "é")]),
    ("mediumtext", Storage.TEXT, [("'é'", "é")]),
    ("longtext", Storage.TEXT, [("'{not json'", "{not json")]),
    ("enum('a','b,\"c')", Storage.ENUM, [("'a'", "a"), ("'b,\"c'", 'b,"c'), ("NULL", None)]),
    (
        "set('x','y z','\"')",
        Storage.JSON,
        [("'x,y z'", '["x", "y z"]'), ("''", "[]"), ("'\"'", '["\\""]'), ("NULL", None)],
    ),
    ("uuid", Storage.UUID, [("'3F2B0000-0000-1000-8000-00000000000a'", "3f2b0000-0000-1000-8000-00000000000a")]),
    ("inet6", Storage.TEXT, [("'::1'", "::1")]),
    ("inet4", Storage.TEXT, [("'10.0.0.1'", "10.0.0.1")]),
    ("binary(4)", Storage.BINARY, [("0x00FF", b"\0\xff\0\0"), ("NULL", None)]),
    ("varbinary(10)", Storage.BINARY, [("0x00FF00", b"\0\xff\0"), ("''", b"")]),
    ("tinyblob", Storage.BINARY, [("0x00", b"\0")]),
    ("blob", Storage.BINARY, [("0xC328", b"\xc3(")]),
    ("mediumblob", Storage.BINARY, [("0x00", b"\0")]),
    ("longblob", Storage.BINARY, [("0x00", b"\0")]),
    ("point", Storage.JSON, [("POINT(1.5,-2)", {"type": "Point", "coordinates": [1.5, -2]}), ("NULL", None)]),
    (
        "polygon",
        Storage.JSON,
        [
            (
                "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
                {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]},
            )
        ],
    ),
]


@pytest.mark.parametrize(("declared", "storage", "values"), CASES, ids=[case[0] for case in CASES])
def test_a_type_is_mapped_and_its_limits_come_back_exactly(
    mariadb_database: TestDatabase, declared: str, storage: Storage, values: list[tuple[str, Any]]
) -> None:
    mariadb_database.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {declared} NULL)")
    for number, (literal, _) in enumerate(values):
        mariadb_database.execute(f"INSERT INTO t VALUES ({number}, {literal})")

    described = open_source(mysql_address(mariadb_database)).introspect(mariadb_database.schema).tables[0].columns[1]
    found = column(rows(mysql_address(mariadb_database), mariadb_database.schema), "t", "v")

    assert (described.declared_type, described.storage) == (declared, storage)
    if isinstance(values[0][1], dict):
        found = [None if value is None else json.loads(value) for value in found]
    assert found == [expected for _, expected in values]


def test_timestamps_are_instants_whatever_the_zone_of_who_wrote_them(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamp(6) NULL, w timestamp NULL)")
    mariadb_database.execute(
        "INSERT INTO t VALUES (1, '2026-04-15 14:00:00.000001', '2038-01-19 05:14:07'), (2, NULL, NULL)"
    )

    found = rows(mysql_address(mariadb_database), mariadb_database.schema)

    assert column(found, "t", "v") == [micros(2026, 4, 15, 12, 0, 0, 1), None]  # the server's zone is +02:00
    assert column(found, "t", "w") == [micros(2038, 1, 19, 3, 14, 7), None]


def test_dates_that_no_calendar_has_are_null(mariadb_database: TestDatabase) -> None:
    connection = mariadb_database.connect(init_command="SET sql_mode = 'ALLOW_INVALID_DATES'")
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id int PRIMARY KEY, d date, dt datetime(3), ts timestamp NULL)")
        cursor.execute("INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00')")
        cursor.execute("INSERT INTO t VALUES (2, '2020-00-15', '2020-12-00 01:02:03', NULL)")
        cursor.execute("INSERT INTO t VALUES (3, '2021-02-31', '2021-02-31', NULL)")
        cursor.execute("INSERT INTO t VALUES (4, '2020-02-29', '2020-02-29 01:02:03.004', '2020-02-29 03:00:00')")

    found = rows(mysql_address(mariadb_database), mariadb_database.schema)

    assert column(found, "t", "d") == [None, None, None, days(2020, 2, 29)]
    assert column(found, "t", "dt") == [None, None, None, micros(2020, 2, 29, 1, 2, 3, 4000)]
    assert column(found, "t", "ts") == [None, None, None, micros(2020, 2, 29, 1)]


def test_mariadb_json_is_told_from_longtext_by_its_check(mariadb_database: TestDatabase) -> None:
    nested = "[" * 30 + '{"a": "😀\\u0000"}' + "]" * 30
    mariadb_database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, `j``s` json, v varchar(99) CHECK (json_valid(v)), w longtext)"
    )
    mariadb_database.execute("INSERT INTO t VALUES (1, %s, '1', 'x')", nested)

    found = open_source(mysql_address(mariadb_database)).introspect(mariadb_database.schema).tables[0]

    assert [c.storage for c in found.columns] == [Storage.I32, Storage.JSON, Storage.JSON, Storage.TEXT]
    assert found.columns[1].declared_type == "longtext"
    assert column(rows(mysql_address(mariadb_database), mariadb_database.schema), "t", "j`s") == [nested]


def test_the_server_converts_other_character_sets(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute("CREATE TABLE t (l varchar(9) CHARACTER SET latin1, g varchar(9) CHARACTER SET gbk)")
    mariadb_database.execute("INSERT INTO t VALUES (0xE9FF80, '中')")

    found = rows(mysql_address(mariadb_database), mariadb_database.schema)

    assert column(found, "t", "l") == ["éÿ€"]
    assert column(found, "t", "g") == ["中"]


def test_text_with_broken_bytes_is_mended_where_the_server_converts_and_refused_where_not(
    mariadb_database: TestDatabase,
) -> None:
    mariadb_database.execute("CREATE TABLE t (v varbinary(9))")
    mariadb_database.execute("INSERT INTO t VALUES (0x41FF42)")
    mariadb_database.execute("CREATE VIEW mended AS SELECT CONVERT(v USING utf8mb4) AS v FROM t")

    assert column(rows(mysql_address(mariadb_database), mariadb_database.schema), "mended", "v") == ["A?B"]


def test_an_enumeration_with_an_invalid_index_reads_as_the_empty_string(mariadb_database: TestDatabase) -> None:
    connection = mariadb_database.connect(init_command="SET sql_mode = ''")
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (v enum('a'))")
        cursor.execute("INSERT INTO t VALUES ('nonsense')")

    assert column(rows(mysql_address(mariadb_database), mariadb_database.schema), "t", "v") == [""]


def test_a_value_of_ten_million_bytes_is_read(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute("CREATE TABLE t (id int PRIMARY KEY, v longtext)")
    mariadb_database.execute("INSERT INTO t VALUES (1, 'a'), (2, REPEAT('é', 5000000)), (3, 'b')")

    found = column(rows(mysql_address(mariadb_database), mariadb_database.schema), "t", "v")

    assert found == ["a", "é" * 5_000_000, "b"]


def test_a_value_that_no_frame_can_carry_is_refused_by_name(mariadb_database: TestDatabase) -> None:
    mariadb_database.execute("CREATE TABLE t (id int PRIMARY KEY, huge longblob)")
    mariadb_database.execute("INSERT INTO t VALUES (1, REPEAT('x', 63000000))")

    with pytest.raises(SourceData, match=r"'huge' of table 't'.*63,000,000 bytes"):
        rows(mysql_address(mariadb_database), mariadb_database.schema)
