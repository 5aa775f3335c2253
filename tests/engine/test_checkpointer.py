"""The server's checkpoint: written in the background, loaded at the start, and never wrong (doc/checkpoint.md)."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reflexdb.sync import feed
from reflexdb.sync.change_frames import changes_begin, changes_commit
from reflexdb.sync.channel import PrivateChannel
from tests.engine.plans import PLAN, USERS
from tests.engine.serving import Server, get, until
from tests.engine.test_changes_socket import insert, send

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id > 95) { id }"
FIVE = [{"id": number} for number in range(96, 101)]
SELDOM = ("--checkpoint-s", "86400")


class Site:
    """One directory in which one server after the other runs."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program, self.directory = program, directory
        self.file = directory / "checkpoint"
        self.running: Server | None = None

    def start(self, *options: str) -> Server:
        self.running = Server(self.program, *(options or SELDOM), directory=self.directory)
        return self.running

    def loaded(self, *options: str) -> Server:
        """A server that has loaded, and has a checkpoint of it."""
        server = self.start(*options)
        server.load()
        self.await_written(1)
        return server

    def crash(self) -> None:
        assert self.running is not None
        self.running.kill()

    def end(self) -> None:
        """A clean end."""
        assert self.running is not None
        self.running.__exit__(None, None, None)

    def status(self) -> dict[str, Any]:
        assert self.running is not None
        return self.running.orders.request(feed.status())

    def ask(self, query: str = QUERY) -> Any:
        assert self.running is not None
        return json.loads(self.running.orders.query(query))

    def await_written(self, count: int) -> None:
        until(lambda: self.status()["checkpoint"]["written"] >= count, 60)

    def logged(self, action: str) -> list[dict[str, Any]]:
        assert self.running is not None
        return [line for line in self.running.log() if line["action"] == action]


@pytest.fixture
def site(server_program: Path, tmp_path: Path) -> Iterator[Site]:
    site = Site(server_program, tmp_path)
    yield site
    if site.running is not None and site.running.process.poll() is None:
        site.end()


def write(sync: PrivateChannel, number: int, position: str, at: datetime | None = None) -> dict[str, Any]:
    send(sync, sync.request(feed.status())["version"], insert(number))
    return sync.request(changes_commit(at or datetime.now(UTC), position))


def following(server: Server) -> PrivateChannel:
    return server.sync("binlog")


def restored(site: Site) -> None:
    until(lambda: site.status()["version"] > 0)


def test_a_killed_server_serves_again_from_its_checkpoint(site: Site) -> None:
    server = site.loaded()
    with following(server) as sync:
        write(sync, 101, "0-1-9")
    server.load()
    site.crash()
    site.start()
    restored(site)

    assert site.ask() == FIVE
    assert site.file.stat().st_mode & 0o777 == 0o600
    assert site.logged("checkpoint_loaded")


def test_a_restored_snapshot_is_stale_until_its_source_is_heard_of(site: Site) -> None:
    site.loaded()
    site.crash()
    server = site.start()
    restored(site)
    before = site.status()
    with server.sync() as sync:
        sync.request(feed.confirm(datetime.now(UTC) - timedelta(hours=1), "here"))
        still = site.status()
        sync.request(feed.confirm(datetime.now(UTC), "here"))
        after = site.status()

    assert (before["status"], before["stale"], before["checkpoint"]["restored"]) == ("degraded", True, True)
    assert "checkpoint" in before["reason"]
    assert still["stale"]
    assert (after["status"], after["stale"]) == ("ok", False)


def test_sync_is_told_where_to_go_on_and_in_which_mode(site: Site) -> None:
    server = site.start()
    sync = following(server)
    version = server.load(sync=sync)
    site.await_written(1)
    sync.close()
    with server.channel() as channel:
        process = channel.hello(feed.Role.DEPLOYER, None)["process"]
    site.crash()
    server = site.start()
    with server.channel() as channel:
        told = channel.hello(feed.Role.SYNC, PLAN.fingerprint())

    assert (told["version"], told["position"], told["restored"]) == (version, "here", True)
    assert (told["mode"], told["process"] != process) == ("binlog", True)


def test_changes_are_in_the_next_checkpoint(site: Site) -> None:
    server = site.loaded("--checkpoint-s", "1")
    with following(server) as sync:
        version = write(sync, 101, "0-1-9")["version"]
        site.await_written(2)
    site.crash()
    site.start()
    restored(site)

    assert site.ask() == [*FIVE, {"id": 101}]
    assert (site.status()["version"], site.status()["position"]) == (version, "0-1-9")


