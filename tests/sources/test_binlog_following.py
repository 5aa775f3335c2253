"""Following MariaDB's binary log: what is applied is what the source has, whatever was done to it and when."""

from __future__ import annotations

import contextlib
import random
import resource
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from reflexdb.sources.changes import Commit, Rows
from tests.servers.plugin import TestDatabase
from tests.sources.applying import applied_rows, caught_up, drained, followed
from tests.sources.binlogs import ITEMS, follower_of, plan_for, script


@contextlib.contextmanager
def writers(count: int, work: Callable[[int, threading.Event], None]) -> Iterator[threading.Event]:
    """Threads that write until the event is set; their failures fail the test."""
    stop, failed = threading.Event(), []

    def run(number: int) -> None:
        try:
            work(number, stop)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert failed == []


def test_a_snapshot_and_its_stream_join_exactly_under_concurrent_writers(binlog_database: TestDatabase) -> None:
    """Money moves between rows and tables in transactions of many kinds; at every commit the sum is the same."""
    accounts = ", ".join(f"({n}, 'a', 1000)" for n in range(100))
    plan = plan_for(
        binlog_database,
        ITEMS,
        ITEMS.replace("items", "others"),
        f"INSERT INTO items VALUES {accounts}",
        f"INSERT INTO others VALUES {accounts}",
    )
    follower = follower_of(binlog_database)

    def work(number: int, stop: threading.Event) -> None:
        rng = random.Random(number)
        with contextlib.closing(binlog_database.connect(autocommit=False)) as connection:
            cursor = connection.cursor()
            while not stop.is_set():
                own = range(number * 25, number * 25 + 25)
                amount, one, two = rng.randrange(100), rng.choice(own), rng.choice(own)
                cursor.execute("UPDATE items SET cents = cents - %s WHERE id = %s", (amount, one))
                cursor.execute("UPDATE others SET cents = cents + %s WHERE id = %s", (amount, two))
                cursor.execute("SELECT cents FROM others WHERE id = %s", (two,))
                cents = cursor.fetchone()[0]
                cursor.execute("DELETE FROM others WHERE id = %s", (two,))
                cursor.execute("INSERT INTO others VALUES (%s, 'b', %s)", (two + 1000, cents))
                cursor.execute("UPDATE others SET id = %s WHERE id = %s", (two, two + 1000))
                if rng.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()

    with writers(3, work) as stop, followed(follower, plan) as (applier, stream):
        sums = [sum(row[2] for rows in applier.tables for row in rows.values())]
        applier.on_commit = lambda: sums.append(sum(row[2] for rows in applier.tables for row in rows.values()))
        drained(stream, applier, lambda: len(applier.commits) > 100)
        stop.set()
        expected = caught_up(follower, stream, applier)

    assert applied_rows(applier) == expected
    assert set(sums) == {200_000}


def test_every_snapshot_among_writers_is_joined_exactly(mariadb_database: TestDatabase) -> None:
    """Inserts of counted numbers: a gap or a double at the joint would show as a missing or a surplus row."""
    plan = plan_for(mariadb_database, "CREATE TABLE t (writer int, n int, PRIMARY KEY (writer, n))")
    follower = follower_of(mariadb_database)

    def work(number: int, stop: threading.Event) -> None:
        with contextlib.closing(mariadb_database.connect()) as connection, connection.cursor() as cursor:
            count = 0
            while not stop.is_set():
                cursor.execute("INSERT INTO t VALUES (%s, %s)", (number, count))
                count += 1

    with writers(3, work):
        for _ in range(5):
            with followed(follower, plan) as (applier, stream):
                begun = set(applier.tables[0])
                inserted = []
                while len(inserted) < 30:
                    event = stream.next(5)
                    if isinstance(event, Rows):
                        inserted += [row for row in event.rows if row is not None]
                for writer in range(3):
                    first = min((row[1] for row in inserted if row[0] == writer), default=None)
                    last = max((key[1] for key in begun if key[0] == writer), default=-1)
                    assert first is None or first == last + 1


