"""Made-up changes of definitions and rights against a real source that is followed; then every value is compared.

`make source-oracle ORACLE_STEPS=10000` makes so many; REFLEXDB_DEFINITIONS_SEED gives a seed again.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import psycopg
import pytest

from reflexdb.model.schema import Backend
from tests.following.agreement import agree
from tests.following.conftest import Follow
from tests.following.made_up_definitions import MadeUpDefinitions, Statements
from tests.following.place import Place
from tests.following.reader import reader

RESUME = "version: 1\nsync:\n  cdc_reconnect_mode: resume\n"
STEPS = int(os.environ.get("REFLEXDB_DEFINITION_STEPS") or 30)
ROUND = 400
"""Steps on one database."""
BATCH = (1, 20)
"""Steps between two comparisons."""
pytestmark = [pytest.mark.each_postgres, pytest.mark.timeout(max(900, 10 * STEPS))]


class Run:
    """One database. What was done is kept, so that a difference can be understood."""

    def __init__(self, place: Place, made: MadeUpDefinitions, seed: int) -> None:
        self.place, self.made = place, made
        self.dice = random.Random(f"{seed} batches")
        self.done: list[str] = []
        self.refused = self.compared = self.misfits = 0

    def steps(self, count: int) -> None:
        while count > 0:
            batch = min(count, self.dice.randint(*BATCH))
            fault = self.dice.choice(("none", "none", "killed", "paused", "cut"))
            self.done = [f"-- {fault}"]
            self._begin(fault)
            for _ in range(batch):
                self._execute(self.made.change())
            self.place.heal()
            self._compare()
            count -= batch

    def _begin(self, fault: str) -> None:
        if fault == "killed":
            self.place.kill()
        if fault == "paused":
            self.place.order("pause")
        if fault == "cut":
            self.place.cut.cut()

    def _compare(self) -> None:
        try:
            misfits = agree(self.place)
        except AssertionError:
            print("\n".join(self.done))
            raise
        self.compared += 1
        self.misfits += len(misfits)
        if misfits and self.dice.random() < 0.7:
            self.done = ["-- mended"]
            for name in sorted(misfits):
                self._execute(self.made.mend(name))

    def _execute(self, statements: Statements) -> None:
        with contextlib.closing(self.place.database.connect()) as connection:
            for statement in statements:
                try:
                    connection.execute(statement)
                    self.done.append(f"{statement};")
                except psycopg.Error as error:
                    self.refused += 1
                    self.done.append(f"-- {statement}; -- {str(error).splitlines()[0]}")


def test_made_up_definitions_end_as_the_source_does(follow: Follow, postgres_database: Any) -> None:
    given = os.environ.get("REFLEXDB_DEFINITIONS_SEED")
    left = STEPS
    while left > 0:
        seed = int(given) if given else random.randrange(1_000_000) if STEPS > ROUND else 1
        print(f"REFLEXDB_DEFINITIONS_SEED={seed}")
        with reader(postgres_database) as database:
            made = MadeUpDefinitions(seed, database)
            place = follow((Backend.POSTGRES, database), *made.definitions(), config=RESUME)
            try:
                run = Run(place, made, seed)
                run.steps(min(left, ROUND))
            finally:
                place.close()
            print(
                f"{min(left, ROUND)} steps, {run.compared} comparisons, {run.misfits} announced, {run.refused} refused"
            )
            clean(postgres_database)
        left -= ROUND
        assert run.compared


def clean(database: Any) -> None:
    for statement in (
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "GRANT USAGE ON SCHEMA public TO public",
        "DROP PUBLICATION reflexdb",
    ):
        database.execute(statement)
