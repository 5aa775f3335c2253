"""Several control planes on one PostgreSQL and one data directory: they share the work, and one's end is nobody's."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from reflexdb.deploy.local.processes import find
from reflexdb.records import databases, jobs, leases
from reflexdb.records.store import Store
from tests.api.api import LIMIT_S, Api, sqlite_connection, until
from tests.api.plane import Plane, plane_on, spawn
from tests.servers.records import empty_database
from tests.servers.shared import Server

LEASE_S = 10
COUNT = 4


@pytest.fixture
def url(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[URL]:
    monkeypatch.setenv("REFLEXDB_LEASE_S", str(LEASE_S))
    with empty_database(postgres_server) as found:
        yield found


@pytest.fixture
def planes(data: Path, url: URL) -> Iterator[tuple[Plane, Plane]]:
    """Not started yet."""
    with ExitStack() as stack:
        yield stack.enter_context(plane_on(data, url)), stack.enter_context(plane_on(data, url))


def register(api: Api, tmp_path: Path, number: int) -> str:
    path = tmp_path / f"source{number}.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute(f"INSERT INTO t{number} VALUES (1, 'x')")
    connection.close()
    body = sqlite_connection(
        str(path), name=f"source{number}", instance={"name": f"d{number}", "mysqlDb": "main"}, syncInterval=1
    )
    created = api.post("/connections", body, expect=201)
    database: str = created["database"]["id"]
    return database


def check(api: Api, data: Path, database: str) -> None:
    """Running, on exactly one instance, with no build that nobody carries out."""
    row = api.settled(database)
    assert (row["status"], row["lastError"]) == ("running", None)
    history = api.get(f"/databases/{database}/builds")
    assert not [build for build in history["builds"] if build["status"] in ("queued", "in_progress")]
    assert httpx.get(f"{row['endpointUrl']}/health", trust_env=False).status_code == 200
    [directory] = [each for each in (data / "instances" / database).iterdir() if not each.is_symlink()]
    roles = until(lambda: len(found := [each.role for each in find(directory)]) == 2 and found, "two processes", 30)
    assert set(Counter(roles).values()) == {1}


def events(data: Path, *actions: str) -> list[dict[str, Any]]:
    lines = (data / "logs" / "control.log").read_text().splitlines()
    return [each for line in lines if (each := json.loads(line))["action"] in actions]


def test_the_other_finishes_what_a_killed_one_had_begun(
    planes: tuple[Plane, Plane], data: Path, tmp_path: Path
) -> None:
    first, second = (plane.start() for plane in planes)
    mine = [register((first, second)[number % 2], tmp_path, number) for number in range(COUNT)]
    for number, database in enumerate(mine):
        (first, second)[number % 2].post(f"/databases/{database}/provision")
    until(
        lambda: any(first.get(f"/databases/{each}/instance")["database"]["phase"] == "building" for each in mine),
        "a build",
    )
    planes[0].kill()
    for database in mine:
        check(second, data, database)

    assert json.loads((data / "control.json").read_text())["pid"] == planes[1].process.pid  # type: ignore[union-attr]
    [dead] = events(data, "plane_taken_over")
    assert str(planes[0].process.pid) in dead["process"]  # type: ignore[union-attr]
    key = second.post(f"/databases/{mine[0]}/api-keys", {"name": "k"}, expect=201)["key"]
    row = second.get(f"/databases/{mine[0]}")
    asked = {"content": "t0 { name }", "headers": {"Authorization": f"Bearer {key}"}, "trust_env": False}
    until(lambda: httpx.post(f"{row['endpointUrl']}/query", **asked).status_code == 200, "the key", 30)


def test_one_that_stands_still_loses_its_work_and_does_nothing_twice(
    planes: tuple[Plane, Plane], data: Path, tmp_path: Path
) -> None:
    first = planes[0].start()
    databases_of_first = [register(first, tmp_path, number) for number in range(2)]
    first.post(f"/databases/{databases_of_first[0]}/provision")
    first.settled(databases_of_first[0])
    second = planes[1].start()
    first.post(f"/databases/{databases_of_first[1]}/provision")
    until(
        lambda: first.get(f"/databases/{databases_of_first[1]}/instance")["database"]["phase"] != "testing_connection",
        "the job",
    )
    process = planes[0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    until(lambda: events(data, "plane_taken_over"), "the end of its lease", LEASE_S * 4)
    process.send_signal(signal.SIGCONT)
    for database in databases_of_first:
        check(second, data, database)

    assert process.wait(LIMIT_S) != 0
    [server] = find_servers(data, databases_of_first[0])
    os.kill(server, signal.SIGKILL)
    until(lambda: set(find_servers(data, databases_of_first[0])) not in ({server}, set()), "a new server")
    until(lambda: second.get(f"/databases/{databases_of_first[0]}")["lastError"] is None, "health again")
    check(second, data, databases_of_first[0])


def find_servers(data: Path, database: str) -> list[int]:
    directory = (data / "instances" / database / "current").resolve()
    return [each.pid for each in find(directory) if each.role.name == "SERVER"]


def test_each_looks_after_what_it_took_and_leaves_it_at_its_end(
    planes: tuple[Plane, Plane], data: Path, tmp_path: Path, url: URL
) -> None:
    first, second = (plane.start() for plane in planes)
    database = register(first, tmp_path, 0)
    first.post(f"/databases/{database}/provision")
    check(first, data, database)
    second.post(f"/databases/{database}/pause-replication", expect=200)
    second.post(f"/databases/{database}/resume-replication", expect=200)
    assert planes[0].end() == 0

    store = Store(url)
    with store.read() as tx:
        [plane] = leases.all_planes(tx)
    until(lambda: held(store) == {database: plane.id}, "the other to take it", LEASE_S)
    store.close()
    assert json.loads((data / "control.json").read_text())["url"] == plane.url
    second.post(f"/databases/{database}/rebuild")
    check(second, data, database)
    second.post(f"/databases/{database}/terminate")
    assert second.settled(database)["status"] == "terminated"


def held(store: Store) -> dict[str, str]:
    with store.read() as tx:
        assert jobs.unfinished(tx) == {}
        assert len(databases.everyones(tx)) == 1
        return leases.holders(tx)


def test_records_that_belong_to_another_directory_are_refused(
    planes: tuple[Plane, Plane], tmp_path: Path, url: URL
) -> None:
    planes[0].start()
    out, err = (process := spawn(tmp_path / "elsewhere", 0, records=url)).communicate(timeout=60)

    assert (process.returncode, out) == (2, "")
    assert "belong to the data directory" in err
    assert url.password is not None
    assert url.password not in err
