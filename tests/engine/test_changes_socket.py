"""Row changes over the private socket: engine/doc/feed.md, "Changes", with the real server."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reflexdb.model.errors import InstanceUnreachable, MemoryCapExceeded
from reflexdb.sources.changes import Op, Row, Rows
from reflexdb.sync import feed
from reflexdb.sync.change_frames import changes, changes_abort, changes_begin, changes_commit
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.feed import InstanceRefused
from tests.engine.plans import PLAN, USERS
from tests.engine.serving import Server, get, post

pytestmark = pytest.mark.timeout(1200)

NOW = datetime.now(UTC)
AGES = "users(id > 100) { id }"


def user(number: int) -> Row:
    return (number, None, None, None, None, None, None)


def insert(*numbers: int) -> Rows:
    return Rows(USERS, [Op.INSERT] * len(numbers), [None] * len(numbers), [user(n) for n in numbers])


def send(sync: PrivateChannel, version: int, *groups: Rows) -> None:
    sync.send(changes_begin(version))
    for rows in groups:
        for frame in changes(PLAN.tables[rows.table], rows):
            sync.send(frame)


def commit(sync: PrivateChannel, position: str = "p2") -> int:
    return int(sync.request(changes_commit(NOW, position))["version"])


def say(sync: PrivateChannel, frames: list[feed.Frame]) -> None:
    """All of them, then listen to what comes."""
    for frame in frames:
        sync.send(frame)
    for _ in frames:
        sync.receive().payload()


def test_a_group_is_visible_at_its_commit_with_its_position(server: Server) -> None:
    with server.sync() as sync:
        send(sync, server.version, insert(101), insert(102))
        before = server.ask(post(AGES)).json()
        version = commit(sync, "p2")
        answer = server.ask(post(AGES))

    assert before == []
    assert answer.json() == [{"id": 101}, {"id": 102}]
    assert answer.headers["x-reflexdb-version"] == str(version)
    assert server.orders.request(feed.status())["position"] == "p2"


def test_a_new_sync_learns_version_position_and_mode_of_the_rows(server: Server) -> None:
    with server.sync() as sync:
        send(sync, server.version, insert(101))
        version = commit(sync, "p7")
        sync.request(feed.sync_status("ok", "binlog", None, {"streamed": True, "lagMs": 1500}))
    with server.channel() as channel:
        hello = channel.hello(feed.Role.SYNC, PLAN.fingerprint())
    metrics = server.ask(get("/metrics")).body.decode()

    assert (hello["version"], hello["position"], hello["mode"]) == (version, "p7", "poll")
    assert "\nreflexdb_sync_lag_seconds 1.5\n" in metrics


def test_changes_to_another_version_or_that_do_not_fit_are_out_of_step_and_the_connection_goes_on(
    server: Server,
) -> None:
    with server.sync() as sync:
        before = server.version
        for version, rows in ((before + 4, insert(101)), (before, insert(3))):
            send(sync, version, rows)
            with pytest.raises(InstanceRefused) as refusal:
                commit(sync)
            assert refusal.value.code == "out_of_step"
        send(sync, server.version, insert(101))

        assert commit(sync) == before + 1
    assert server.ask(post(AGES)).json() == [{"id": 101}]


def test_an_aborted_group_and_one_whose_connection_ends_leave_nothing(server: Server) -> None:
    with server.sync() as sync:
        send(sync, server.version, insert(101))
        sync.request(changes_abort())
        send(sync, server.version, insert(102))
    with server.sync() as sync:
        send(sync, server.version, insert(103))
        commit(sync)

    assert server.ask(post(AGES)).json() == [{"id": 103}]


BEGIN = changes_begin(0)
"""Stands for the one of the version that serves."""


@pytest.mark.parametrize(
    "frames",
    [
        [feed.Frame(feed.Kind.CHANGES, (struct.pack("<II", 0, 0),))],
        [changes_commit(NOW, "p")],
        [BEGIN, BEGIN],
        [BEGIN, feed.snapshot_begin(NOW, "p")],
        [BEGIN, feed.table_keep(0)],
        [feed.Frame(feed.Kind.CHANGES_BEGIN, (b"1",))],
        [feed.snapshot_begin(NOW, "p"), BEGIN],
    ],
    ids=["changes alone", "commit alone", "twice", "snapshot within", "keep within", "short", "within a snapshot"],
)
def test_frames_out_of_place_end_the_connection(server: Server, frames: list[feed.Frame]) -> None:
    version = server.version
    with server.sync() as sync, pytest.raises((InstanceRefused, InstanceUnreachable)) as refusal:
        say(sync, [changes_begin(version) if frame == BEGIN else frame for frame in frames])

    assert refusal.value.code in ("protocol_error", InstanceUnreachable.code)
    assert server.ask(post("users(id = 3) { id }")).json() == [{"id": 3}]


def test_changes_over_the_cap_leave_the_last_good_snapshot_and_are_told(server_program: Path) -> None:
    big = Rows(
        USERS,
        [Op.INSERT] * 4,
        [None] * 4,
        [(n, "x" * 10_000_000, None, None, None, None, None) for n in range(500, 504)],
    )
    with Server(server_program, "--memory-cap-mb", "16").ready() as server, server.sync() as sync:
        send(sync, server.version, big)
        with pytest.raises(MemoryCapExceeded, match="at most 16 MiB"):
            commit(sync)
        health = server.ask(get("/health")).json()
        send(sync, server.version, insert(101))
        commit(sync)
        after = server.ask(get("/health")).json()

    assert (health["status"], after["status"]) == ("cap_exceeded", "ok")
    assert after["version"] == health["version"] + 1
