"""A connection that is cut or stalled anywhere costs nothing: the stream goes on at the last whole transaction."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

from reflexdb.model.errors import SourceUnreachable
from reflexdb.sources.mysql.binlog.follower import MySQLFollower
from tests.servers.plugin import TestDatabase
from tests.sources.applying import Applier, applied_rows, source_rows
from tests.sources.binlogs import ITEMS, plan_for, script
from tests.sources.helpers import mysql_address

LIMIT_S = 60.0


class Proxy:
    """Passes connections on to a server; a connection is cut after `budget` bytes from the server, if there is one."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.budget: int | None = None
        self.cuts = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, self.budget), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, budget: int | None) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(4096):
                if budget is not None and len(piece) >= budget:
                    target.sendall(piece[:budget])
                    self.cuts += 1
                    break
                target.sendall(piece)
                budget = None if budget is None else budget - len(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxied(database: TestDatabase) -> Iterator[Proxy]:
    proxy = Proxy(database.host, database.port)
    try:
        yield proxy
    finally:
        proxy.close()


def test_a_stream_cut_anywhere_goes_on_without_gap_or_double(mariadb_database: TestDatabase) -> None:
    plan = plan_for(mariadb_database, ITEMS, ITEMS.replace("items", "others"))
    direct = MySQLFollower(mysql_address(mariadb_database))
    with direct.snapshot(plan) as reader:
        applier = Applier(plan, reader)
    for number in range(30):
        script(
            mariadb_database,
            "BEGIN",
            f"INSERT INTO items SELECT {number} * 100 + seq, repeat('x', 40), 1 FROM seq_0_to_{number + 40}",
            f"INSERT INTO others SELECT {number} * 100 + seq, repeat('y', 40), -1 FROM seq_0_to_{number + 40}",
            f"UPDATE items SET id = id + 50000, cents = 2 WHERE id = {number} * 100",
            f"UPDATE others SET cents = -2 WHERE id = {number} * 100",
            "COMMIT",
        )
    wanted, expected = source_rows(direct, plan)
    rng = random.Random(5)
    sums = []
    applier.on_commit = lambda: sums.append(sum(row[2] for rows in applier.tables for row in rows.values()))

    with proxied(mariadb_database) as proxy:
        source = MySQLFollower(mysql_address(mariadb_database, port=proxy.port))
        give_up = time.monotonic() + LIMIT_S
        while not source.reached(applier.position, wanted):
            assert time.monotonic() < give_up
            proxy.budget = rng.randrange(12_000, 40_000)  # enough for the questions asked before a stream
            applier._open.clear()
            with contextlib.suppress(SourceUnreachable):
                stream = source.stream(plan, applier.position)
                with contextlib.closing(stream):
                    while not source.reached(applier.position, wanted):
                        event = stream.next(5)
                        assert event is not None
                        applier.take(event)

    assert proxy.cuts > 2
    assert applied_rows(applier) == expected
    assert set(sums) == {0}
    assert [commit.position for commit in applier.commits] == list(
        dict.fromkeys(commit.position for commit in applier.commits)
    )


def test_a_wait_for_events_ends_in_time_and_loses_nothing(mariadb_database: TestDatabase) -> None:
    """An event of a megabyte comes in many pieces; short waits in between neither lose nor repeat bytes."""
    plan = plan_for(mariadb_database, "CREATE TABLE t (id int PRIMARY KEY, v longtext)")
    source = MySQLFollower(mysql_address(mariadb_database))
    with source.snapshot(plan) as reader:
        applier = Applier(plan, reader)

    with contextlib.closing(source.stream(plan, applier.position)) as stream:
        script(mariadb_database, "INSERT INTO t VALUES (1, repeat('é', 9000000)), (2, 'b')")
        give_up = time.monotonic() + LIMIT_S
        while not applier.tables[0]:  # other databases of the server have commits too
            assert time.monotonic() < give_up
            event = stream.next(0)
            if event is not None:
                applier.take(event)

    assert applier.tables[0][(1,)] == (1, "é" * 9_000_000)
    assert (2,) in applier.tables[0]
