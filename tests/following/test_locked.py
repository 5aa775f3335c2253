"""A table that the application holds locked keeps up no other table, whatever sync asks of it meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait
from tests.following.test_trouble import ITEMS, LOCKS, RESUME, keyless

pytestmark = pytest.mark.each_binlog

AT_ONCE_S = 6.0
"""Under the load of other tests; the longest wait for a lock is a second."""


@contextlib.contextmanager
def locked(place: Place, *statements: str) -> Iterator[None]:
    """The table `bare` is locked; then the same session runs these statements."""
    lock, unlock = LOCKS[place.backend]
    with contextlib.closing(place.database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(lock)
        for statement in statements:
            cursor.execute(statement)
        yield
        cursor.execute(unlock)


def stale(place: Place) -> list[str]:
    return [told["table"] for told in place.health().get("tables") or []]


def goes_on(place: Place, *numbers: int) -> None:
    """Rows of the other table are answered soon after they were written."""
    for number in numbers:
        began = time.monotonic()
        place.execute(f"INSERT INTO items VALUES ({number}, {number})")
        wait(lambda: place.ask(f"items(id = {number}) {{ id }}"), "the other table", 60)  # noqa: B023
        assert time.monotonic() < began + AT_ONCE_S, place.log()[-8:]


def test_a_table_that_is_locked_is_stale_alone(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(source, ITEMS, *keyless(source[0]), "INSERT INTO bare VALUES (1)", config=RESUME)
    place.kill()
    place.execute("INSERT INTO bare VALUES (2)")
    with locked(place):
        place.start()
        wait(lambda: place.log("following")[1:], "the stream to be open again", 30)
        goes_on(place, 1, 2)
        wait(lambda: stale(place) == ["bare"], "the table to be named")
        goes_on(place, 3, 4, 5)
        (told,) = place.health()["tables"]
        assert told["reason"].startswith("source_interrupted:")
    wait(lambda: not stale(place), "the table to come back")
    place.check()


def test_looks_at_definitions_do_not_wait_for_a_locked_table(follow: Follow, source: tuple[Backend, Any]) -> None:
    """While one table is locked, another one is altered: the catalog has to be asked."""
    place = follow(source, ITEMS, *keyless(source[0]), "CREATE TABLE third (id int PRIMARY KEY)", config=RESUME)
    with locked(place):
        place.execute("ALTER TABLE third ADD COLUMN n int")
        goes_on(place, *range(1, 9))
    place.check()
