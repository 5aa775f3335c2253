"""Made-up schemas and transactions against real sources, with faults on the way; afterwards every value is compared.

`make soak SOAK_S=600` runs it for so long, with a new seed each time; REFLEXDB_SOAK_SEED gives one again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pymysql
import pytest

from reflexdb.model.schema import Backend
from reflexdb.sync import feed
from tests.following.conftest import Follow
from tests.following.made_up import ACCOUNTS, OPENED, MadeUp
from tests.following.place import Place

SOAK_S = float(os.environ.get("REFLEXDB_SOAK_S") or 0)
ROUND_S = 60.0
"""A soak is made of rounds, each with a schema of its own."""
SHORT_S = 8.0
SAFETY_NET_S = 1
"""Which must find nothing: there is nobody who changes anything behind the stream's back."""
pytestmark = pytest.mark.timeout(max(600, 3 * SOAK_S))
INVARIANT = "accounts { n: count() total: sum(cents) } vault { total: sum(cents) }"
REFUSED = (pymysql.MySQLError, psycopg.Error)
"""Deadlocks, keys that are taken, values that others reference: what a writer lives with."""


class Run:
    """Writers, a reader and faults over one place."""

    def __init__(self, place: Place, made: MadeUp, seed: int) -> None:
        self.place, self.made, self.seed = place, made, seed
        self.over = threading.Event()
        self.failures: list[BaseException] = []
        self.committed = self.looks = 0

    def write(self, number: int) -> None:
        dice = random.Random(f"{self.seed} writer {number}")
        with contextlib.closing(self.place.database.connect()) as connection:
            while not self.over.is_set():
                self._transaction(connection, dice)
                time.sleep(dice.choice((0, 0, 0.01, 0.05)))

    def _transaction(self, connection: Any, dice: random.Random) -> None:
        statements = self.made.transaction(dice)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                for statement, values in statements:
                    cursor.execute(statement, values or None)
                cursor.execute("COMMIT" if dice.random() < 0.9 else "ROLLBACK")
                self.committed += 1
            except REFUSED:
                cursor.execute("ROLLBACK")

    def look(self) -> None:
        """Whatever fails, no query sees half a transaction."""
        channel = self.place.server.channel()
        with channel:
            channel.hello(feed.Role.DEPLOYER, None)
            while not self.over.is_set():
                found = json.loads(channel.query(INVARIANT))
                total = found["accounts"]["total"] + (found["vault"]["total"] or 0)
                assert (found["accounts"]["n"], total) == (ACCOUNTS, ACCOUNTS * OPENED), found
                self.looks += 1
                time.sleep(0.005)

    def harm(self) -> None:
        dice = random.Random(f"{self.seed} faults")
        faults = (self._cut, self._cut_within, self._stall, self._kill, self._restart, self._reload, self._pause)
        calm = 8 if SOAK_S and self.seed % 2 else 1  # so that tables are verified in between
        while not self.over.wait(calm * dice.uniform(0.5, 2.0)):
            dice.choice(faults)(dice)

    def _cut(self, dice: random.Random) -> None:
        self.place.cut.cut()
        self.over.wait(dice.uniform(0, 0.3))
        self.place.cut.mend()

    def _cut_within(self, dice: random.Random) -> None:
        self.place.cut.cut_after(dice.randrange(1, 20_000))
        self.over.wait(0.5)
        if self.place.cut.is_cut:
            self.place.cut.mend()

    def _stall(self, dice: random.Random) -> None:
        self.place.cut.stall()
        self.over.wait(dice.uniform(0.1, 1))
        self.place.cut.flow()

    def _kill(self, _: random.Random) -> None:
        kill = (
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL "
            "AND database = current_database()"
        )
        if self.place.backend is Backend.POSTGRES:
            self.place.execute(kill)
            return
        found = self.place.database.execute(
            "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"
        )
        for (number,) in found:
            with contextlib.suppress(pymysql.MySQLError):
                self.place.execute(f"KILL {number}")

    def _restart(self, _: random.Random) -> None:
        self.place.kill()
        self.place.start(safety_net_s=SAFETY_NET_S)

    def _reload(self, _: random.Random) -> None:
        with contextlib.suppress(Exception):  # the process may just be starting
            self.place.order("reload")

    def _pause(self, dice: random.Random) -> None:
        with contextlib.suppress(Exception):
            self.place.order("pause")
            self.over.wait(dice.uniform(0.1, 0.5))
        self.place.resume()

    def run(self, seconds: float) -> None:
        work = (lambda: self.write(1), lambda: self.write(2), self.look, self.harm)
        threads = [threading.Thread(target=self._guarded, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in threads:
            thread.join(60)
        self.place.heal()
        if self.failures:
            raise self.failures[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.failures.append(error)
            self.over.set()


def rounds() -> Iterator[tuple[int, float]]:
    given = os.environ.get("REFLEXDB_SOAK_SEED")
    if not SOAK_S:
        yield int(given or 1), SHORT_S
        return
    end = time.monotonic() + SOAK_S
    while (left := end - time.monotonic()) > 0:
        yield int(given) if given else random.randrange(1_000_000), min(ROUND_S, max(left, SHORT_S))


def test_what_is_made_up_ends_in_the_sources_state(follow: Follow, source: tuple[Backend, Any]) -> None:
    for seed, seconds in rounds():
        print(f"REFLEXDB_SOAK_SEED={seed}")
        made = MadeUp(seed, source[0])
        place = follow(source, *made.definitions(), config=made.config, safety_net_s=SAFETY_NET_S)
        try:
            run = Run(place, made, seed)
            run.run(seconds)
            place.check()
            wrong, read = place.log("differences_found"), [entry["read"] for entry in place.log("verified")]
        finally:
            place.close()
        print(f"{run.committed} transactions, {run.looks} looks, {place.counts}")
        print(f"{len(read)} tables verified, {len(read) - read.count('whole')} of them in parts")

        assert wrong == []
        assert run.committed
        assert run.looks
        clean(source, made)


def clean(source: tuple[Backend, Any], made: MadeUp) -> None:
    for name in ("keyless", "vault", "accounts", *(table.name for table in reversed(made.tables))):
        source[1].execute(f"DROP TABLE {name}")
