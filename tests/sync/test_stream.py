"""Following a source into the real server: every committed transaction, whole, once, whatever fails on the way."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.errors import SourceUnreachable
from reflexdb.sources.changes import Op, Redefined, Row, Rows, Stale, StaleRows, Truncated
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.fitting import Present
from reflexdb.sync.loop import Loop
from reflexdb.sync.orders import Orders
from reflexdb.sync.schedule import Schedule
from reflexdb.sync.stream import Stream
from tests.engine.plans import PLAN, POSTS, USERS
from tests.engine.serving import Server, compile_server
from tests.sync.logged import LogFollower, LoggedSource
from tests.sync.waiting import until


class _Ended(BaseException):
    """Ends a sync's thread where it happens to be."""


class Fuse:
    """Kills a sync at the n-th thing it sends, which arrives not at all or in half."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.is_torn = bool(steps % 2)

    def put_into(self, channel: PrivateChannel) -> None:
        send = channel._send

        def burn(parts: list[feed.Part], timeout_s: float) -> None:
            self.left -= 1
            if self.left < 0:
                if self.left == -1 and self.is_torn:
                    whole = b"".join(bytes(part) for part in parts)
                    channel._socket.sendall(whole[: len(whole) // 2])
                raise _Ended
            send(parts, timeout_s)

        channel._send = burn  # type: ignore[method-assign]


class Sync:
    """The loop in a thread of this process, between a logged source and a server."""

    def __init__(self, place: Place, safety_net_s: float = 0, resumes: bool = True, fuse: Fuse | None = None) -> None:
        self.dead = False
        self.fuse = fuse
        self.orders = Orders(place.directory)
        self.mode = Stream(
            PLAN,
            lambda: LogFollower(place.source),
            lambda: Present(PLAN, dict(place.drift)),
            place.directory,
            "binlog",
            resumes,
        )
        self.loop = Loop(self._connect(place), PLAN.fingerprint(), self.mode, Schedule(0.2, safety_net_s), self.orders)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _connect(self, place: Place) -> Callable[[], PrivateChannel]:
        def connect() -> PrivateChannel:
            if self.dead:
                raise _Ended
            self.channel = PrivateChannel(place.server.directory)
            if self.fuse is not None:
                self.fuse.put_into(self.channel)
            return self.channel

        return connect

    def _run(self) -> None:
        with contextlib.suppress(_Ended):
            self.loop.run()

    def end(self) -> None:
        """As if the process were killed: its connection goes, what it had not sent is lost."""
        self.dead = True
        with contextlib.suppress(OSError, AttributeError):
            self.channel._socket.shutdown(2)
        self.orders._rouse()
        self.thread.join(30)
        assert not self.thread.is_alive()


class Place:
    def __init__(self, program: Path, directory: Path) -> None:
        self.directory = directory
        self.source = LoggedSource(PLAN)
        self.drift: dict[int, str] = {}
        self.server = Server(program)
        self.syncs: list[Sync] = []
        self.sums: list[int] = []

    def sync(self, **settings: Any) -> Sync:
        self.syncs.append(Sync(self, **settings))
        return self.syncs[-1]

    def ask(self, query: str) -> Any:
        return json.loads(self.server.orders.query(query))

    def status(self) -> dict[str, Any]:
        return self.server.orders.request(feed.status())

    def end(self) -> None:
        for sync in self.syncs:
            if not sync.dead:
                sync.end()
        self.server.__exit__(None, None, None)


def user(number: int, age: int = 0, name: str | None = "u") -> Row:
    return (number, name, "free", True, age, None, None)


def post(number: int, owner: int | None) -> Row:
    return (number, owner, f"p{number}", 1, True, "1.5", 0.5, None)


def insert(table: int, *rows: Row) -> Rows:
    return Rows(table, [Op.INSERT] * len(rows), [None] * len(rows), list(rows))


def update(table: int, *rows: Row) -> Rows:
    return Rows(table, [Op.UPDATE] * len(rows), [(row[0],) for row in rows], list(rows))


def delete(table: int, *keys: int) -> Rows:
    return Rows(table, [Op.DELETE] * len(keys), [(key,) for key in keys], [None] * len(keys))


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    return compile_server(pytestconfig.cache.mkdir("engine"))


@pytest.fixture
def place(program: Path, tmp_path: Path) -> Iterator[Place]:
    place = Place(program, tmp_path)
    place.source.commit(insert(USERS, *(user(n, age=10) for n in range(1, 21))))
    yield place
    place.end()


def served(place: Place) -> dict[int, list[Any]]:
    users = place.ask("users { id name age }")
    posts = place.ask("posts { id user { id } }")
    return {
        USERS: [(row["id"], row["name"], row["age"]) for row in users],
        POSTS: [(row["id"], row["user"] and row["user"]["id"]) for row in posts],
    }


def at_source(place: Place) -> dict[int, list[Any]]:
    with place.source.changed:
        users = sorted(place.source.rows[USERS].values())
        posts = sorted(place.source.rows[POSTS].values())
    known = {row[0] for row in users}
    return {
        USERS: [(row[0], row[1], row[4]) for row in users],
        POSTS: [(row[0], row[1] if row[1] in known else None) for row in posts],
    }


def caught_up(place: Place) -> None:
    until(lambda: place.status()["version"] > 0, "a first snapshot")
    until(lambda: served(place) == at_source(place), "the server to be where the source is")


def test_changes_become_visible_with_their_relations(place: Place) -> None:
    place.sync()
    caught_up(place)
    place.source.commit(insert(USERS, user(30)), insert(POSTS, post(1, 30), post(2, 31)))
    place.source.commit(update(USERS, user(1, age=99)), delete(USERS, 2))
    place.source.commit(insert(USERS, user(31)), delete(USERS, 30))
    caught_up(place)

    assert place.source.snapshots == 1
    assert place.ask("posts { id user { id } }") == [{"id": 1, "user": None}, {"id": 2, "user": {"id": 31}}]
    until(lambda: place.source.confirmed == str(len(place.source.log)))


def test_a_query_never_sees_half_a_transaction(place: Place) -> None:
    place.sync()
    caught_up(place)
    stop = threading.Event()
    sums: set[int] = set()

    def look() -> None:
        with place.server.channel() as channel:
            channel.hello(feed.Role.DEPLOYER, None)
            while not stop.is_set():
                sums.add(json.loads(channel.query("users(id < 21) { total: sum(age) }"))["total"])

    looking = threading.Thread(target=look)
    looking.start()
    dice = random.Random(5)
    ages = dict.fromkeys(range(1, 21), 10)
    for _ in range(300):
        one, other = dice.sample(range(1, 21), 2)
        ages[one] -= 1
        ages[other] += 1
        place.source.commit(update(USERS, user(one, age=ages[one])), update(USERS, user(other, age=ages[other])))
    caught_up(place)
    stop.set()
    looking.join()

    assert sums == {200}


def test_a_transaction_of_many_frames_is_visible_at_once(place: Place) -> None:
    place.sync()
    caught_up(place)
    version = place.status()["version"]
    place.source.commit(
        insert(USERS, *(user(n) for n in range(100, 10_100))), *(insert(POSTS, post(n, 100)) for n in range(9_000))
    )
    caught_up(place)

    assert place.status()["version"] == version + 1


def test_a_process_that_is_killed_is_followed_by_one_that_goes_on(place: Place) -> None:
    first = place.sync()
    caught_up(place)
    place.source.commit(update(USERS, user(3, age=50)))
    caught_up(place)
    until(lambda: (place.status()["sync"] or {}).get("streamed"))
    first.end()
    place.source.commit(update(USERS, user(3, age=51)), insert(USERS, user(40)))
    place.sync()
    caught_up(place)

    assert place.source.snapshots == 1


def test_a_process_killed_at_any_step_loses_and_repeats_nothing(place: Place) -> None:
    """Whatever it was about to send, from its greeting over loads, groups and tables read again to its status."""
    dice = random.Random(7)

    def commit() -> None:
        owner, number = dice.randint(1, 20), len(place.source.log) + 1000
        place.source.commit(insert(POSTS, post(number, owner)), update(USERS, user(owner, age=dice.randint(0, 99))))
        if dice.random() < 0.3:
            place.source.commit(Stale(USERS, "a cascade"))

    for step in (*range(20), *range(20, 60, 9)):
        sync = place.sync(fuse=Fuse(step))
        until(lambda alive=sync.thread.is_alive: not alive() or commit(), f"death at step {step}")  # type: ignore[misc]
        sync.end()
    place.sync()
    caught_up(place)


@pytest.mark.parametrize(("resumes", "snapshots"), [(True, 1), (False, 2)])
def test_a_source_that_was_away_is_taken_up_again(place: Place, resumes: bool, snapshots: int) -> None:
    sync = place.sync(resumes=resumes)
    caught_up(place)
    until(lambda: sync.mode.follows, "the stream is open")
    place.source.failure = SourceUnreachable("cut")
    place.source.commit(update(USERS, user(4, age=60)))
    until(lambda: place.status()["status"] == "degraded")
    reason = place.status()["reason"]
    place.source.failure = None
    caught_up(place)
    until(lambda: place.status()["status"] == "ok")

    assert "cut" in reason
    assert place.source.snapshots == snapshots


def test_a_position_that_is_lost_costs_a_reload_and_nothing_else(place: Place) -> None:
    place.sync()
    caught_up(place)
    place.source.failure = SourceUnreachable("cut")
    until(lambda: place.status()["status"] == "degraded")
    place.source.commit(update(USERS, user(4, age=60)))
    place.source.first = len(place.source.log)
    place.source.failure = None
    caught_up(place)

    assert place.source.snapshots == 2


def test_a_stale_table_is_read_again_and_comes_with_the_state_of_all_others(place: Place) -> None:
    place.sync()
    caught_up(place)
    place.source.commit(insert(POSTS, post(1, 1)))
    caught_up(place)

    def meanwhile() -> None:
        place.source.before_view = None
        place.source.commit(delete(POSTS, 1), update(USERS, user(1, age=1)))

    with place.source.changed:
        place.source.before_view = meanwhile
        place.source.rows[USERS] = {(n,): user(n, age=n) for n in range(5, 9)} | {(1,): user(1, age=7)}
        place.source.commit(Stale(USERS, "cascade"), insert(POSTS, post(2, 6)))
    until(lambda: place.source.before_view is None)
    caught_up(place)
    place.source.commit(update(USERS, user(5, age=77)))
    caught_up(place)

    assert place.source.snapshots == 2


def test_stale_rows_come_with_the_state_of_all_others(place: Place) -> None:
    """Of two views the first is behind: what the stream tells meanwhile is asked for in it too, and not applied."""
    place.sync()
    caught_up(place)

    def meanwhile() -> None:
        place.source.before_view = None
        place.source.commit(insert(POSTS, post(1, 1)), update(USERS, user(3, age=30)), insert(USERS, user(50)))

    with place.source.changed:
        place.source.before_view = meanwhile
        place.source.rows[USERS][(1,)] = user(1, age=7)
        del place.source.rows[USERS][(2,)]
        place.source.commit(StaleRows(USERS, [(1,), (2,), (99,)], "where"), update(USERS, user(4, age=40)))
    until(lambda: place.source.before_view is None)
    caught_up(place)
    assert place.source.snapshots == 2


def test_stale_rows_are_asked_for_after_a_truncation(place: Place) -> None:
    place.sync()
    caught_up(place)
    with place.source.changed:
        place.source.commit(StaleRows(USERS, [(1,)], "where"), Truncated(USERS), StaleRows(USERS, [(2,)], "where"))
        place.source.rows[USERS] = {(2,): user(2)}
    caught_up(place)


def test_a_truncated_table_is_empty_and_fills_again(place: Place) -> None:
    place.sync()
    caught_up(place)
    place.source.commit(insert(POSTS, post(1, 1)))
    place.source.commit(Truncated(USERS), insert(USERS, user(2)))
    caught_up(place)

    assert place.ask("posts { user { id } }") == [{"user": None}]


def test_a_table_of_another_definition_stays_while_others_go_on(place: Place) -> None:
    place.sync()
    caught_up(place)
    place.drift = {USERS: "column 'age' of table 'users' is gone from the source"}
    place.source.commit(Redefined(USERS, "ALTER TABLE users DROP age"))
    place.source.commit(delete(USERS, 1), insert(POSTS, post(1, 2)))
    until(lambda: place.ask("posts { id }") == [{"id": 1}])
    until(lambda: place.status()["status"] == "degraded")

    assert place.status()["reason"].startswith("schema_changed: column 'age' of table 'users' is gone")
    assert len(place.ask("users { id }")) == 20


@pytest.mark.parametrize("hours", [-30, 5])
def test_a_source_whose_clock_is_far_off_is_as_old_as_it_is(place: Place, hours: int) -> None:
    place.source.clock_is_off = timedelta(hours=hours)
    place.sync()
    caught_up(place)
    place.source.commit(insert(USERS, user(900)))
    caught_up(place)
    told = place.status()
    assert told["sync"]["lagMs"] < 3_600_000
    assert told["snapshotAgeMs"] < 3_600_000
    place.source.failure = SourceUnreachable("away")
    age = place.status()["snapshotAgeMs"]
    until(lambda: place.status()["snapshotAgeMs"] > age + 300, "its age grows while it says nothing")


def test_while_paused_nothing_appears_and_nothing_is_lost(place: Place) -> None:
    sync = place.sync()
    caught_up(place)
    sync.orders.pause()
    until(lambda: (place.status()["sync"] or {}).get("state") == "paused")
    place.source.commit(update(USERS, user(9, age=90)))
    before = place.ask("users(id = 9) { age }")
    sync.orders.resume()
    caught_up(place)

    assert before == [{"age": 10}]
    assert place.source.snapshots == 1
