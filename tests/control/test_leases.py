"""Leases: who holds what among planes that share the records, and that a dead one can't write any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL

from reflexdb.control import peers
from reflexdb.control.leases import Leases
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Rooms, Settings
from reflexdb.model.errors import Conflict, LeaseLost
from reflexdb.records import accounts, leases
from reflexdb.records.store import Store
from tests.control.test_records import NOW
from tests.servers.records import empty_database
from tests.servers.shared import Server


@pytest.fixture
def url(postgres_server: Server) -> Iterator[URL]:
    with empty_database(postgres_server) as found:
        yield found


@pytest.fixture
def rooms(tmp_path: Path, url: URL) -> Iterator[Rooms]:
    (tmp_path / "data").mkdir()
    control = open_control(tmp_path / "data", Settings(base_url="http://a", lease_s=2), "127.0.0.1", url)
    yield control.rooms
    control.rooms.store.close()


@pytest.fixture
def both(rooms: Rooms, url: URL) -> Iterator[tuple[Leases, Leases]]:
    """Two planes that have joined; the second's process is one that can be stopped."""
    other = Store(url)
    first, second = Leases(rooms), Leases(replace(rooms, store=other, owner="second"))
    first.join("site")
    second.join("site")
    yield first, second
    other.close()


def test_a_name_is_held_by_one(both: tuple[Leases, Leases]) -> None:
    first, second = both

    assert first.claim({"a", "b"}) == {"a", "b"}
    assert second.claim({"b", "c"}) == {"c"}
    assert first.claim({"a"}) == set()
    first.release({"b"})
    assert second.claim({"b"}) == {"b"}
    assert (first.mine(), second.mine()) == ({"a"}, {"b", "c"})


def test_one_that_was_taken_for_dead_can_not_write(both: tuple[Leases, Leases], rooms: Rooms, url: URL) -> None:
    first, second = both
    second.claim({"a"})
    with rooms.store.write() as tx:
        [plane] = [each for each in leases.all_planes(tx) if each.id == "second"]
        assert leases.bury(tx, plane)
    stale = second._rooms.store

    with pytest.raises(LeaseLost), stale.write() as tx:
        accounts.add_customer(tx, id="c", name="c", plan="free", created_at=NOW)
    with pytest.raises(LeaseLost):
        second.beat()
    with rooms.store.read() as tx:
        assert accounts.customer(tx, "c") is None
    assert first.claim({"a"}) == {"a"}


def test_one_that_renews_is_not_buried(both: tuple[Leases, Leases], rooms: Rooms) -> None:
    _, second = both
    with rooms.store.read() as tx:
        [seen] = [each for each in leases.all_planes(tx) if each.id == "second"]
    second.beat()

    with rooms.store.write() as tx:
        assert not leases.bury(tx, seen)


def test_a_jump_of_the_databases_clock_alone_makes_nobody_dead(both: tuple[Leases, Leases], rooms: Rooms) -> None:
    first, _ = both
    first.beat()
    with rooms.store.write() as tx:
        [plane] = [each for each in leases.all_planes(tx) if each.id == "second"]
        leases.renew(tx, plane.id, leases.clock(tx) - timedelta(hours=1))

    assert not first.beat()


def test_a_stopped_process_that_is_overdue_is_ended_before_its_leases_go(
    both: tuple[Leases, Leases], rooms: Rooms
) -> None:
    first, _ = both
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    os.kill(child.pid, signal.SIGSTOP)
    process = f"{child.pid}@{peers._started(child.pid)}"
    with rooms.store.write() as tx:
        [plane] = [each for each in leases.all_planes(tx) if each.id == rooms.owner]
        leases.add_plane(tx, replace(plane, id="third", process=process))
        leases.claim(tx, {"a"}, "third")
    ended: list[int] = []
    for _ in range(200):
        if first.beat():
            ended.append(child.wait(10))
            break
        os.sched_yield()
        with rooms.store.read() as tx:
            tx.exec_driver_sql("SELECT pg_sleep(0.05)")

    assert ended == [-signal.SIGKILL]
    assert first.claim({"a"}) == {"a"}
    assert peers.is_gone(process)


def test_a_number_that_another_process_got_is_not_meant() -> None:
    assert not peers.is_gone(peers.this_process())
    assert peers.is_gone(f"{os.getpid()}@1")
    assert peers.end(f"{os.getppid()}@1")


def test_records_of_another_site_are_refused(both: tuple[Leases, Leases]) -> None:
    with pytest.raises(Conflict, match="belong to the data directory"):
        both[0].join("elsewhere")