def test_a_clean_end_writes_what_was_served_last(site: Site) -> None:
    server = site.loaded()
    with following(server) as sync:
        write(sync, 101, "0-1-9")
    site.end()
    site.start()
    restored(site)

    assert site.ask() == [*FIVE, {"id": 101}]


def test_without_an_order_to_keep_checkpoints_there_are_none(site: Site) -> None:
    server = site.start("--checkpoint-s", "0")
    server.load()
    site.end()

    assert list(site.directory.glob("checkpoint*")) == []


def test_a_directory_that_is_to_go_gets_no_last_checkpoint(site: Site) -> None:
    server = site.loaded()
    written = site.file.stat().st_ino
    with following(server) as sync:
        write(sync, 101, "0-1-9")
    server.orders.request(feed.no_checkpoint())
    site.end()

    assert site.file.stat().st_ino == written


def test_a_position_that_moves_without_changes_is_kept_without_writing_the_rows(site: Site) -> None:
    server = site.loaded()
    written = site.file.stat().st_ino
    with following(server) as sync:
        until(lambda: sync.request(feed.confirm(datetime.now(UTC), "0-1-77")).get("durable") == "0-1-77")
    site.crash()
    site.start()
    restored(site)

    assert site.status()["position"] == "0-1-77"
    assert site.file.stat().st_ino == written


def test_sync_hears_what_the_source_need_not_keep(site: Site) -> None:
    """Until a checkpoint has it, the source has to: a restart goes on from there."""
    server = site.loaded()
    with following(server) as sync:
        first = write(sync, 101, "0-1-9")
    assert first["durable"] == "here"


def test_a_position_of_another_checkpoint_is_not_believed(site: Site) -> None:
    server = site.loaded("--checkpoint-s", "1")
    with following(server) as sync:
        until(lambda: sync.request(feed.confirm(datetime.now(UTC), "0-1-77")).get("durable") == "0-1-77")
        former = (site.directory / "checkpoint.at").read_bytes()
        write(sync, 101, "0-1-80")
        site.await_written(2)
    site.crash()
    (site.directory / "checkpoint.at").write_bytes(former)
    site.start()
    restored(site)

    assert site.status()["position"] == "0-1-80"


