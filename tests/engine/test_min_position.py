"""Reading one's own writes: a request that asks for a source position is answered once the snapshot has it.

engine/doc/http.md, "Reading one's own writes", with the real server; positions by themselves through net_units.
"""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reflexdb.model.errors import InvalidRequest
from reflexdb.sources.mysql.binlog import gtid
from reflexdb.sync import feed
from reflexdb.sync.change_frames import changes_commit
from tests.engine.serving import LIMIT_S, Client, Server, get, post, refused, until
from tests.engine.test_changes_socket import insert, send

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id > 100) { id }"
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
OTHER = "44444444-71ca-11e1-9e33-c80aa9429562"
LONG = "X-ReflexDB-Wait-Ms: 30000\r\n"


def asking(position: str, more: str = LONG, query: str = QUERY) -> bytes:
    return post(query, extra=f"X-ReflexDB-Min-Position: {position}\r\n{more}")


class Followed:
    """A server whose sync follows a source, at a position."""

    def __init__(self, server: Server, position: str, mode: str = "binlog") -> None:
        self.server = server
        self.sync = server.sync(mode)
        self.confirm(position)

    def confirm(self, position: str) -> None:
        self.sync.request(feed.confirm(datetime.now(UTC), position))

    def write(self, number: int, position: str) -> None:
        send(self.sync, self.sync.request(feed.status())["version"], insert(number))
        self.sync.request(changes_commit(datetime.now(UTC), position))

    def waiting(self) -> int:
        line = [line for line in self.server.ask(get("/metrics")).body.decode().splitlines() if "waiting_req" in line]
        return int(float(line[-1].split()[1]))

    def await_waiting(self, count: int) -> None:
        until(lambda: self.waiting() == count)


@pytest.fixture
def followed(server: Server) -> Iterator[Followed]:
    place = Followed(server, "0-1-5,1-7-9")
    yield place
    place.sync.close()


