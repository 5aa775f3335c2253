"""Loops, feeds and orders at once, under the thread sanitizer: nothing is shared but what is meant to be."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reflexdb.sources.changes import Op, Rows
from reflexdb.sync import feed
from reflexdb.sync.change_frames import changes, changes_begin, changes_commit
from tests.engine.plans import PLAN, USERS
from tests.engine.serving import LIMIT_S, SECRET, THREAD_FLAGS, Server, compile_server, get, post
from tests.engine.test_live import Live

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def checked_program(pytestconfig: pytest.Config) -> Path:
    return compile_server(pytestconfig.cache.mkdir("engine"), THREAD_FLAGS)


def test_swaps_keys_queries_and_a_drain_at_once_race_nowhere(checked_program: Path) -> None:
    stop = threading.Event()
    statuses: set[int] = set()

    def ask(server: Server) -> None:
        while not stop.is_set():
            with server.client() as client:
                for _ in range(20):
                    statuses.add(client.ask(post("users(id = 3) { id posts { title } }")).status)
                statuses.add(client.ask(get("/metrics")).status)

    with Server(checked_program).ready() as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(15):
            server.load()
            server.orders.request(feed.keys(SECRET, {"k1": None, f"k{i + 2}": None}))
            with server.sync() as sync:
                sync.request(feed.sync_status("ok", "poll", None))
            server.orders.request(feed.status())
        stop.set()
        for thread in threads:
            thread.join()
        server.orders.request(feed.drain(1000))

        assert server.process.wait(LIMIT_S) == 0
    assert statuses == {200}


def test_groups_of_changes_race_with_no_query_and_are_never_seen_in_part(checked_program: Path) -> None:
    """Whatever moves between rows, and from a row to another in its place, the sum stays."""
    stop = threading.Event()
    sums: set[int] = set()

    def ask(server: Server) -> None:
        with server.client() as client:
            while not stop.is_set():
                sums.add(client.ask(post("users { total: sum(age) }")).json()["total"])
                assert client.ask(post("users { id posts(ORDER BY id DESC LIMIT 2) { title } }")).status == 200

    dice = random.Random(3)
    ages = dict.fromkeys(range(1, 101), 10)
    with Server(checked_program).ready({"users": [{"id": i, "age": 10} for i in ages]}) as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        with server.sync() as sync:
            version = server.version
            for _ in range(150):
                rows = moves(dice, ages)
                sync.send(changes_begin(version))
                for frame in changes(PLAN.tables[USERS], rows):
                    sync.send(frame)
                version = sync.request(changes_commit(datetime.now(UTC), "p"))["version"]
        stop.set()
        for thread in threads:
            thread.join()

    assert sums == {1000}


CHILDREN = 2000
MANY: dict[str, list[dict[str, object]]] = {
    "users": [{"id": 1}],
    "posts": [{"id": i, "user_id": 1, "title": f"p{i}"} for i in range(1, CHILDREN + 1)],
}
FOREVER = 'posts { user { posts(title = "none") { id } } }'
LONG = 'posts(LIMIT 20) { user { posts(title = "p7") { id } } }'
ANSWER = [{"user": {"posts": [{"id": 7}]}}] * 20


def test_long_queries_clients_that_leave_them_and_swaps_race_nowhere(checked_program: Path) -> None:
    stop = threading.Event()
    answers: list[object] = []

    def stay(server: Server) -> None:
        with server.client() as client:
            while not stop.is_set():
                answers.append(client.ask(post(LONG)).json())

    def leave(server: Server) -> None:
        while not stop.is_set():
            with server.client() as client:
                client.send(post(FOREVER, extra="Accept: text/csv, application/json\r\n"))
                assert server.ask(post("posts(id = 3) { title }")).json() == [{"title": "p3"}]

    def follow(server: Server) -> None:
        while not stop.is_set():
            with Live(server, LONG) as live:
                answers.append(live.rows())

    with Server(checked_program).ready(MANY) as server:
        threads = [threading.Thread(target=work, args=(server,)) for work in (stay, stay, leave, leave, follow)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            server.load(MANY)
        stop.set()
        for thread in threads:
            thread.join()
        server.orders.request(feed.drain(1000))

        assert server.process.wait(LIMIT_S) == 0
    assert answers
    assert all(answer == ANSWER for answer in answers)


def test_what_waits_follows_streams_or_is_written_down_races_with_no_swap(checked_program: Path) -> None:
    stop = threading.Event()
    done = dict.fromkeys(("waits", "follows", "streams"), 0)

    def waits(server: Server) -> None:
        version = server.version
        while not stop.is_set():
            extra = f"X-ReflexDB-Min-Position: {version + 1}\r\nX-ReflexDB-Wait-Ms: 200\r\n"
            answer = server.ask(post("users { n: count() }", extra=extra))
            version = int(answer.headers["x-reflexdb-version"])
            done["waits"] += answer.status == 200

    def follows(server: Server) -> None:
        with Live(server, "users { n: count() }") as live:
            while not stop.is_set():
                done["follows"] += "data" in live.event()

    def streams(server: Server) -> None:
        while not stop.is_set():
            with server.client() as client:
                client.send(post("posts { * }", extra="Accept: application/x-ndjson\r\nAccept-Encoding: gzip\r\n"))
                assert client.answer(head_only=True).status == 200
                while client.chunk():
                    pass
            done["streams"] += 1

    with Server(checked_program, "--checkpoint-s", "1").ready(MANY) as server:
        threads = [threading.Thread(target=work, args=(server,)) for work in (waits, waits, follows, streams, streams)]
        for thread in threads:
            thread.start()
        count = 1
        while not stop.is_set():
            count += 1
            server.load({**MANY, "users": [{"id": i} for i in range(1, count)]})
            written = server.orders.request(feed.status())["checkpoint"]["written"]
            if count > 10 and min(done.values()) > 3 and written > 1:
                stop.set()
                server.load({**MANY, "users": []})  # whoever follows hears of it, and ends
        for thread in threads:
            thread.join()


def moves(dice: random.Random, ages: dict[int, int]) -> Rows:
    """Some age goes from one row to another, and a row gets another key."""
    rows = Rows(USERS)

    def note(op: Op, key: int | None, row: int | None) -> None:
        rows.ops.append(op)
        rows.keys.append(None if key is None else (key,))
        rows.rows.append(None if row is None else (row, None, None, None, ages[row], None, None))

    for _ in range(5):
        one, other = dice.sample(sorted(ages), 2)
        ages[one] -= 3
        ages[other] += 3
        note(Op.UPDATE, one, one)
        note(Op.UPDATE, other, other)
    old, new = dice.choice(sorted(ages)), dice.randrange(1000, 10**6)
    if new not in ages:
        ages[new] = ages.pop(old)
        note(Op.DELETE, old, None)
        note(Op.INSERT, None, new)
    return rows
