"""Writers, readers and faults over one source, the real sync process and the real server.

Readers ask as clients do, over HTTP with Min-Position: for what a writer was told after its commit, and for what an
answer before told. Faults are the main thread's.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from reflexdb.sync import feed
from tests.consistency.history import History, Inconsistent, Transaction
from tests.consistency.sources import Source
from tests.engine.serving import SECRET, post
from tests.following.place import Place, wait

TABLES = ("lefts", "rights")
DEFINITIONS = tuple(
    f"CREATE TABLE {table} (id bigint PRIMARY KEY, writer int NOT NULL, n int NOT NULL, v int NOT NULL)"
    for table in TABLES
)
WRITERS = 3
SAFETY_NET_S = 2
"""Which must find nothing."""
ANSWER_S = 60.0
"""Longest time without one answer while faults go on."""
ROWS_KEPT = 40
"""Of a writer that deletes; of one that only inserts everything stays."""


class Writer:
    """Makes transactions until the run is over, over as many connections as it takes."""

    def __init__(self, source: Source, history: History, seed: int, inserts_only: bool) -> None:
        self._source, self.history, self._inserts_only = source, history, inserts_only
        self._dice = random.Random(f"{seed} writer {history.writer}")

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            with contextlib.suppress(*self._source.kind.lost):
                connection = self._source.connect()
                with contextlib.closing(connection), connection.cursor() as cursor:
                    self.settle(cursor)
                    while not over.is_set():
                        self.transact(cursor)
                        over.wait(self._dice.choice((0, 0.002, 0.01, 0.03)))
            over.wait(0.05)

    def settle(self, cursor: Any) -> None:
        """Of a transaction whose end was not heard of, the source says whether it was."""
        begun = self.history.begun
        if not begun:
            return
        cursor.execute(f"SELECT count(*) FROM {TABLES[0]} WHERE id = {self._id(begun)}")
        if not cursor.fetchone()[0]:
            self.history.undo()
        # Its position is not known; the next transaction's will do.

    def transact(self, cursor: Any) -> None:
        made = self._make()
        self.history.begin(made)
        cursor.execute("BEGIN")
        for table in TABLES:
            cursor.execute(
                f"INSERT INTO {table} VALUES ({self._id(made.number)}, {self.history.writer}, {made.number}, "
                f"{made.value})"
            )
            for number, value in made.updated.items():
                cursor.execute(f"UPDATE {table} SET v = {value} WHERE id = {self._id(number)}")
            for number in made.deleted:
                cursor.execute(f"DELETE FROM {table} WHERE id = {self._id(number)}")
        cursor.execute("COMMIT")
        cursor.execute(self._source.kind.position)
        self.history.acknowledge(str(cursor.fetchone()[0]))

    def _make(self) -> Transaction:
        dice, begun = self._dice, self.history.begun
        rows = {} if self._inserts_only else self.history.rows(begun)
        rows.pop(begun, None)  # the newest tells how far the writer is
        numbers = list(rows)
        dice.shuffle(numbers)
        deleted = frozenset(numbers[: max(0, len(numbers) - ROWS_KEPT + dice.randrange(3))])
        updated = {number: dice.randrange(1000) for number in numbers[len(deleted) : len(deleted) + dice.randrange(3)]}
        return Transaction(begun + 1, dice.randrange(1000), updated, deleted)

    def _id(self, number: int) -> int:
        return self.history.writer * 1_000_000_000 + number


class Reader:
    """Asks for each writer in turn and judges every answer."""

    def __init__(self, place: Place, histories: list[History], seed: int) -> None:
        self._place, self._histories = place, histories
        self._dice = random.Random(f"{seed} reader")
        self._shown = dict.fromkeys((history.writer for history in histories), 0)
        self._position = ""
        self.answers = 0
        self.answered = time.monotonic()

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            self.look(self._dice.choice(self._histories))
            if time.monotonic() > self.answered + ANSWER_S:
                raise Inconsistent(f"no answer for {ANSWER_S:.0f} s; sync says {self._place.health()}")
            over.wait(0.002)

    def look(self, history: History, own: bool | None = None) -> bool:
        """One question, with a writer's position or with that of the answer before. Whether it was answered."""
        least, position = history.acknowledged()
        if own is False or (own is None and self._dice.random() < 0.3):
            least, position = self._shown[history.writer], self._position
        if not position:
            return False
        fields = " ".join(f"{table}(writer = {history.writer}) {{ n v }}" for table in TABLES)
        headers = f"X-ReflexDB-Min-Position: {position}\r\nX-ReflexDB-Wait-Ms: 5000\r\n"
        try:
            answer = self._place.server.ask(post(fields, extra=headers))
        except (OSError, EOFError):  # the server was killed while it answered
            return False
        if answer.status == 503:
            return False
        assert answer.status == 200, answer.body
        rows = answer.json()
        shown = {table: {row["n"]: row["v"] for row in rows[table]} for table in TABLES}
        self._shown[history.writer] = max(self._shown[history.writer], history.judge(least, shown))
        self._position = answer.headers["x-reflexdb-position"]
        self.answers += 1
        self.answered = time.monotonic()
        return True


