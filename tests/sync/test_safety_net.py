"""What was changed behind the stream's back is found while the stream goes on, and nothing else is taken for it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from reflexdb.model.errors import SourceData, SourceUnreachable
from reflexdb.sources.changes import Op, Rows, Truncated
from reflexdb.sync import ledger
from tests.engine.plans import PLAN, POSTS, USERS
from tests.sync.test_stream import Place, caught_up, delete, insert, place, post, program, update, user
from tests.sync.waiting import until

__all__ = ["place", "program"]


def test_what_was_changed_behind_the_streams_back_is_found_counted_and_mended(place: Place) -> None:
    place.sync(safety_net_s=0.5)
    caught_up(place)
    with place.source.changed:
        del place.source.rows[USERS][(7,)]
        place.source.rows[USERS][(8,)] = user(8, age=88)
    caught_up(place)
    until(lambda: place.status()["sync"]["differences"] == 2)


def test_writes_are_no_difference_however_many_come_while_a_table_is_read(place: Place) -> None:
    place.sync(safety_net_s=0.2)
    caught_up(place)
    ended = threading.Event()

    def write() -> None:
        number = 1000
        while not ended.is_set():
            number += 1
            place.source.commit(insert(USERS, user(number)), update(USERS, user(9, age=number)))
            place.source.commit(update(USERS, user(number, age=1)), insert(POSTS, post(number, number)))
            if number > 1010:
                place.source.commit(delete(USERS, number - 3))
            time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: place.status()["sync"].get("verified", 0) >= 6, "tables are verified under writes")
    finally:
        ended.set()
        writer.join()
    caught_up(place)

    assert place.status()["sync"]["differences"] == 0


def test_a_verification_outlives_a_lost_connection_and_finds_what_is_wrong_once(place: Place) -> None:
    place.sync(safety_net_s=0.5)
    caught_up(place)
    until(lambda: place.status()["sync"]["state"] == "ok", "the stream follows")  # else it loads again
    with place.source.changed:
        place.source.rows[USERS][(8,)] = user(8, age=88)
        place.source.failure = SourceUnreachable("gone")
        place.source.changed.notify_all()
    until(lambda: place.status()["sync"]["state"] == "failing")
    place.source.failure = None
    place.source.commit(update(USERS, user(9, age=90)))
    until(lambda: place.status()["sync"]["differences"] == 1)
    verified = place.status()["sync"]["verified"]
    until(lambda: place.status()["sync"]["verified"] >= verified + 2)

    assert place.status()["sync"]["differences"] == 1
    assert place.ask("users(id = 8) { age }") == [{"age": 88}]


TABLES = len(PLAN.tables)


@pytest.fixture(autouse=True)
def seldom_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rounds there are, only the first reads everything."""
    monkeypatch.setattr(ledger, "WHOLE_EVERY", 1_000_000)


def rounds(place: Place, count: int = 1) -> None:
    """So many more verifications of every table, and what is being verified just now."""
    wanted = place.status()["sync"].get("verified", 0) + TABLES * (count + 1)
    until(lambda: place.status()["sync"].get("verified", 0) >= wanted, "tables are verified")


def change_in_secret(place: Place) -> None:
    """One row; returns once the server has it all the same."""
    with place.source.changed:
        place.source.rows[USERS][(5,)] = user(5, age=55)
    caught_up(place)


def parts_of(place: Place, table: int) -> list[list[Any]]:
    with place.source.changed:
        return [keys for index, keys in place.source.parts if index == table]


def test_what_neither_the_source_nor_the_stream_has_changed_is_not_read_again(place: Place) -> None:
    place.sync(safety_net_s=0.05)
    caught_up(place)
    rounds(place)
    assert parts_of(place, USERS) == []

    place.source.commit(update(USERS, user(9, age=1)), insert(USERS, user(40)))
    place.source.commit(delete(USERS, 3), update(USERS, user(9, age=2)))
    rounds(place, 2)
    read = parts_of(place, USERS)
    assert read
    assert {key for keys in read for key in keys} <= {9, 40}
    rounds(place, 2)
    assert parts_of(place, USERS) == read
    caught_up(place)
    assert place.status()["sync"]["differences"] == 0


def test_what_was_changed_behind_the_streams_back_is_found_by_its_sum_and_only_that_is_read(place: Place) -> None:
    place.sync(safety_net_s=0.05)
    caught_up(place)
    rounds(place)
    with place.source.changed:
        del place.source.rows[USERS][(7,)]
        place.source.rows[USERS][(8,)] = user(8, age=88)
        place.source.rows[USERS][(500,)] = user(500)
    caught_up(place)
    until(lambda: place.status()["sync"]["differences"] == 3)
    rounds(place)

    assert {key for keys in parts_of(place, USERS) for key in keys} == {8, 500}
    assert place.status()["sync"]["differences"] == 3


def test_rows_that_move_between_what_is_read_and_what_is_not_end_where_they_are(place: Place) -> None:
    place.sync(safety_net_s=0.05)
    caught_up(place)
    rounds(place)
    moved = iter(range(10_000))

    def move() -> None:
        """While a part is read, after its view: a row comes into it, one leaves it, one stays."""
        n = next(moved)
        if n < 200:
            rows = [user(1000 + n, age=n), user(2 if n % 2 else 1001, age=n), user(5, age=n)]
            place.source.commit(Rows(USERS, [Op.INSERT], [None], rows[:1]))
            place.source.commit(
                Rows(USERS, [Op.UPDATE], [(1000 + n,)], [user(2000 + n, age=n)]), update(USERS, rows[2])
            )
            place.source.commit(Rows(USERS, [Op.UPDATE, Op.DELETE], [(2000 + n,), (1000 + n,)], [user(1000 + n), None]))

    place.source.before_view = move
    rounds(place, 8)
    place.source.before_view = None
    caught_up(place)

    assert parts_of(place, USERS)
    assert place.status()["sync"]["differences"] == 0


def test_a_table_that_is_emptied_is_remembered_no_more(place: Place) -> None:
    place.sync(safety_net_s=0.05)
    caught_up(place)
    rounds(place)
    place.source.commit(Truncated(USERS), insert(USERS, user(4), user(5)))
    rounds(place)
    change_in_secret(place)
    rounds(place)

    assert place.status()["sync"]["differences"] == 1


def test_now_and_then_a_table_is_read_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what no sum tells is found too."""
    monkeypatch.setattr(ledger, "WHOLE_EVERY", 3)
    place.source.sums_tell = False
    place.sync(safety_net_s=0.05)
    caught_up(place)
    rounds(place)
    change_in_secret(place)

    assert parts_of(place, USERS) == []
    until(lambda: place.status()["sync"]["differences"] == 1)


def test_where_the_source_gives_no_sums_tables_are_read_whole(place: Place) -> None:
    place.source.refusal = SourceData("There is no such function.")
    place.sync(safety_net_s=0.05)
    caught_up(place)
    rounds(place)
    change_in_secret(place)

    assert parts_of(place, USERS) == []
    until(lambda: place.status()["sync"]["differences"] == 1)