def test_every_kind_of_statement_ends_in_the_sources_state(mariadb_database: TestDatabase, tmp_path: Any) -> None:
    plan = plan_for(
        mariadb_database,
        ITEMS,
        "CREATE TABLE parts (id int, year int, v varchar(20), PRIMARY KEY (id, year)) PARTITION BY RANGE (year) "
        "(PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE)",
        "CREATE TABLE uniq (id int PRIMARY KEY, code varchar(9) UNIQUE, hits int DEFAULT 0)",
        "CREATE TABLE log (id int PRIMARY KEY AUTO_INCREMENT, what varchar(40))",
        "CREATE TRIGGER tr AFTER INSERT ON items FOR EACH ROW INSERT INTO log (what) VALUES (NEW.name)",
        "CREATE TABLE myisam (id int PRIMARY KEY) ENGINE = MyISAM",
        "CREATE TABLE `odd``name \"'é` (`k``ey` int PRIMARY KEY, `vä l` text)",
    )
    follower = follower_of(mariadb_database)

    with followed(follower, plan) as (applier, stream):
        script(
            mariadb_database,
            "INSERT INTO items VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4)",
            "UPDATE items SET id = id + 100 WHERE id >= 3",
            "UPDATE items SET id = id + 1 ORDER BY id DESC",
            "REPLACE INTO items VALUES (2, 'new', 9), (3, 'other', 10)",
            "INSERT INTO uniq (id, code) VALUES (1, 'x'), (2, 'y')",
            "INSERT INTO uniq (id, code) VALUES (3, 'x') ON DUPLICATE KEY UPDATE hits = hits + 1, id = 30",
            "REPLACE INTO uniq (id, code) VALUES (2, 'x')",
            "INSERT INTO parts SELECT seq, 2000 + seq, 'p' FROM seq_1_to_40",
            "UPDATE parts SET year = year + 15 WHERE id > 10",
            "DELETE FROM parts WHERE id % 3 = 0",
            "UPDATE items JOIN uniq ON items.id = uniq.id SET items.cents = 77, uniq.hits = 78",
            "DELETE items FROM items JOIN uniq ON items.id = uniq.id WHERE uniq.hits = 1",
            "BEGIN",
            "INSERT INTO items VALUES (50, 'kept', 0)",
            "SAVEPOINT s",
            "INSERT INTO items VALUES (51, 'gone', 0)",
            "ROLLBACK TO s",
            "INSERT INTO items VALUES (52, 'kept too', 0)",
            "COMMIT",
            "BEGIN",
            "INSERT INTO items VALUES (60, 'never', 0)",
            "INSERT INTO myisam VALUES (1)",
            "ROLLBACK",
            "XA START 'one'",
            "INSERT INTO items VALUES (70, 'xa', 0)",
            "XA END 'one'",
            "XA PREPARE 'one'",
            "XA COMMIT 'one'",
            "XA START 'two','branch',7",
            "INSERT INTO items VALUES (71, 'xa undone', 0)",
            "XA END 'two','branch',7",
            "XA PREPARE 'two','branch',7",
            "XA ROLLBACK 'two','branch',7",
            "XA START 'three'",
            "INSERT INTO items VALUES (72, 'xa at once', 0)",
            "XA END 'three'",
            "XA COMMIT 'three' ONE PHASE",
            'INSERT INTO `odd``name "\'é` VALUES (1, "w"), (2, "v")',
            "CREATE TABLE elsewhere SELECT * FROM items",
            "DROP TABLE elsewhere",
            "CREATE TEMPORARY TABLE items (x int)",
            "DROP TEMPORARY TABLE items",
            "TRUNCATE TABLE log",
            "INSERT INTO log (what) VALUES ('after')",
            "SET SESSION binlog_row_image = MINIMAL",
            "UPDATE items SET cents = 5 WHERE id = 2",
            "UPDATE items SET id = 500 WHERE id = 2",
            "DELETE FROM items WHERE id = 50",
            "SET SESSION binlog_row_image = NOBLOB",
            "UPDATE `odd``name \"'é` SET `k``ey` = 3 WHERE `k``ey` = 1",
        )
        load_file(mariadb_database)
        expected = caught_up(follower, stream, applier)

    assert applied_rows(applier) == expected
    assert applier.stale == []
    assert applier.redefined == []


def load_file(database: TestDatabase) -> None:
    """LOAD DATA of a file that the server itself wrote."""
    path = f"{database.socket.rsplit('/', 1)[0]}/{database.schema}.txt"
    script(
        database,
        f"SELECT seq, 'loaded', seq FROM seq_2000_to_2500 INTO OUTFILE '{path}'",
        f"LOAD DATA INFILE '{path}' INTO TABLE items",
    )


def test_a_transaction_of_200_000_rows_comes_in_parts_and_is_one_commit(mariadb_database: TestDatabase) -> None:
    plan = plan_for(mariadb_database, ITEMS)
    follower = follower_of(mariadb_database)

    with followed(follower, plan) as (_, stream):
        script(
            mariadb_database,
            "BEGIN",
            "INSERT INTO items SELECT seq, repeat('x', 40), seq FROM seq_1_to_100000",
            "UPDATE items SET cents = -cents",
            "COMMIT",
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        changes, largest, total = 0, 0, 0
        give_up = time.monotonic() + 60
        while not isinstance(event := stream.next(5), Commit) or not changes:
            assert time.monotonic() < give_up
            if not isinstance(event, Rows):
                continue  # silence, or the end of another database's transaction
            changes, largest = changes + len(event.ops), max(largest, len(event.ops))
            total += sum(row[2] for row in event.rows if row is not None)
        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    assert (changes, total) == (200_000, 0)
    assert largest <= 5_000
    assert grown_mib < 40


def test_compressed_events_are_followed(mariadb_database: TestDatabase) -> None:
    plan = plan_for(mariadb_database, ITEMS)
    follower = follower_of(mariadb_database)
    script(mariadb_database, "SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10")
    try:
        with followed(follower, plan) as (applier, stream):
            script(
                mariadb_database,
                "INSERT INTO items SELECT seq, repeat('abc', 10), seq FROM seq_1_to_500",
                "UPDATE items SET cents = 7 WHERE id % 2",
                "DELETE FROM items WHERE id % 3",
                "CREATE TABLE a_new_table_with_a_long_definition (id int PRIMARY KEY, name varchar(200), v int)",
            )
            expected = caught_up(follower, stream, applier)
    finally:
        script(mariadb_database, "SET GLOBAL log_bin_compress = OFF")

    assert applied_rows(applier) == expected
    assert len(expected[0]) == 166
