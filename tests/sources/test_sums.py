"""Sums of spans of a key, made by the source: they are other ones where a row is another one, and only there."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from reflexdb.model.plan import Plan
from reflexdb.model.storage import Storage
from reflexdb.sources import follower, open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import Follower, FollowOptions, Row, SummingReader
from reflexdb.sources.spans import SIGNED, UNSIGNED, Range, is_within, keys_of, limits_of, ranges_of, span_of
from tests.servers.plugin import TestDatabase
from tests.sources.applying import keyed_plan
from tests.sources.helpers import mysql_address, postgres_address
from tests.sources.test_binlog_types import KINDS, written

SIZE = 7


class Site:
    def __init__(self, database: TestDatabase, address: SourceAddress) -> None:
        self.database = database
        self.quote = '"' if address.backend.value == "postgres" else "`"
        self._address = address

    def define(self, *statements: str, where: dict[str, str] | None = None) -> None:
        for statement in statements:
            self.database.execute(statement)
        with contextlib.closing(open_source(self._address)) as source:
            self.plan: Plan = keyed_plan(source.introspect(self.database.schema), where)
        found = follower(self._address, self.database.schema, FollowOptions(f"reflexdb_{self.database.schema}", 4711))
        assert found is not None
        self.follower: Follower = found

    @contextlib.contextmanager
    def view(self) -> Iterator[SummingReader]:
        with self.follower.view(self.plan) as reader:
            yield reader

    def look(self, size: int = SIZE) -> tuple[dict[int, str | None], dict[int, list[Row]]]:
        """The sums, and the rows by span."""
        [table] = self.plan.tables
        with self.view() as reader:
            keys = reader.key_range(table)
            sums = {} if keys is None else reader.sums(table, size, keys)
            rows: dict[int, list[Row]] = {}
            for batch in reader.read(table):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    rows.setdefault(span_of(row[table.primary_key[0]], size), []).append(row)
        return sums, {span: sorted(found, key=repr) for span, found in rows.items()}

    def within(self, ranges: list[Range]) -> list[int]:
        [table] = self.plan.tables
        with self.view() as reader:
            return sorted(key for batch in reader.within(table, ranges) for key in batch.column(0).to_pylist())


@pytest.fixture(params=["mariadb", "postgres"])
def site(request: pytest.FixtureRequest) -> Site:
    database = request.getfixturevalue(f"{request.param}_database")
    return Site(database, (mysql_address if request.param == "mariadb" else postgres_address)(database))


def differing(site: Site, before: dict[int, str | None]) -> set[int]:
    sums, _ = site.look()
    return {span for span in {**before, **sums} if before.get(span) != sums.get(span)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_any_type_changes_the_sum_of_its_span_and_no_other(
    mariadb_database: TestDatabase, kind: str
) -> None:
    columns = KINDS[kind]
    site = Site(mariadb_database, mysql_address(mariadb_database))
    site.define(
        "CREATE TABLE t (id int PRIMARY KEY, "
        + ", ".join(f"c{n} {declared}" for n, (declared, _) in enumerate(columns))
        + ")"
    )
    rng = random.Random(11)
    places = ", ".join(written(declared) for declared, _ in columns)
    with contextlib.closing(mariadb_database.connect(autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        for number in range(40):
            values = [None if rng.random() < 0.1 else make(rng) for _, make in columns]
            cursor.execute(f"INSERT INTO t VALUES (%s, {places})", (number, *values))
        for n, (declared, make) in enumerate(columns):
            sums, rows = site.look()
            numbers = rng.sample(range(40), 3)
            for number in numbers:
                cursor.execute(f"UPDATE t SET c{n} = {written(declared)} WHERE id = %s", (make(rng), number))
            now, rows_now = site.look()
            changed = {span for span, found in rows_now.items() if found != rows[span]}
            assert {span for span in sums if sums[span] != now[span]} >= changed, declared
            untouched = sums.keys() - {span_of(number, SIZE) for number in numbers}
            assert all(sums[span] == now[span] for span in untouched), declared


def test_a_change_of_any_type_changes_the_sum_of_its_span_in_postgresql(postgres_database: TestDatabase) -> None:
    site = Site(postgres_database, postgres_address(postgres_database))
    values = {
        "boolean": ("true", "false"),
        "smallint": ("1", "2"),
        "double precision": ("0.1", "0.10000000000000002"),
        "real": ("1.1", "1.1000001"),
        "numeric": ("1.50", "1.500"),
        "text": ("'a'", "'a '"),
        "character(5)": ("'a'", "'b'"),
        "bytea": (r"'\x00'", r"'\x0000'"),
        "date": ("'2026-01-01'", "'2026-01-02'"),
        "timestamp": ("'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:00.000002'"),
        "timestamptz": ("'2026-01-01 00:00:00+00'", "'2026-01-01 00:00:00+01'"),
        "interval": ("'1 day'", "'24 hours'"),
        "uuid": ("'3f2b0000-0000-1000-8000-00000000000a'", "'3f2b0000-0000-1000-8000-00000000000b'"),
        "json": ("'{\"a\": 1}'", "'{\"a\":1}'"),
        "jsonb": ("'{\"a\": 1}'", "'{\"a\": 1.0}'"),
        "integer[]": ("'{1,2}'", "'{1,NULL}'"),
        "inet": ("'10.0.0.1'", "'10.0.0.1/24'"),
    }
    columns = ", ".join(f"c{n} {declared} DEFAULT {first}" for n, (declared, (first, _)) in enumerate(values.items()))
    site.define(f"CREATE TABLE t (id int PRIMARY KEY, {columns})", "INSERT INTO t SELECT * FROM generate_series(0, 39)")
    for n, (declared, (first, second)) in enumerate(values.items()):
        for value in (second, "NULL", first):
            sums, _ = site.look()
            site.database.execute(f"UPDATE t SET c{n} = {value} WHERE id = 15")
            assert differing(site, sums) == {2}, (declared, value)


def test_values_do_not_run_into_each_other(site: Site) -> None:
    site.define("CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b varchar(20))")
    pairs = [("'x'", "'yz'"), ("'xy'", "'z'"), ("NULL", "'xyz'"), ("'xyz'", "NULL"), ("''", "'xyz'"), ("'x,'", "'yz'")]
    seen = set()
    for a, b in pairs:
        site.database.execute("DELETE FROM t")
        site.database.execute(f"INSERT INTO t VALUES (1, {a}, {b})")
        seen.add(site.look()[0][0])
    assert len(seen) == len(pairs)


@pytest.mark.parametrize("declared", ["int", "date", "uuid", "decimal(5,2)", "double precision", "time"])
def test_a_null_is_in_its_column(site: Site, declared: str) -> None:
    """Also of types to which no text can be converted."""
    value = {"uuid": "'3f2b0000-0000-1000-8000-00000000000a'", "date": "'2026-01-01'", "time": "'10:00:00'"}
    site.define(f"CREATE TABLE t (id int PRIMARY KEY, a {declared}, b {declared})")
    seen = set()
    for a, b in ((True, False), (False, True), (False, False), (True, True)):
        cells = ", ".join(value.get(declared, "1") if each else "NULL" for each in (a, b))
        site.database.execute("DELETE FROM t")
        site.database.execute(f"INSERT INTO t VALUES (1, {cells})")
        seen.add(site.look()[0][0])
    assert len(seen) == 4


def test_two_rows_that_exchange_values_are_told(site: Site) -> None:
    site.define("CREATE TABLE t (id int PRIMARY KEY, v int, w varchar(9))")
    site.database.execute("INSERT INTO t VALUES (1, 100, 'abc'), (2, 200, 'xyz'), (3, 300, 'abc')")
    sums, _ = site.look()
    site.database.execute("UPDATE t SET v = 300 - v WHERE id < 3")
    now, _ = site.look()
    assert now != sums
    site.database.execute("UPDATE t SET w = CASE id WHEN 1 THEN 'xyz' ELSE 'abc' END WHERE id < 3")
    assert site.look()[0] not in (sums, now)


def test_rows_that_come_and_go_and_change_places_are_told(site: Site) -> None:
    site.define("CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (-20, 1), (-1, 1), (1, 1), (30, 1)")
    sums, rows = site.look()
    assert set(sums) == set(rows) == {-2, 0, 4}
    site.database.execute("UPDATE t SET id = id + 7 WHERE id = 30")
    assert differing(site, sums) == {4, 5}
    site.database.execute("UPDATE t SET id = 30 WHERE id = 37")
    assert differing(site, sums) == set()
    site.database.execute("DELETE FROM t WHERE id = -20")
    assert differing(site, sums) == {-2}


def test_parts_are_read_by_their_keys_and_with_the_tables_predicate(site: Site) -> None:
    low, high = SIGNED
    name = "od'd \\\"`%s"
    quoted = site.quote + name.replace(site.quote, site.quote * 2) + site.quote
    site.define(
        f"CREATE TABLE {quoted} ({quoted} bigint PRIMARY KEY, v int)",
        f"INSERT INTO {quoted} VALUES ({low}, 1), (-5, 1), (0, 0), (5, 1), (6, 1), ({high}, 1)",
        where={name: "v = 1 OR v = 2 -- and no more"},
    )
    with site.view() as reader:
        assert reader.key_range(site.plan.tables[0]) == SIGNED
    sums, rows = site.look(1 << 62)
    assert set(sums) == set(rows)
    assert site.within([(-5, 0), (6, 6)]) == [-5, 6]
    assert site.within([SIGNED]) == [low, -5, 5, 6, high]


def test_a_key_without_a_sign_is_summed_up_to_its_end(mariadb_database: TestDatabase) -> None:
    site = Site(mariadb_database, mysql_address(mariadb_database))
    site.define(
        "CREATE TABLE t (id bigint unsigned PRIMARY KEY, v int)",
        "INSERT INTO t VALUES (0, 1), (18446744073709551615, 2)",
    )
    sums, rows = site.look(1 << 60)
    assert set(sums) == set(rows) == {0, 15}
    assert site.within([(1, UNSIGNED[1])]) == [UNSIGNED[1]]


def test_a_row_that_is_larger_than_the_servers_packet_has_no_sum(mariadb_database: TestDatabase) -> None:
    site = Site(mariadb_database, mysql_address(mariadb_database))
    site.define("CREATE TABLE t (id int PRIMARY KEY, a longtext, b longtext)")
    packet = int(mariadb_database.execute("SELECT @@global.max_allowed_packet")[0][0])
    half = f"repeat('x', {packet // 2 - 10})"
    with contextlib.closing(mariadb_database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")  # nobody else has to read it
        cursor.execute(f"INSERT INTO t VALUES (1, 'a', 'b'), (10, {half}, {half})")
    with site.view() as reader:
        sums = reader.sums(site.plan.tables[0], SIZE, (1, 10))
    assert sums[0] is not None
    assert sums[1] is None


@pytest.mark.parametrize("declared", ["varchar(20)", "date"])
def test_keys_that_are_no_integers_have_no_range(site: Site, declared: str) -> None:
    site.define(f"CREATE TABLE t (id {declared} PRIMARY KEY)", "INSERT INTO t VALUES ('2026-01-01')")
    with site.view() as reader:
        assert reader.key_range(site.plan.tables[0]) is None


def test_neither_has_an_empty_table(site: Site) -> None:
    site.define("CREATE TABLE t (id int PRIMARY KEY)")
    with site.view() as reader:
        assert reader.key_range(site.plan.tables[0]) is None


def test_spans_cover_every_key_once() -> None:
    for size in (1, 2, 7, 1 << 20):
        for key in (*range(-30, 30), -(1 << 63), (1 << 64) - 1):
            first, last = keys_of(span_of(key, size), size)
            assert first <= key <= last
            assert span_of(first, size) == span_of(last, size) == span_of(key, size)
    assert limits_of(Storage.U64) == UNSIGNED
    assert limits_of(Storage.TEXT) is None


def test_ranges_have_all_wanted_spans_and_are_few() -> None:
    rng = random.Random(3)
    for _ in range(200):
        size, most = rng.choice((1, 3, 10)), rng.randrange(1, 8)
        wanted = {rng.randrange(-40, 40) for _ in range(rng.randrange(30))}
        ranges = ranges_of(wanted, size, SIGNED, most)
        assert len(ranges) <= most
        assert all(one[1] < other[0] for one, other in pairwise(ranges))
        assert all(is_within(key, ranges) for span in wanted for key in keys_of(span, size))
        if len(wanted) <= most:
            assert {span_of(key, size) for one in ranges for key in range(one[0], one[1] + 1)} == wanted
    assert ranges_of({0}, 10, UNSIGNED, 5) == ((0, 9),)
