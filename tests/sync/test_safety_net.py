"""What was changed behind the stream's back is found while the stream goes on, and nothing else is taken for it."""

from __future__ import annotations

import threading
import time

from reflexdb.model.errors import SourceUnreachable
from tests.engine.plans import POSTS, USERS
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
