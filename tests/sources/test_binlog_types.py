"""Every type of MariaDB and MySQL decoded from the binary log is the value that reading the table gives."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reflexdb.sources import open_source
from reflexdb.sources.mysql.binlog.follower import MySQLFollower
from tests.servers.plugin import TestDatabase
from tests.sources.applying import applied_rows, caught_up, followed, keyed_plan
from tests.sources.helpers import mysql_address

TEXT = "aZ09 é\\'\"\n"
WIDE = TEXT + "中😀"


def text(rng: random.Random, alphabet: str, longest: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(rng.choice((0, 1, longest // 2, longest))))


def digits(rng: random.Random, whole: int, fraction: int) -> str:
    number = "".join(rng.choice("0123456789") for _ in range(rng.randrange(whole + 1))) or "0"
    part = "".join(rng.choice("0123456789") for _ in range(fraction))
    return rng.choice(("", "-")) + (f"{number}.{part}" if part else number)


def integers(bits: int, *, unsigned: bool = False) -> Any:
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return lambda rng: rng.choice((low, high, 0, 1, rng.randint(low, high)))


def moment(rng: random.Random) -> str:
    return rng.choice(
        (
            "0000-00-00 00:00:00",
            "2021-02-31 01:02:03",
            "2020-00-15",
            "1000-01-01",
            "9999-12-31 23:59:59.999999",
            f"{rng.randint(1000, 9999)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d} "
            f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}.{rng.randint(0, 999999):06d}",
        )
    )


def instant(rng: random.Random) -> str:
    return rng.choice(
        (
            "0000-00-00 00:00:00",
            "2038-01-19 05:14:07",
            f"{rng.randint(1971, 2037)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d} 12:00:00."
            f"{rng.randint(0, 999999)}",
        )
    )


def duration(rng: random.Random) -> str:
    return (
        f"{rng.choice(('', '-'))}{rng.choice((0, 1, 838, rng.randint(0, 837)))}:{rng.randint(0, 59):02d}:"
        f"{rng.randint(0, 59):02d}.{rng.choice((0, 1, 999999, rng.randint(0, 999999))):06d}"
    )


def float_of(rng: random.Random) -> Any:
    return rng.choice((0.0, -0.5, 1e20, 1.5e-10, 16777217.0, rng.uniform(-1e6, 1e6), rng.uniform(-1, 1)))


def point(rng: random.Random) -> str:
    return f"POINT({float_of(rng)!r} {float_of(rng)!r})"


def shape(rng: random.Random) -> str:
    return rng.choice(
        (
            point(rng),
            "LINESTRING(0 0,1.25 1)",
            "POLYGON((0 0,1 0,1 1,0 0),(0.1 0.1,0.2 0.1,0.2 0.2,0.1 0.1))",
            "MULTIPOINT(1 1,2 2)",
            "MULTILINESTRING((0 0,1 1),(2 2,3 3))",
            "MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))",
            "GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1e17 1))",
        )
    )


def raw(rng: random.Random, longest: int) -> bytes:
    return bytes(rng.choice((0, 0, 32, 65, 255)) for _ in range(rng.randrange(longest + 1)))


def address6(rng: random.Random) -> str:
    return ":".join(f"{rng.choice((0, 0, 1, 0xFFFF, 0x1234)):x}" for _ in range(8))


Column = tuple[str, Any]
"""A declaration, and what makes values to bind; `%s` in it says how they are written."""
NUMBERS: list[Column] = [
    ("tinyint", integers(8)),
    ("tinyint unsigned", integers(8, unsigned=True)),
    ("tinyint(1)", integers(8)),
    ("smallint", integers(16)),
    ("smallint unsigned", integers(16, unsigned=True)),
    ("mediumint", integers(24)),
    ("mediumint unsigned", integers(24, unsigned=True)),
    ("int", integers(32)),
    ("int(8) unsigned zerofill", integers(32, unsigned=True)),
    ("bigint", integers(64)),
    ("bigint unsigned", integers(64, unsigned=True)),
    ("bit(1)", integers(1, unsigned=True)),
    ("bit(10)", integers(10, unsigned=True)),
    ("bit(64)", integers(64, unsigned=True)),
    ("year", lambda rng: rng.choice((0, 1901, 2155, 2026))),
    ("decimal(10,2)", lambda rng: digits(rng, 8, 2)),
    ("decimal(65,30)", lambda rng: digits(rng, 35, 30)),
    ("decimal(5,5)", lambda rng: digits(rng, 0, 5)),
    ("decimal(18,9)", lambda rng: digits(rng, 9, 9)),
    ("decimal(20,0)", lambda rng: digits(rng, 20, 0)),
    ("decimal(8,2) unsigned zerofill", lambda rng: digits(rng, 6, 2).lstrip("-")),
    ("float", float_of),
    ("double", float_of),
    ("double(16,4)", lambda rng: rng.choice((-0.0001, 0.1, 123456789012.3456, rng.uniform(-1e6, 1e6)))),
    ("double(12,2) zerofill", lambda rng: rng.uniform(0, 1e6)),
    ("float(7,3)", lambda rng: rng.uniform(-9999, 9999)),
    ("float unsigned", lambda rng: abs(float_of(rng))),
]
TIMES: list[Column] = [
    ("date", moment),
    *[(f"datetime({n})", moment) for n in range(7)],
    *[(f"timestamp({n}) NULL", instant) for n in range(7)],
    *[(f"time({n})", duration) for n in range(7)],
]
TEXTS: list[Column] = [
    ("char(10)", lambda rng: text(rng, WIDE, 10)),
    ("char(255)", lambda rng: text(rng, WIDE, 255)),
    ("varchar(30)", lambda rng: text(rng, WIDE, 30)),
    ("varchar(300)", lambda rng: text(rng, WIDE, 300)),
    ("tinytext", lambda rng: text(rng, WIDE, 60)),
    ("text", lambda rng: text(rng, WIDE, 60)),
    ("mediumtext", lambda rng: text(rng, WIDE, 60)),
    ("longtext", lambda rng: text(rng, WIDE, 60)),
    ("varchar(30) character set latin1", lambda rng: text(rng, TEXT + "€ÿ", 30)),
    ("char(30) character set latin1", lambda rng: text(rng, TEXT + "€ÿ", 30)),
    ("text character set utf8mb3", lambda rng: text(rng, TEXT + "中", 30)),
    ("varchar(30) character set ucs2", lambda rng: text(rng, TEXT + "中", 30)),
    ("varchar(30) character set utf16", lambda rng: text(rng, WIDE, 30)),
    ("varchar(30) character set utf16le", lambda rng: text(rng, WIDE, 30)),
    ("char(30) character set utf32", lambda rng: text(rng, WIDE, 30)),
    ("varchar(30) character set cp1251", lambda rng: text(rng, "aZЖф", 30)),
    ("varchar(30) character set koi8r", lambda rng: text(rng, "aZЖф", 30)),
    ("varchar(30) character set gbk", lambda rng: text(rng, "aZ中国", 30)),
    ("varchar(30) character set sjis", lambda rng: text(rng, "aZ日本ｱ", 30)),
    ("varchar(30) character set cp932", lambda rng: text(rng, "aZ日本ｱ", 30)),
    ("varchar(30) character set big5", lambda rng: text(rng, "aZ中文", 30)),
    ("varchar(30) character set euckr", lambda rng: text(rng, "aZ한국", 30)),
    ("varchar(30) character set ascii", lambda rng: text(rng, "aZ09", 30)),
    ("varchar(30) collate utf8mb4_bin", lambda rng: text(rng, WIDE, 30)),
    ("varchar(30) collate uca1400_ai_ci", lambda rng: text(rng, WIDE, 30)),
    ("varchar(60) compressed", lambda rng: text(rng, WIDE, 60)),
    ("text compressed", lambda rng: "ab" * rng.choice((0, 1, 100, 1000, 40000))),
    ("blob compressed", lambda rng: b"ab\0" * rng.choice((0, 1, 100, 1000))),
]
OTHERS: list[Column] = [
    ("enum('a','b,\"c','d''e','f\\\\g','é')", lambda rng: rng.choice(("a", 'b,"c', "d'e", "f\\g", "é", "nonsense"))),
    ("enum('é','x') character set latin1", lambda rng: rng.choice(("é", "x"))),
    (f"enum({','.join(repr(f'l{n}') for n in range(300))})", lambda rng: f"l{rng.randrange(300)}"),
    ("set('x','y z','\"','é')", lambda rng: rng.choice(("", "x", 'x,y z,"', "é"))),
    (f"set({','.join(repr(f'm{n}') for n in range(64))})", lambda rng: ",".join({f"m{rng.randrange(64)}", "m63"})),
    ("json", lambda rng: rng.choice(('{"a": [1, 2.50, "😀"]}', "[]", "null"))),
    ("uuid", lambda rng: f"{rng.getrandbits(128):032x}"),
    ("uuid", lambda rng: f"3f2b0001-0002-{rng.randrange(1, 9)}003-8004-0000000000{rng.randrange(256):02x}"),
    ("inet6", address6),
    ("inet4", lambda rng: f"{rng.choice((0, 10))}.{rng.randrange(256)}.0.{rng.choice((0, 1))}"),
    ("binary(6)", lambda rng: raw(rng, 6)),
    ("varbinary(6)", lambda rng: raw(rng, 6)),
    ("varbinary(600)", lambda rng: raw(rng, 600)),
    ("tinyblob", lambda rng: raw(rng, 60)),
    ("blob", lambda rng: raw(rng, 60)),
    ("mediumblob", lambda rng: raw(rng, 60)),
    ("longblob", lambda rng: raw(rng, 60)),
    ("point", point),
    ("geometry", shape),
]
KINDS = {"numbers": NUMBERS, "times": TIMES, "texts": TEXTS, "others": OTHERS}


def written(declared: str) -> str:
    return "ST_GeomFromText(%s)" if declared in ("point", "geometry") else "%s"


def fill(database: TestDatabase, columns: list[Column], rng: random.Random) -> None:
    """Random inserts, updates with changes of the key, and deletes."""
    places = ", ".join(written(declared) for declared, _ in columns)
    sets = ", ".join(f"c{n} = {written(declared)}" for n, (declared, _) in enumerate(columns))
    names = ", ".join(f"c{n}" for n in range(len(columns)))

    def values() -> list[Any]:
        return [None if rng.random() < 0.1 else make(rng) for _, make in columns]

    connection = database.connect(autocommit=False)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        for number in range(60):
            cursor.execute(f"INSERT INTO t (id, {names}) VALUES (%s, {places})", (number, *values()))
            if number % 3 == 0:
                victim = rng.randrange(number + 1)
                cursor.execute(f"UPDATE t SET id = %s, {sets} WHERE id = %s", (1000 + number, *values(), victim))
            if number % 10 == 0:
                cursor.execute("DELETE FROM t WHERE id = %s", (rng.randrange(number + 1),))
            if number % 7 == 0:
                connection.commit()
        connection.commit()


OF_MARIADB = ("uuid", "inet", "compressed", "uca1400")
"""Words of types that MySQL lacks."""


@pytest.mark.parametrize("metadata", ["FULL", "NO_LOG", "MINIMAL"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoded_row_is_the_row_that_reading_gives(binlog_database: TestDatabase, kind: str, metadata: str) -> None:
    is_mysql = "-mysql" in binlog_database.socket
    if is_mysql and metadata == "NO_LOG":
        pytest.skip("NO_LOG is a value of MariaDB's")
    columns = [one for one in KINDS[kind] if not (is_mysql and any(word in one[0] for word in OF_MARIADB))]
    definitions = ", ".join(f"c{n} {declared}" for n, (declared, _) in enumerate(columns))
    binlog_database.execute(f"CREATE TABLE t (id int PRIMARY KEY, {definitions})")
    plan = keyed_plan(open_source(mysql_address(binlog_database)).introspect(binlog_database.schema))
    ((before,),) = binlog_database.execute("SELECT @@GLOBAL.binlog_row_metadata")
    binlog_database.execute(f"SET GLOBAL binlog_row_metadata = {metadata}")
    seed = random.randrange(1 << 30)
    print("seed", seed)
    follower = MySQLFollower(mysql_address(binlog_database))
    try:
        with followed(follower, plan) as (applier, stream):
            fill(binlog_database, columns, random.Random(seed))
            expected = caught_up(follower, stream, applier)
    finally:
        binlog_database.execute(f"SET GLOBAL binlog_row_metadata = {before}")

    found = applied_rows(applier)
    assert applier.stale == []
    assert applier.redefined == []
    for have, want in zip(found[0], expected[0], strict=True):
        for column, left, right in zip(plan.tables[0].columns, have, want, strict=True):
            assert (type(left), left) == (type(right), right), column.declared_type
