"""Made-up transactions from several sessions while a source is followed, and what was read again because of them."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence

import psycopg
import pymysql

from tests.following.place import Place

REFUSED = (pymysql.MySQLError, psycopg.Error)


def numbers(table: str, values: str, count: int) -> str:
    """Insert so many rows, at most 10,000, of these expressions of `seq`, in the words of every source."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS n" for digit in range(10))
    places = ", ".join(f"({digits}) d{place}" for place in range(4))
    seq = f"SELECT 1 + d0.n + 10 * d1.n + 100 * d2.n + 1000 * d3.n AS seq FROM {places}"
    return f"INSERT INTO {table} SELECT {values} FROM ({seq}) made WHERE seq <= {count}"


def read_again(place: Place) -> tuple[int, int]:
    """Whole tables and single rows, so far."""
    told = place.log("tables_read_again")
    return sum(entry["tables"] for entry in told), sum(entry["rows"] for entry in told)


class Writers:
    """Random transactions from two sessions at a time, and a reader of what every state must fulfil."""

    def __init__(self, place: Place, seed: int, step: Callable[[random.Random], Sequence[str]]) -> None:
        self.place, self.seed, self.step = place, seed, step
        self.over = threading.Event()
        self.committed = self.looks = 0

    def write(self, number: int) -> None:
        dice = random.Random(f"{self.seed} {number}")
        with contextlib.closing(self.place.database.connect()) as connection, connection.cursor() as cursor:
            while not self.over.is_set():
                try:
                    cursor.execute("BEGIN")
                    for statement in self.step(dice):
                        cursor.execute(statement)
                    cursor.execute("COMMIT")
                    self.committed += 1
                except REFUSED:
                    cursor.execute("ROLLBACK")
                time.sleep(dice.choice((0, 0.001, 0.02)))

    def run(self, seconds: float, look: Callable[[], None]) -> None:
        self.over.clear()
        threads = [threading.Thread(target=self.write, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                look()
                self.looks += 1
                time.sleep(0.01)
        finally:
            self.over.set()
            for thread in threads:
                thread.join(60)