def relate(program: Path, have: str, wanted: str) -> str:
    outcome = subprocess.run([str(program), "contains", have, wanted], capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


RELATIONS = [
    ("0/16B3748", "0/16B3748", "yes"),
    ("0/16B3748", "0/16B3749", "no"),
    ("1/0", "0/FFFFFFFF", "yes"),
    ("0/2000", "0/2018", "yes"),  # behind the head of a page in which nothing stands
    ("0/2000", "0/2019", "no"),
    ("0-1-5,1-7-9", "1-8-9", "yes"),
    ("0-1-5", "0-1-5,1-7-1", "no"),
    ("0-1-5", "2-1-0", "yes"),
    (f"{UUID}:1-5:7", f"{UUID}:2-4", "yes"),
    (f"{UUID}:1-5:7", f"{UUID}:6", "no"),
    (f"{UUID}:1-5:6-7", f"{UUID.upper()}:1-7", "yes"),
    (f"{UUID}:1-5", f"{UUID.replace('-', '')}:5", "yes"),
    (f"{UUID}:1-5", f"{OTHER}:1", "no"),
    (f"{UUID}:1-5,\n{OTHER}:1-9", f"{OTHER}:9", "yes"),
    (f"{UUID}:1-5:blue:1-3", f"{UUID}:blue:2", "yes"),
    (f"{UUID}:1-5:blue:1-3", f"{UUID}:2:blue:4", "no"),
    (f"{UUID}:1-5", f"{UUID}:blue:1", "no"),
    (f"{UUID}:blue:1-5:red:1", f"{UUID}:2", "no"),
    (f"{UUID}:1-3:Blue_1:1,{OTHER}:red:7", f"{OTHER}:RED:7,{UUID}:blue_1:1", "yes"),
    ("binlog.000009:4", "binlog.000003:4711", "yes"),
    ("binlog.000003:4711", "binlog.000003:4712", "no"),
    ("binlog.000003:4", "other.000003:4", "foreign"),
    ("17", "16", "yes"),
    ("17", "0/10", "foreign"),
    *((bad, "1", "bad") for bad in ("", "x", "-1", "0/", "/0", "0/123456789", "1-2", "1-2-3-4", "1-2-3,,1-2-3")),
    *((bad, "1", "bad") for bad in (f"{UUID}", f"{UUID}:", f"{UUID}:0", f"{UUID}:5-4", f"{UUID}:1tag:1", f"{UUID}0:1")),
    *((bad, "1", "bad") for bad in (f"{UUID}:tag", f"{UUID}:1:tag:", f"{UUID}:t-g:1", f"{UUID}:{'t' * 33}:1")),
    *((bad, "1", "bad") for bad in (".3:4", "a.b:4", "a.3:", "a:b.3:4", "18446744073709551616", "0-4294967296-1")),
]


@pytest.mark.parametrize(("have", "wanted", "said"), RELATIONS)
def test_positions_of_every_source_compare_as_its_history_does(
    net_units: Path, have: str, wanted: str, said: str
) -> None:
    assert relate(net_units, have, wanted) == said


def made_up(dice: random.Random) -> str:
    if dice.random() < 0.5:
        return ",".join(
            f"{d}-{dice.randint(1, 3)}-{dice.randint(0, 4)}" for d in dice.sample(range(4), dice.randint(1, 4))
        )
    intervals = [(low, low + dice.randint(0, 2)) for low in dice.sample(range(1, 12), dice.randint(1, 4))]
    tags = dice.choice(("", "", "blue:", "blue:1:red:"))
    return f"{dice.choice((UUID, OTHER))}:{tags}" + ":".join(f"{low}-{high}" for low, high in intervals)


def test_server_and_sync_agree_on_positions(net_units: Path) -> None:
    dice = random.Random(5)
    for _ in range(60):
        have, wanted = made_up(dice), made_up(dice)
        mine, other = gtid.parse(have), gtid.parse(wanted)
        expected = "foreign" if type(mine) is not type(other) else "yes" if mine.contains(other) else "no"  # type: ignore[arg-type]
        assert relate(net_units, have, wanted) == expected, (have, wanted)


@pytest.mark.parametrize("text", ["0-1", "x", f"{UUID}:5-4"])
def test_what_sync_can_not_read_the_server_can_not_either(net_units: Path, text: str) -> None:
    with pytest.raises(InvalidRequest):
        gtid.parse(text)
    assert relate(net_units, text, text) == "bad"


def test_a_position_that_is_there_is_answered_at_once_and_told(followed: Followed) -> None:
    answer = followed.server.ask(asking("0-3-5", "X-ReflexDB-Wait-Ms: 0\r\n"))

    assert (answer.status, answer.json()) == (200, [])
    assert answer.headers["x-reflexdb-position"] == "0-1-5,1-7-9"
    assert answer.headers["x-reflexdb-version"] == str(followed.server.version)


def test_a_request_waits_for_its_position_and_then_sees_the_write(followed: Followed) -> None:
    with followed.server.client() as client:
        client.send(asking("0-1-6"))
        followed.await_waiting(1)
        followed.write(101, "0-1-6,1-7-9")
        answer = client.answer()

        assert (answer.status, answer.json()) == (200, [{"id": 101}])
        assert answer.headers["x-reflexdb-position"] == "0-1-6,1-7-9"
        assert client.ask(post(QUERY)).status == 200
    followed.await_waiting(0)


def test_a_position_that_moves_without_changes_wakes_as_well(followed: Followed) -> None:
    with followed.server.client() as client:
        client.send(asking("1-7-10"))
        followed.await_waiting(1)
        followed.confirm("0-1-5,1-7-10")

        assert client.answer().status == 200


def test_a_position_that_does_not_come_is_503_with_the_present_one(followed: Followed) -> None:
    with followed.server.client() as client:
        answer = client.ask(asking("0-1-6", "X-ReflexDB-Wait-Ms: 30\r\n"))

        refused(answer, 503, "position_not_reached")
        assert answer.json()["position"] == "0-1-5,1-7-9"
        assert answer.json()["version"] == followed.server.version
        assert client.ask(post(QUERY)).status == 200


@pytest.mark.parametrize("query", ["GET", "HEAD", "chunked"])
def test_every_kind_of_request_can_wait(followed: Followed, query: str) -> None:
    fields = f"X-ReflexDB-Min-Position: 0-1-6\r\n{LONG}"
    if query == "chunked":
        text = post("", extra=fields + "Transfer-Encoding: chunked\r\n").replace(b"Content-Length: 0\r\n", b"")
        text += b"".join(b"1\r\n%c\r\n" % byte for byte in QUERY.encode()) + b"0\r\n\r\n"
    else:
        text = get("/query?q=users(id+%3E+100)+%7B+id+%7D", fields).replace(b"GET", query.encode(), 1)
    with followed.server.client() as client:
        client.send(text)
        followed.await_waiting(1)
        followed.write(101, "0-1-6")
        answer = client.answer(head_only=query == "HEAD")

    assert answer.status == 200
    assert query == "HEAD" or answer.json() == [{"id": 101}]


def test_pipelined_requests_keep_their_order_around_one_that_waits(followed: Followed) -> None:
    with followed.server.client() as client:
        client.send(post(QUERY) + asking("0-1-6") + post(QUERY) + asking("0-1-6"))
        before = client.answer()
        followed.await_waiting(1)
        followed.write(101, "0-1-6")
        after = [client.answer().json() for _ in range(3)]

    assert before.json() == []
    assert after == [[{"id": 101}]] * 3


def test_while_requests_wait_their_loop_answers_others(followed: Followed) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(followed.server.client()) for _ in range(60)]
        for number, client in enumerate(clients):
            client.send(asking(f"0-1-{6 + number % 3}"))
        followed.await_waiting(60)
        assert followed.server.ask(post(QUERY)).status == 200
        followed.write(101, "0-1-6")
        followed.await_waiting(40)
        followed.confirm("0-1-8")
        answers = [client.answer().json() for client in clients]

    assert answers == [[{"id": 101}]] * 60