class Run:
    """One source, one place, one seed."""

    def __init__(self, place: Place, source: Source, seed: int) -> None:
        self.place, self.source, self.seed = place, source, seed
        self.histories = [History(number) for number in range(1, WRITERS + 1)]
        self.writers = [Writer(source, history, seed, history.writer == 1) for history in self.histories]
        self.reader = Reader(place, self.histories, seed)
        self.faults: dict[str, int] = {}
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._dice = random.Random(f"{seed} faults")

    def run(self, seconds: float) -> None:
        serve(self.place)
        work: list[Callable[[threading.Event], None]] = [writer.run for writer in self.writers] + [self.reader.run]
        threads = [threading.Thread(target=self._guarded, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        try:
            self._harm(time.monotonic() + seconds)
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)
        if self._failures:
            raise self._failures[0]
        self._end()

    def _end(self) -> None:
        """Nothing fails any more: everything that was acknowledged is shown, and nothing else."""
        for writer in self.writers:
            with contextlib.closing(self.source.connect()) as connection, connection.cursor() as cursor:
                writer.settle(cursor)
                writer.transact(cursor)
        for history in self.histories:
            wait(lambda: self.reader.look(history, own=True), "the last answer")  # noqa: B023
        self.place.check()

    def _harm(self, end: float) -> None:
        faults = (self._kill_server, self._kill_sync, self._kill_source, self._cut)
        while time.monotonic() < end and not self._over.wait(self._dice.uniform(0.2, 1.5)):
            some = self._dice.sample(faults, self._dice.choice((1, 1, 2)))
            name = " and ".join(sorted(fault.__name__.removeprefix("_kill_").removeprefix("_") for fault in some))
            self.faults[name] = self.faults.get(name, 0) + 1
            with contextlib.ExitStack() as mends:
                for fault in some:
                    mends.enter_context(fault())
                    self._over.wait(self._dice.choice((0, 0.02, 0.3)))
            serve(self.place)

    @contextlib.contextmanager
    def _kill_server(self) -> Iterator[None]:
        self.place.server.process.kill()
        yield
        self.place.crash_server()

    @contextlib.contextmanager
    def _kill_sync(self) -> Iterator[None]:
        self.place.kill()
        yield
        self.place.start(safety_net_s=SAFETY_NET_S)

    @contextlib.contextmanager
    def _kill_source(self) -> Iterator[None]:
        self.source.crash()
        yield
        self.source.restart()

    @contextlib.contextmanager
    def _cut(self) -> Iterator[None]:
        self.place.cut.cut()
        yield
        self.place.cut.mend()

    def _guarded(self, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self._over)
        except BaseException as error:
            self._failures.append(error)
            self._over.set()

    def told(self) -> str:
        made = sum(history.begun for history in self.histories)
        return f"{made} transactions, {self.reader.answers} answers, faults {dict(sorted(self.faults.items()))}"


def serve(place: Place) -> None:
    """As the deployer does with a server that was started again."""
    place.server.orders.request(feed.keys(SECRET, {"k1": None}))
    wait(lambda: place.status()["version"], "a snapshot")
    place.server.orders.request(feed.serve())
