"""Following a real PostgreSQL: whatever its writers do, the applied changes end in its exact state."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from reflexdb.model.errors import InvalidRequest, PositionLost, SourceUnreachable
from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.changes import Commit, FollowOptions, Redefined, Stale, StaleRows
from reflexdb.sources.postgres.follow import PostgresFollower
from tests.servers.plugin import TestDatabase
from tests.sources.applying import keyed_plan
from tests.sources.following import LIMIT_S, Replica
from tests.sources.helpers import postgres_address

pytestmark = pytest.mark.each_postgres


class Following:
    """A follower of one test database, its replica, and the stream between them."""

    def __init__(self, database: TestDatabase) -> None:
        self.database = database
        self.follower = PostgresFollower(
            postgres_address(database), database.schema, FollowOptions(f"reflexdb_{database.schema}", 1)
        )
        self.plan: Plan = self._plan()
        self.replica = Replica(self.plan)
        self.stream: Any = None

    def _plan(self) -> Plan:
        with contextlib.closing(open_source(postgres_address(self.database))) as source:
            schema = source.introspect(self.database.schema)
        return keyed_plan(schema)

    def begin(self) -> None:
        with self.follower.snapshot(self.plan) as reader:
            self.replica.load(reader)
        self.resume()

    def resume(self) -> None:
        self.stream = self.follower.stream(self.plan, self.replica.position)

    def catch_up(self) -> None:
        until = self.database.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        self.replica.follow(self.stream, self.follower, until)

    def check(self) -> None:
        self.catch_up()
        with (
            contextlib.closing(open_source(postgres_address(self.database))) as source,
            source.snapshot(self.plan) as reader,
        ):
            self.replica.assert_equals(reader)

    def until(self, what: Callable[[], Any]) -> None:
        give_up = time.monotonic() + LIMIT_S
        while not what():
            assert time.monotonic() < give_up
            event = self.stream.next(0.2)
            if event is not None:
                self.replica.apply(event)

    def until_idle(self) -> None:
        """The server has noticed that nobody reads any more."""
        give_up = time.monotonic() + LIMIT_S
        query = "SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND active"
        while self.database.execute(query):
            assert time.monotonic() < give_up
            time.sleep(0.01)

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.follower.drop()


@pytest.fixture
def follow(postgres_database: TestDatabase) -> Iterator[Callable[..., Following]]:
    made: list[Following] = []

    def begin(*statements: str) -> Following:
        for statement in statements:
            postgres_database.execute(statement)
        following = Following(postgres_database)
        made.append(following)
        following.begin()
        return following

    yield begin
    for each in made:
        each.close()
    left = postgres_database.execute(
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() UNION ALL "
        "SELECT pubname FROM pg_publication"
    )
    assert not left, "something of ours is left at the source"


ACCOUNTS = "CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL)"
MOVES = (
    "CREATE TABLE moves (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "account int NOT NULL REFERENCES accounts ON DELETE CASCADE ON UPDATE CASCADE, cents bigint NOT NULL)"
)


def test_changes_of_every_kind_arrive(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS, MOVES, "INSERT INTO accounts VALUES (1, 'Ann', 5), (2, 'Bo', 7)")
    execute = one.database.execute
    execute("INSERT INTO accounts SELECT n, 'x' || n, n FROM generate_series(3, 9000) n")
    execute("INSERT INTO moves (account, cents) SELECT id, 1 FROM accounts WHERE id % 7 = 0")
    execute("UPDATE accounts SET cents = cents * 2 WHERE id % 3 = 0")
    execute("UPDATE accounts SET id = id + 100000 WHERE id % 10 = 7")  # keys, and by cascade the moves
    execute("DELETE FROM accounts WHERE id % 14 = 0")  # and by cascade their moves
    execute("INSERT INTO accounts VALUES (1, 'Zoë', 1) ON CONFLICT (id) DO UPDATE SET owner = excluded.owner")
    one.check()
    execute("TRUNCATE moves")
    execute("INSERT INTO moves (account, cents) VALUES (1, 9)")
    one.check()
    assert not one.replica.events


def test_every_type_is_as_a_read_gives_it(follow: Callable[..., Following]) -> None:
    columns = {
        "b": ("boolean", "true"),
        "i2": ("smallint", "-32768"),
        "i8": ("bigint", "9223372036854775807"),
        "o": ("oid", "4294967295"),
        "f4": ("real", "1.1"),
        "f8": ("double precision", "'-Infinity'"),
        "nan": ("double precision", "'NaN'"),
        "n": ("numeric", "'-123456789012345678901234567890.10'"),
        "n2": ("numeric(10,2)", "1.5"),
        "m": ("money", "'-1234.5'"),
        "c": ("char(5)", "'ab'"),
        "t": ("text", "E'😀\\n\\'\\\"é\\\\'"),
        "u": ("uuid", "'3f2b0000-0000-1000-8000-00000000000a'"),
        "d": ("date", "'2026-04-15'"),
        "d_bc": ("date", "'4714-11-24 BC'"),
        "d_far": ("date", "'5874897-12-31'"),
        "d_inf": ("date", "'-infinity'"),
        "ts": ("timestamp", "'2026-04-15 12:34:56.000789'"),
        "ts_bc": ("timestamp", "'0044-03-15 12:00 BC'"),
        "tz": ("timestamptz", "'2026-04-15 12:34:56+05:30'"),
        "tz_inf": ("timestamptz", "'infinity'"),
        "tz_far": ("timestamptz", "'294246-01-01 00:00:00Z'"),
        "ti": ("time", "'23:59:59.5'"),
        "iv": ("interval", "'1 year 2 days 03:04:05.6'"),
        "j": ("json", """'{"a": [1, {"b":  null}]}'"""),
        "jb": ("jsonb", """'{"b": 1, "a": "é"}'"""),
        "ar": ("int[]", "'{{1,2},{3,NULL}}'"),
        "ta": ("text[]", """'{"a,b",NULL,"q\\"q"}'"""),
        "by": ("bytea", "'\\x00ff10'"),
        "ip": ("inet", "'10.0.0.1/8'"),
        "ip2": ("inet", "'10.0.0.1'"),
        "bi": ("bit(5)", "B'10101'"),
        "r": ("int4range", "'[1,5)'"),
        "mo": ("mood", "'glad, very'"),
        "pa": ("pair", "'(1,\"x y\")'"),
    }
    names = ", ".join(columns)
    one = follow(
        "CREATE TYPE mood AS ENUM ('so', 'glad, very')",
        "CREATE TYPE pair AS (a int, b text)",
        f"CREATE TABLE v (id int PRIMARY KEY, {', '.join(f'{name} {kind}' for name, (kind, _) in columns.items())})",
    )
    values = ", ".join(f"({value})::{kind}" for kind, value in columns.values())
    one.database.execute(f"INSERT INTO v (id, {names}) VALUES (1, {values})".replace("%", "%%"))
    one.database.execute("INSERT INTO v (id) VALUES (2)")
    one.database.execute(f"UPDATE v SET ({names}) = (SELECT {names} FROM v WHERE id = 1) WHERE id = 2")
    one.check()


def test_large_values_that_an_update_leaves_alone_stay(follow: Callable[..., Following]) -> None:
    one = follow("CREATE TABLE big (id int PRIMARY KEY, body text, tags text[], n int)")
    one.database.execute("ALTER TABLE big ALTER body SET STORAGE EXTERNAL, ALTER tags SET STORAGE EXTERNAL")
    one.database.execute(
        "INSERT INTO big SELECT n, repeat(md5(n::text), 1000), array_fill(md5(n::text), ARRAY[500]), 0 "
        "FROM generate_series(1, 20) n"
    )
    one.database.execute("UPDATE big SET n = id")
    one.database.execute("UPDATE big SET id = id + 100 WHERE n > 10")
    one.check()


def test_a_snapshot_and_its_stream_join_under_load(follow: Callable[..., Following]) -> None:
    """Transfers keep the sum; a half-applied transaction would change it."""
    one = follow(ACCOUNTS, "INSERT INTO accounts SELECT n, 'x', 100 FROM generate_series(1, 2000) n")
    stop = threading.Event()
    failures: list[BaseException] = []

    def transfer(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with one.database.connect() as connection:
                while not stop.is_set():
                    with connection.transaction():
                        a, b = sorted(chance.sample(range(1, 2001), 2))
                        connection.execute("UPDATE accounts SET cents = cents - 1 WHERE id = %s", (a,))
                        if chance.random() < 0.2:
                            new = chance.randrange(10_000, 10_000_000)
                            connection.execute(
                                "INSERT INTO accounts VALUES (%s, 'new', 0) ON CONFLICT DO NOTHING", (new,)
                            )
                        connection.execute("UPDATE accounts SET cents = cents + 1 WHERE id = %s", (b,))
                        if chance.random() < 0.1:
                            raise psycopg.Rollback
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=transfer, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            time.sleep(0.2)
            one.stream.close()
            with one.follower.snapshot(one.plan) as reader:
                one.replica.load(reader)
            one.resume()
            for _ in range(50):
                event = one.stream.next(1.0)
                assert event is not None
                one.replica.apply(event)
                if isinstance(event, Commit):
                    assert sum(row[2] for row in one.replica.tables[0].values()) == 200_000
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures
    one.check()


def test_going_on_from_a_position_repeats_and_loses_nothing(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS)
    for n in range(30):
        one.database.execute("INSERT INTO accounts VALUES (%s, 'x', 1)", n)
        if n % 10 == 5:
            one.catch_up()
            one.stream.close()
            one.resume()
    one.check()


def test_a_huge_transaction_comes_in_parts(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS)
    one.database.execute("INSERT INTO accounts SELECT n, 'x', n FROM generate_series(1, 100000) n")
    largest = 0
    until = one.database.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
    while not one.follower.reached(one.replica.position, until):
        event = one.stream.next(5.0)
        if event is not None:
            largest = max(largest, len(getattr(event, "rows", ())))
            one.replica.apply(event)
    assert 0 < largest <= 4096
    one.check()


def test_tables_that_only_a_read_can_tell(follow: Callable[..., Following]) -> None:
    one = follow(
        ACCOUNTS,
        "CREATE TABLE keyless (a int)",
        "CREATE TABLE full_rows (a int)",
        "ALTER TABLE full_rows REPLICA IDENTITY FULL",
        "CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)",
        "CREATE VIEW rich AS SELECT * FROM accounts WHERE cents > 100",
        "CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)",
    )
    names = [table.source_name for table in one.plan.tables]
    assert {names[index] for index in one.follower.unfollowed(one.plan)} == {"keyless", "rich", "scratch"}
    one.database.execute("INSERT INTO keyless VALUES (1)")
    one.database.execute("UPDATE keyless SET a = 2")  # would be refused if the table were published
    one.database.execute("INSERT INTO full_rows VALUES (1), (2)")
    one.database.execute("DELETE FROM full_rows WHERE a = 1")
    one.database.execute("INSERT INTO computed (id) VALUES (1)")
    one.catch_up()
    assert {names[event.table] for event in one.replica.events if isinstance(event, Stale)} == {"full_rows"}
    rows = [(names[event.table], event.keys) for event in one.replica.events if isinstance(event, StaleRows)]
    assert rows == [("computed", [(1,)])]


def test_partitions_show_as_their_table(follow: Callable[..., Following]) -> None:
    one = follow(
        "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)",
    )
    one.database.execute("INSERT INTO p SELECT n, 'x' FROM generate_series(1, 150) n")
    one.database.execute("UPDATE p SET id = id + 99 WHERE id BETWEEN 60 AND 70")
    one.check()
    assert not one.replica.events


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("ALTER TABLE accounts DROP COLUMN owner", "column 'owner' is gone"),
        ("ALTER TABLE accounts ALTER cents TYPE numeric", "column 'cents' is numeric and was bigint"),
        ("ALTER TABLE accounts RENAME owner TO holder", "column 'owner' is gone"),
        ("ALTER TABLE accounts RENAME TO people", "the table is"),
        ("DROP TABLE accounts", "the table is gone"),
        (
            "BEGIN; ALTER TABLE accounts RENAME TO old; "
            "CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL); COMMIT",
            "",
        ),
    ],
)
def test_a_changed_definition_stops_its_table_only(follow: Callable[..., Following], change: str, what: str) -> None:
    one = follow(ACCOUNTS, "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO accounts VALUES (1, 'Ann', 5)")
    one.database.execute(change)
    with contextlib.suppress(psycopg.Error):
        one.database.execute("UPDATE accounts SET id = id + 1")
    one.database.execute("INSERT INTO other VALUES (1)")
    one.until(lambda: one.replica.redefined() and one.replica.tables[1])
    found: list[Redefined] = one.replica.redefined()
    assert [one.plan.tables[event.table].source_name for event in found if event.table is not None] == ["accounts"]
    assert what in found[0].what
    assert one.replica.tables[0].keys() == {(1,)}


def test_a_new_column_changes_nothing_for_the_planned_ones(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS)
    one.database.execute("ALTER TABLE accounts ADD COLUMN first_seen date DEFAULT '2026-01-01'")
    one.database.execute("INSERT INTO accounts (owner, id, cents) VALUES ('Ann', 1, 5)")
    one.check()
    assert not one.replica.events


def test_tables_none_of_which_can_be_followed_any_more_are_read_all_the_same(follow: Callable[..., Following]) -> None:
    following = follow(ACCOUNTS)
    for number, identity, told in ((1, "NOTHING", []), (2, "DEFAULT", [("accounts",)])):
        following.stream.close()
        following.until_idle()
        following.database.execute(f"ALTER TABLE accounts REPLICA IDENTITY {identity}")
        following.database.execute("INSERT INTO accounts VALUES (%s, 'Ada', 10)", number)
        following.begin()

        assert following.database.execute("SELECT tablename FROM pg_publication_tables") == told
        assert following.follower.unfollowed(following.plan) == (frozenset() if told else {0})
    following.check()


def test_a_lost_slot_is_told(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS)
    one.database.execute("INSERT INTO accounts VALUES (1, 'Ann', 5)")
    start = one.replica.position
    one.catch_up()
    one.database.execute("INSERT INTO accounts VALUES (2, 'Bo', 5)")
    one.until(lambda: len(one.replica.tables[0]) == 2)
    one.stream.confirm(one.replica.position)
    one.stream.close()
    with pytest.raises(PositionLost, match="has gone on"):
        one.follower.stream(one.plan, start)
    one.follower.drop()
    with pytest.raises(PositionLost, match="does not exist"):
        one.follower.stream(one.plan, one.replica.position)
    one.begin()
    one.check()


def test_a_cut_connection_is_temporary(follow: Callable[..., Following]) -> None:
    one = follow(ACCOUNTS)
    one.database.execute("INSERT INTO accounts VALUES (1, 'Ann', 5)")
    readers = "pg_replication_slots WHERE active AND database = current_database()"
    one.database.execute(f"SELECT pg_terminate_backend(active_pid) FROM {readers}")
    with pytest.raises(SourceUnreachable):
        one.until(lambda: False)
    one.stream.close()
    one.resume()
    one.check()


def test_positions_compare(postgres_database: TestDatabase) -> None:
    follower = PostgresFollower(
        postgres_address(postgres_database), postgres_database.schema, FollowOptions("reflexdb_x", 1)
    )
    assert follower.reached("1/0", "0/FFFFFFFF")
    assert follower.reached("0/A0", "0/A0")
    assert not follower.reached("0/9F", "0/A0")
    for wrong in ("", "12", "x/y", "0-1-2", "1/2/3", "/1"):
        with pytest.raises(InvalidRequest):
            follower.reached("0/1", wrong)