def test_each_request_waits_for_its_own_time(followed: Followed) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(followed.server.client()) for _ in range(6)]
        for client, wait_ms in zip(clients, (30_000, 20, 30_000, 10, 30, 30_000), strict=True):
            client.send(asking("0-1-6", f"X-ReflexDB-Wait-Ms: {wait_ms}\r\n"))
        for index in (3, 1, 4):
            assert clients[index].answer().status == 503
        followed.await_waiting(3)
        followed.write(101, "0-1-6")

        assert [clients[index].answer().status for index in (0, 2, 5)] == [200] * 3


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("X-ReflexDB-Min-Position: nonsense\r\n", "GTID list of MariaDB such as 0-1-42"),
        ("X-ReflexDB-Min-Position: \r\n", "GTID list of MariaDB"),
        ("X-ReflexDB-Min-Position: 16/B374D848\r\n", "GTID list of MariaDB"),
        (f"X-ReflexDB-Min-Position: {UUID}:1\r\n", "GTID list of MariaDB"),
        ("X-ReflexDB-Min-Position: " + "1-1-1," * 700 + "1-1-1\r\n", "at most 4096 characters"),
        ("X-ReflexDB-Min-Position: 0-1-5\r\nX-ReflexDB-Wait-Ms: soon\r\n", "whole number"),
        ("X-ReflexDB-Min-Position: 0-1-5\r\nX-ReflexDB-Wait-Ms: -1\r\n", "whole number"),
    ],
)
def test_a_position_that_makes_no_sense_here_is_refused_with_what_does(
    followed: Followed, fields: str, said: str
) -> None:
    answer = followed.server.ask(post(QUERY, extra=fields))

    refused(answer, 400, "bad_position")
    assert said in answer.json()["message"]


def test_a_header_given_twice_is_refused(followed: Followed) -> None:
    twice = "X-ReflexDB-Min-Position: 0-1-5\r\n" * 2
    refused(followed.server.ask(post(QUERY, extra=twice)), 400, "bad_request")


def test_without_a_key_nothing_waits_and_nothing_is_told(followed: Followed) -> None:
    text = post(QUERY, key="", extra="X-ReflexDB-Min-Position: 9-9-9\r\n")
    answer = followed.server.ask(text)

    refused(answer, 401, "unauthorized")
    assert "x-reflexdb-position" not in answer.headers


