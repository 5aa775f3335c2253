"""The private socket: engine/doc/feed.md in tests, with clients that stop, lie and are many."""

from __future__ import annotations

import random
import socket
import stat
import struct
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.errors import MemoryCapExceeded, SourceData
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.feed import InstanceRefused
from tests.engine import harness
from tests.engine.plans import PLAN, USERS
from tests.engine.serving import ROWS, SECRET, Server, get, open_descriptors, post, until

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id = 3) { id name }"
NOW = datetime.now(UTC)


def frame(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<IB", len(body) + 1, kind) + body


HELLO = feed.hello(feed.Role.SYNC, PLAN.fingerprint()).encode()


def talk(server: Server, data: bytes, close: bool = False) -> list[feed.Reply]:
    """Everything the server says to these bytes until it closes the connection, or until we end ours."""
    decoder = feed.ReplyDecoder()
    replies = []
    with server.raw_channel() as private:
        try:
            if data:
                private.sendall(data)
            if close:
                private.shutdown(socket.SHUT_WR)
            while more := private.recv(1 << 16):
                decoder.feed(more)
        except (BrokenPipeError, ConnectionResetError):
            pass
    while reply := decoder.next():
        replies.append(reply)
    return replies


def error_code(reply: feed.Reply) -> str:
    assert reply.kind is feed.Kind.ERROR
    with pytest.raises(InstanceRefused) as refusal:
        reply.payload()
    return refusal.value.code


def test_the_socket_is_for_its_owner_only(server: Server) -> None:
    mode = (server.directory / "server.sock").stat().st_mode

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_hello_tells_what_serves(server: Server) -> None:
    with server.channel() as channel:
        told = channel.hello(feed.Role.SYNC, PLAN.fingerprint())

    known = {
        "engine": "0.1.0",
        "fingerprint": PLAN.fingerprint().hex(),
        "version": server.version,
        "position": "here",
        "restored": False,
    }
    process = told.pop("process")
    assert told == {**known, "mode": "poll"}
    assert len(process) == 12


def test_no_two_processes_have_the_same_identity(server: Server, server_program: Path) -> None:
    with Server(server_program) as other, server.channel() as one, other.channel() as two:
        told = [channel.hello(feed.Role.DEPLOYER, None)["process"] for channel in (one, two)]
    with server.channel() as again:
        same = again.hello(feed.Role.DEPLOYER, None)["process"]

    assert told[0] == same
    assert told[1] != same


BAD_FRAMES = {
    "length 0": b"\0\0\0\0",
    "length over the limit": struct.pack("<I", (64 << 20) + 1) + b"x",
    "largest length": b"\xff\xff\xff\xff",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown kind": frame(0x7F),
    "reserved kind": frame(0x2F),
    "reply as request": frame(0x80, b"{}"),
    "no hello": frame(0x45),
    "two hellos": HELLO + HELLO,
    "short hello": frame(0x01, b"\1\0\1"),
    "long hello": frame(0x01, HELLO[5:] + b"x"),
    "other version": frame(0x01, b"\2\0\1" + PLAN.fingerprint()),
    "other role": frame(0x01, b"\1\0\3" + PLAN.fingerprint()),
    "deployer feeds": feed.hello(feed.Role.DEPLOYER, None).encode() + frame(0x14),
    "rows outside": HELLO + frame(0x13, bytes(8)),
    "table outside": HELLO + frame(0x11, bytes(4)),
    "commit outside": HELLO + frame(0x14),
    "begin twice": HELLO + feed.snapshot_begin(NOW, "").encode() * 2,
    "short begin": HELLO + frame(0x10, bytes(9)),
    "begin with more": HELLO + frame(0x10, bytes(10) + b"x"),
    "begin with less": HELLO + frame(0x10, bytes(8) + b"\5\0abc"),
    "short table": HELLO + feed.snapshot_begin(NOW, "").encode() + frame(0x11, bytes(3)),
    "commit with body": HELLO + feed.snapshot_begin(NOW, "").encode() + frame(0x14, b"x"),
    "drain without time": HELLO + frame(0x42),
    "serve with body": HELLO + frame(0x41, b"x"),
    "status of nothing": HELLO + frame(0x30, b"null"),
    "status no json": HELLO + frame(0x30, b"{'a':1}"),
    "status too long": HELLO + frame(0x30, b'{"a":"' + b"x" * 20_000 + b'"}'),
    "configure nothing": HELLO + frame(0x46, b"[]"),
    "configure unknown": HELLO + frame(0x46, b'{"x":1}'),
    "configure wrong level": HELLO + frame(0x46, b'{"logLevel":"loud"}'),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_answered_and_costs_its_connection_only(server: Server, name: str) -> None:
    replies = talk(server, BAD_FRAMES[name])

    assert error_code(replies[-1]) == "protocol_error"
    assert server.ask(post(QUERY)).status == 200
    assert server.orders.request(feed.status())["status"] == "ok"


def test_a_feed_for_another_plan_is_refused(server: Server) -> None:
    other = bytes(31) + b"\1"

    assert error_code(talk(server, feed.hello(feed.Role.SYNC, other).encode())[0]) == "wrong_plan"
    assert error_code(talk(server, feed.hello(feed.Role.DEPLOYER, other).encode())[0]) == "wrong_plan"
    assert error_code(talk(server, frame(0x01, b"\1\0\1" + bytes(33)))[0]) == "wrong_plan"


def snapshot_frames(name: str) -> bytes:
    frames = [feed.snapshot_begin(NOW, "cut").encode()]
    for index, table in enumerate(PLAN.tables):
        frames.append(feed.table(index).encode())
        if table.name == "users":
            frames += [frame(0x13, body) for body in harness.bodies(PLAN, index, [{"id": 3, "name": name}])]
    return HELLO + b"".join(frames) + frame(0x14)


def test_a_feed_cut_at_every_byte_changes_nothing(server: Server) -> None:
    data = snapshot_frames("cut")
    for cut in range(len(data)):
        talk(server, data[:cut], close=True)

    assert server.ask(post(QUERY)).json() == [{"id": 3, "name": "u3"}]
    assert talk(server, data, close=True)[-1].document() == {"version": server.version}
    assert server.ask(post(QUERY)).json() == [{"id": 3, "name": "cut"}]


def test_a_feed_may_come_in_any_pieces(server: Server) -> None:
    data = snapshot_frames("pieces")
    with server.raw_channel() as private:
        for at in range(0, len(data), 3):
            private.sendall(data[at : at + 3])
        private.shutdown(socket.SHUT_WR)
        while private.recv(1 << 16):
            pass

    assert server.ask(post(QUERY)).json() == [{"id": 3, "name": "pieces"}]


def test_a_client_killed_in_mid_snapshot_leaves_the_serving_one(server: Server) -> None:
    with server.sync() as sync:
        sync.request(feed.snapshot_begin(NOW, "lost"))
        sync.send(feed.table(USERS))
        for body in harness.bodies(PLAN, USERS, ROWS["users"]):
            sync.send(feed.Frame(feed.Kind.ROWS, (body,)))
    until(lambda: any(event["action"] == "snapshot_dropped" for event in server.log()))

    assert server.ask(post(QUERY)).json() == [{"id": 3, "name": "u3"}]
    assert server.load() == server.version


def test_a_newer_sync_takes_the_place_of_the_older(server: Server) -> None:
    with server.sync() as older:
        older.request(feed.snapshot_begin(NOW, "older"))
        with server.sync() as newer:
            until(older.is_closed)
            assert server.load(sync=newer) == server.version
            assert server.orders.request(feed.status())["syncConnected"] is True
    until(lambda: server.orders.request(feed.status())["syncConnected"] is False)


def test_a_snapshot_without_every_table_is_refused_at_its_commit(server: Server) -> None:
    with server.sync() as sync:
        sync.request(feed.snapshot_begin(NOW, "x"))
        sync.send(feed.table(USERS))
        with pytest.raises(InstanceRefused) as refusal:
            sync.request(feed.snapshot_commit())

    assert refusal.value.code == "protocol_error"
    assert server.ask(post(QUERY)).status == 200


def test_bad_rows_are_named_at_the_commit_and_sync_may_try_again(server: Server) -> None:
    bad = struct.pack("<II", USERS, 1) + b"\0" + struct.pack("<i", 1) + b"\0\0\0\0\0\1\0\0\0\xff"
    with server.sync() as sync:
        sync.request(feed.snapshot_begin(NOW, "x"))
        sync.send(feed.table(USERS))
        sync.send(feed.Frame(feed.Kind.ROWS, (bad,)))
        sync.send(feed.table(999))
        with pytest.raises(SourceData, match="users"):
            sync.request(feed.snapshot_commit())

        assert server.load(sync=sync) == server.version


def test_tables_that_are_kept_stay(server: Server) -> None:
    with server.sync() as sync:
        sync.request(feed.snapshot_begin(NOW, "kept"))
        for index in range(len(PLAN.tables)):
            sync.send(feed.table_keep(index))
        sync.request(feed.snapshot_commit())

    assert server.ask(post(QUERY)).json() == [{"id": 3, "name": "u3"}]


def test_an_aborted_snapshot_is_forgotten(server: Server) -> None:
    with server.sync() as sync:
        sync.request(feed.snapshot_begin(NOW, "x"))
        sync.send(feed.table(USERS))
        sync.request(feed.snapshot_abort())

        assert server.load(sync=sync) == server.version


def test_confirm_renews_the_age_and_not_the_version(server: Server) -> None:
    hour = timedelta(hours=1)
    with server.sync() as sync:
        sync.request(feed.confirm(NOW - hour, "then"))
        old = server.ask(post(QUERY)).headers
        sync.request(feed.confirm(datetime.now(UTC), "now"))
        new = server.ask(post(QUERY)).headers
        sync.request(feed.confirm(NOW + hour, "ahead"))
        ahead = server.ask(post(QUERY)).headers
        status = server.orders.request(feed.status())

    assert int(old["x-reflexdb-snapshot-age-ms"]) >= 3_600_000
    assert int(new["x-reflexdb-snapshot-age-ms"]) < 60_000
    assert int(ahead["x-reflexdb-snapshot-age-ms"]) < 60_000
    assert old["x-reflexdb-version"] == new["x-reflexdb-version"] == str(server.version)
    assert (status["position"], status["swapCount"]) == ("ahead", 1)


def test_before_a_snapshot_orders_that_need_one_are_told_to_wait(empty_server: Server) -> None:
    with empty_server.sync() as sync:
        for order in (feed.serve(), feed.query("users { id }"), feed.confirm(NOW, "x")):
            with pytest.raises(InstanceRefused) as refusal:
                sync.request(order)
            assert refusal.value.code == "not_ready"
    assert empty_server.orders.request(feed.status())["status"] == "starting"


def test_too_much_for_the_cap_is_refused_and_remembered_until_it_fits(server_program: Path) -> None:
    large = {"users": [{"id": i, "name": "n" * 1000} for i in range(5000)]}
    with Server(server_program, "--memory-cap-mb", "2").ready() as server:
        with pytest.raises(MemoryCapExceeded):
            server.load(large)
        health = server.ask(get("/health"))
        still = server.ask(post(QUERY)).json()
        server.load({})
        after = server.ask(get("/health")).json()

    assert (health.status, health.json()["status"]) == (200, "cap_exceeded")
    assert health.json()["reason"]
    assert health.json()["memory"]["capBytes"] == 2 << 20
    assert still == [{"id": 3, "name": "u3"}]
    assert after["status"] == "ok"


def test_sync_status_is_shown_and_failing_is_degraded(server: Server) -> None:
    def health() -> Any:
        return server.ask(get("/health")).json()

    assert health()["sync"] is None
    with server.sync() as sync:
        sync.request(feed.sync_status("failing", "poll", 'no "way"'))
        failing = health()
        sync.request(feed.sync_status("ok", "poll", None))

    assert (failing["status"], failing["reason"]) == ("degraded", 'no "way"')
    assert failing["sync"] == {"state": "failing", "mode": "poll", "lastError": 'no "way"'}
    assert health()["status"] == "ok"


def test_status_tells_what_health_tells_and_row_counts(server: Server) -> None:
    status = server.orders.request(feed.status())

    assert status["rowCounts"] == {table.name: len(ROWS.get(table.name, ())) for table in PLAN.tables}
    assert set(server.ask(get("/health")).json()) < set(status)


def test_a_query_may_be_asked_of_the_private_socket(server: Server) -> None:
    assert server.orders.query(QUERY) == b'[{"id":3,"name":"u3"}]'
    with pytest.raises(InstanceRefused) as refusal:
        server.orders.query("nothing { id }")
    assert refusal.value.code == "unknown_table"


def test_requests_in_one_breath_are_answered_in_order(server: Server) -> None:
    orders = [feed.query(f"users(id = {i}) {{ id }}").encode() for i in range(1, 100)]
    replies = talk(server, feed.hello(feed.Role.DEPLOYER, None).encode() + b"".join(orders), close=True)

    assert [reply.payload() for reply in replies[1:]] == [f'[{{"id":{i}}}]'.encode() for i in range(1, 100)]


def test_the_seventeenth_connection_is_refused(server: Server) -> None:
    channels: list[PrivateChannel] = []
    try:
        for _ in range(15):
            channels.append(server.channel())
            channels[-1].hello(feed.Role.DEPLOYER, None)
        assert error_code(talk(server, b"")[0]) == "protocol_error"
    finally:
        for channel in channels:
            channel.close()

    until(lambda: [frame.kind for frame in talk(server, HELLO, close=True)][:1] == [feed.Kind.OK])


def test_connections_leave_no_descriptor_or_thread_behind(server: Server) -> None:
    tasks = Path(f"/proc/{server.process.pid}/task")
    before = open_descriptors(server.process.pid), len(list(tasks.iterdir()))
    for _ in range(40):
        talk(server, HELLO, close=True)

    until(lambda: open_descriptors(server.process.pid) <= before[0] and len(list(tasks.iterdir())) <= before[1])


def test_garbage_of_every_kind_leaves_the_server_whole(server: Server) -> None:
    """Mutated feeds, from a fixed seed: whatever arrives, queries go on."""
    chance = random.Random(7)
    whole = snapshot_frames("garbage")
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(HELLO) if chance.random() < 0.9 else 0, len(data))
            if chance.random() < 0.5:
                data[at] = chance.randrange(256)
            elif chance.random() < 0.5:
                del data[at : at + chance.randint(1, 9)]
            else:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
        talk(server, bytes(data), close=True)

    assert server.ask(post(QUERY)).status == 200


def test_keys_and_rows_may_come_while_queries_are_answered(server: Server) -> None:
    stop = threading.Event()
    statuses: set[int] = set()

    def ask() -> None:
        with server.client() as client:
            while not stop.is_set():
                statuses.add(client.ask(post(QUERY)).status)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(10):
        server.orders.request(feed.keys(SECRET, {"k1": None, f"other{i}": None}))
        server.load()
        server.ask(get("/metrics"))
        server.orders.request(feed.status())
    stop.set()
    for thread in threads:
        thread.join()

    assert statuses == {200}