@pytest.mark.parametrize("harm", ["flip", "cut", "plan", "empty", "directory"])
def test_a_checkpoint_that_can_not_be_used_is_put_aside_and_the_source_is_read(site: Site, harm: str) -> None:
    site.loaded()
    site.crash()
    data = bytearray(site.file.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 4
    if harm == "plan":
        data[20] ^= 1
    site.file.unlink()
    if harm == "directory":
        site.file.mkdir()
    else:
        site.file.write_bytes({"cut": data[: len(data) // 3], "empty": b""}.get(harm, bytes(data)))
    server = site.start()
    with server.sync() as sync:  # waits until the checkpoint was looked at
        assert site.status()["version"] == 0
        assert (site.directory / "checkpoint.bad").exists()
        assert "source" in site.logged("checkpoint_put_aside")[0]["reason"]
        server.load(sync=sync)
    if harm != "directory":
        site.await_written(1)
        assert not (site.directory / "checkpoint.bad").exists()
    assert site.ask() == FIVE


def test_a_full_disk_leaves_the_former_checkpoint_and_is_counted_and_said(site: Site) -> None:
    server = site.loaded("--checkpoint-s", "1")
    written = site.file.read_bytes()
    (site.directory / "checkpoint.new").symlink_to("/dev/full")
    with following(server) as sync:
        write(sync, 101, "0-1-9")
        until(lambda: site.status()["checkpoint"]["failures"] == 1, 60)
        told = write(sync, 102, "0-1-10")

    assert "No space left" in site.status()["checkpoint"]["lastError"]
    assert "durable" not in told  # a source's log must not grow for a disk that is full
    assert site.file.read_bytes() == written
    assert not (site.directory / "checkpoint.new").exists()
    assert site.ask() == [*FIVE, {"id": 101}, {"id": 102}]
    assert b"reflexdb_checkpoint_failures_total 1" in _metrics(server)


def _metrics(server: Server) -> bytes:
    server.orders.request(feed.serve())
    return server.ask(get("/metrics")).body


def test_a_server_killed_at_any_moment_of_writing_comes_back_with_one_state_or_the_other(site: Site) -> None:
    """Rows enough for several seconds of writing; each round kills somewhere within."""
    rows = {"posts": [{"id": i, "user_id": 1, "title": f"{i:05}" * 16} for i in range(12_000)]}
    server = site.start("--checkpoint-s", "1", "--checkpoint-mb-s", "1000")
    known = {server.load(rows): 0}
    site.await_written(1)
    dice = random.Random(2)
    for number in range(5):
        site.crash()
        server = site.start("--checkpoint-s", "1", "--checkpoint-mb-s", "2")
        restored(site)
        found = site.status()["version"]
        assert len(site.ask("users { id }")) == known[found]
        assert site.ask("posts { count() }") == {"count": 12_000}
        with following(server) as sync:
            told = write(sync, 1000 + number, f"0-1-{number}")
            assert told["version"] not in known
            known[told["version"]] = known[found] + 1
            until(lambda: (site.directory / "checkpoint.new").exists() or site.status()["checkpoint"]["written"], 60)
        time.sleep(dice.uniform(0, 1.2))


@pytest.mark.parametrize("compares", [True, False])
def test_rows_that_were_found_wrong_are_in_no_checkpoint(site: Site, compares: bool) -> None:
    """Neither in the one on the disk nor in one that is being written."""
    server = site.start("--checkpoint-s", "600")
    with following(server) as sync:
        server.load(sync=sync)
        site.await_written(1)
        sync.send(changes_begin(site.status()["version"], compares))
        sync.send(feed.table(USERS))
        told = sync.request(changes_commit(datetime.now(UTC), "0-1-9"))
    assert told["differences"] == 100
    site.crash()
    server = site.start()
    with server.sync():  # waits until the checkpoint was looked at
        found = site.ask("users { id }") if site.status()["version"] else []

    assert len(found) == (0 if compares else 100)


def test_a_checkpoint_of_what_was_read_anew_takes_the_formers_place(site: Site) -> None:
    server = site.start("--checkpoint-s", "600")
    with following(server) as sync:
        server.load(sync=sync)
        site.await_written(1)
        version = server.load({}, sync=sync)
        site.await_written(2)
    site.crash()
    site.start()
    restored(site)

    assert (site.status()["version"], site.ask("users { id }")) == (version, [])


def test_versions_of_a_restarted_server_are_beyond_all_that_were_given(site: Site) -> None:
    """Also where the checkpoint is older than what was answered."""
    server = site.start("--checkpoint-s", "600")
    with following(server) as sync:
        first = server.load(sync=sync)
        site.await_written(1)
        given = write(sync, 101, "0-1-9")["version"]
    site.crash()
    server = site.start()
    restored(site)
    with following(server) as sync:
        again = write(sync, 102, "0-1-10")["version"]

    assert first < given < again


def test_queries_and_changes_go_on_while_a_checkpoint_is_written(site: Site) -> None:
    rows = {"posts": [{"id": i, "user_id": 1, "title": f"{i:05}" * 40} for i in range(20_000)]}
    server = site.start("--checkpoint-s", "1", "--checkpoint-mb-s", "1")
    with following(server) as sync:
        version = server.load(rows, sync)
        until(lambda: (site.directory / "checkpoint.new").exists())
        for number in range(20):
            write(sync, 1000 + number, f"0-1-{number}")
        within = not site.status()["checkpoint"]["written"]
        assert len(site.ask("users { id }")) == 20
        site.await_written(1)
    site.crash()
    site.start()
    restored(site)

    assert within
    assert site.ask("users { id }") == []
    assert site.status()["version"] == version


def test_a_write_that_waited_for_the_disk_does_not_put_off_the_next_for_long(site: Site) -> None:
    """Twenty times as long as it took would be 100 s and more."""
    server = site.start("--checkpoint-s", "1", "--checkpoint-mb-s", "2")
    with following(server) as sync:
        server.load({"posts": [{"id": i, "user_id": 1, "title": f"{i:05}" * 40} for i in range(1_000)]}, sync)
        until(lambda: (site.directory / "checkpoint.new").exists())
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        server.process.send_signal(signal.SIGCONT)
        site.await_written(1)
        write(sync, 1000, "0-1-1")
        site.await_written(2)
    stalled, after = (entry["duration_ms"] for entry in site.logged("checkpoint_written"))
    assert stalled > 4_000 > after


def test_the_health_of_a_process_without_checkpoints_says_so(server: Server) -> None:
    told = server.orders.request(feed.status())
    assert (told["checkpoint"], told["stale"]) == (None, False)