def test_a_source_that_is_polled_has_versions_only(server: Server) -> None:
    with server.sync() as sync:
        sync.request(feed.sync_status("ok", "poll", None, {}))
        sync.request(feed.confirm(datetime.now(UTC), "0/16B3748"))
        told = server.ask(post(QUERY)).headers["x-reflexdb-position"]
        before = server.version
        refused(server.ask(asking("0/1")), 400, "bad_position")
        with server.client() as client:
            client.send(asking(str(server.version + 1)))
            until(lambda: b"reflexdb_waiting_requests 1" in server.ask(get("/metrics")).body)
            server.load(sync=sync)

            assert client.answer().status == 200
    assert told == str(before)


def test_the_server_bounds_what_a_client_may_wait(server_program: Path) -> None:
    with Server(server_program, "--max-wait-ms", "50") as server:
        place = Followed(server.ready(), "0-1-5")
        refused(server.ask(asking("0-1-6", "X-ReflexDB-Wait-Ms: 86400000\r\n")), 503, "position_not_reached")
        place.sync.close()


def test_a_client_that_leaves_is_no_longer_waited_for(followed: Followed) -> None:
    with followed.server.client() as client:
        client.send(asking("0-1-6"))
        followed.await_waiting(1)
    followed.await_waiting(0)


def test_those_who_wait_count_as_connections(server_program: Path) -> None:
    with Server(server_program, "--max-connections", "3") as server:
        place = Followed(server.ready(), "0-1-5")
        with server.client() as one, server.client() as two, server.client() as three:
            for client in (one, two):
                client.send(asking("0-1-6"))
            until(lambda: b"reflexdb_waiting_requests 2" in three.ask(get("/metrics")).body)
            refused(server.ask(post(QUERY)), 503, "overloaded")
            place.write(101, "0-1-6")

            assert one.answer().status == two.answer().status == 200
        place.sync.close()


@pytest.mark.parametrize("how", ["drain", "signal"])
def test_a_drain_ends_every_wait(server_program: Path, how: str) -> None:
    with Server(server_program) as server:
        place = Followed(server.ready(), "0-1-5")
        with server.client() as client:
            client.send(asking("0-1-6"))
            place.await_waiting(1)
            if how == "drain":
                server.orders.request(feed.drain(10_000))
            else:
                server.process.send_signal(signal.SIGTERM)
            answer = client.answer()

            refused(answer, 503, "position_not_reached")
            assert answer.headers["connection"] == "close"
        place.sync.close()
        assert server.process.wait(LIMIT_S) == 0


def test_a_position_that_could_end_a_line_is_not_put_into_a_head(followed: Followed) -> None:
    followed.confirm("binlog\r\nX-Evil: 1.000003:4")
    answer = followed.server.ask(post(QUERY))

    assert answer.status == 200
    assert "x-evil" not in answer.headers
    assert "x-reflexdb-position" not in answer.headers or "\r" not in answer.headers["x-reflexdb-position"]


def test_a_long_position_is_told_in_a_body_only(followed: Followed) -> None:
    long = ",".join(f"{domain}-1-{domain + 1}" for domain in range(200))
    followed.confirm(long)
    answer = followed.server.ask(asking("500-1-1", "X-ReflexDB-Wait-Ms: 0\r\n"))

    refused(answer, 503, "position_not_reached")
    assert answer.json()["position"] == long
    assert "x-reflexdb-position" not in answer.headers


def test_random_waits_and_publications_answer_every_request_once(followed: Followed) -> None:
    """Each answer is a snapshot with the position asked for, or a 503 before it came."""
    dice = random.Random(11)
    with ExitStack() as stack:
        clients = [stack.enter_context(followed.server.client()) for _ in range(20)]
        owed: list[tuple[Client, int]] = []
        for step in range(6, 40):
            for client in dice.sample(clients, 3):
                wanted = dice.randint(step - 2, step + 2)
                client.send(asking(f"0-1-{wanted}", f"X-ReflexDB-Wait-Ms: {dice.choice((0, 5, 30_000))}\r\n"))
                owed.append((client, wanted))
            followed.confirm(f"0-1-{step}")
        followed.confirm("0-1-99")
        for client, wanted in owed:
            answer = client.answer()
            at = int(answer.headers["x-reflexdb-position"].split(",")[0].split("-")[2])
            assert (answer.status == 200) == (at >= wanted)
    followed.await_waiting(0)
