"""A control plane whose source says nothing: what is asked for takes effect all the same, and others go on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.lifecycle import Desired
from reflexdb.records import databases
from reflexdb.records.store import Store
from tests.api.api import Api, sqlite_connection, until
from tests.api.plane import Plane
from tests.servers.plugin import TestDatabase

LIMIT_S = 25.0
"""For what takes two seconds where the machine is not busy; below the source's own limit for a lock, 30 s."""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'reflexdb'"


@pytest.fixture
def locked(postgres_database: TestDatabase) -> Iterator[TestDatabase]:
    """A database of which nobody can read the descriptions of tables: describing it waits."""
    postgres_database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    with postgres_database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE pg_catalog.pg_description IN ACCESS EXCLUSIVE MODE")
        yield postgres_database


def registered(api: Api, source: TestDatabase) -> str:
    body = {
        "name": f"stuck-{source.schema}",
        "backend": "postgres",
        "mysqlHost": source.host,
        "mysqlPort": source.port,
        "mysqlUser": source.user,
        "mysqlPassword": source.password,
        "availableSchemas": [source.schema],
        "instance": {"name": source.schema, "mysqlDb": source.schema},
    }
    database: str = api.post("/connections", body, expect=201)["database"]["id"]
    return database


def stuck(api: Api, source: TestDatabase) -> tuple[str, str]:
    """A database, and its build that waits for the source."""
    database = registered(api, source)
    build = api.post(f"/databases/{database}/provision")["buildId"]
    until(lambda: source.execute(WAITING)[0][0] > 0, "describing the source waits for a lock", LIMIT_S)
    return database, build


def phase(api: Api, database: str) -> str:
    found: str = api.get(f"/databases/{database}/instance")["database"]["phase"]
    return found


def error(api: Api, database: str, build: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/databases/{database}/builds/{build}")["error"]
    return found


def left_alone(source: TestDatabase) -> None:
    until(lambda: source.execute(WAITING)[0][0] == 0, "the source is left alone", LIMIT_S)


@contextmanager
def silent_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield int(listener.getsockname()[1])


def test_a_build_that_waits_for_its_source_can_be_cancelled(plane: Plane, locked: TestDatabase, tmp_path: Path) -> None:
    api = plane.start()
    database, build = stuck(api, locked)
    other = api.post("/connections", sqlite_connection(str(tmp_path / "none.db")), expect=201)["database"]["id"]
    api.post(f"/databases/{other}/provision")
    until(lambda: phase(api, other) == "failed", "another database's job is carried out meanwhile", LIMIT_S)
    api.post(f"/databases/{database}/builds/{build}/cancel")

    until(lambda: phase(api, database) == "failed", "the build has ended", LIMIT_S)
    assert error(api, database, build)["code"] == "cancelled"
    left_alone(locked)


def test_a_build_that_waits_for_its_source_gives_way_to_terminate(plane: Plane, locked: TestDatabase) -> None:
    api = plane.start()
    database, build = stuck(api, locked)
    assert api.post(f"/databases/{database}/terminate")["queued"] is True

    until(lambda: phase(api, database) == "terminated", "the database is terminated", LIMIT_S)
    assert error(api, database, build)["code"] == "cancelled"
    left_alone(locked)


def test_the_time_of_builds_holds_whatever_the_source_does(plane: Plane, locked: TestDatabase) -> None:
    api = plane.start(builds="BuildLimits(limit_s=4)")
    database, build = stuck(api, locked)

    until(lambda: phase(api, database) == "failed", "the build has ended", LIMIT_S)
    assert "longer than the 4 s" in error(api, database, build)["message"]
    left_alone(locked)


def test_a_deadline_is_set_by_the_operator(plane: Plane, locked: TestDatabase) -> None:
    api = plane.start(REFLEXDB_SOURCE_DESCRIBE_TIMEOUT_S="3")
    database, build = stuck(api, locked)

    until(lambda: phase(api, database) == "failed", "the build has ended", LIMIT_S)
    failed = error(api, database, build)
    assert failed["code"] == "source_timeout"
    assert "within 3 s while describing schema" in failed["message"]


def test_what_is_to_be_terminated_is_not_built_again(plane: Plane, locked: TestDatabase) -> None:
    api = plane.start()
    database, build = stuck(api, locked)
    plane.kill()
    with closing(Store(plane.records or plane.data / "metadata.db")) as store, store.write() as tx:
        databases.change(tx, database, datetime.now(UTC), desired_state=Desired.TERMINATED.value)
    api = plane.start()

    until(lambda: phase(api, database) == "terminated", "the database is terminated", LIMIT_S)
    assert [each["id"] for each in api.get(f"/databases/{database}/builds")["builds"]] == [build]
    left_alone(locked)


def test_a_test_of_a_silent_server_can_be_cancelled(plane: Plane) -> None:
    api = plane.start()
    with silent_port() as port:
        body = {
            **sqlite_connection("x"),
            "backend": "mysql",
            "mysqlHost": "127.0.0.1",
            "mysqlPort": port,
            "mysqlUser": "u",
            "mysqlPassword": "p",
        }
        database = api.post("/connections", body, expect=201)["database"]["id"]
        build = api.post(f"/databases/{database}/provision")["buildId"]
        until(lambda: phase(api, database) == "testing_connection", "the connection is tested", LIMIT_S)
        api.post(f"/databases/{database}/builds/{build}/cancel")
        until(lambda: phase(api, database) == "failed", "the test has ended", LIMIT_S)
        assert error(api, database, build)["code"] == "cancelled"


SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(10000)%' AND state = 'active' "
    "AND application_name = 'reflexdb'"
)
SWITCHED = b'version: 1\nwhere: "(SELECT off FROM public.switch) OR pg_sleep(10000) IS NULL"\n'
"""Reading rows never ends before the switch is off."""


@pytest.fixture
def switched(postgres_database: TestDatabase) -> TestDatabase:
    for statement in (
        "CREATE TABLE switch (off bool PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO switch VALUES (false)",
        "INSERT INTO t VALUES (1), (2)",
    ):
        postgres_database.execute(statement)
    return postgres_database


def configured(api: Api, source: TestDatabase) -> str:
    database = registered(api, source)
    header = {"Content-Type": "application/yaml"}
    api("PUT", f"/databases/{database}/config", content=SWITCHED, headers=header, expect=204)
    return database


def sleeping(source: TestDatabase) -> bool:
    return bool(source.execute(SLEEPING)[0][0])


@pytest.mark.timeout(900)
def test_an_endless_where_ends_with_its_build(plane: Plane, switched: TestDatabase) -> None:
    api = plane.start(REFLEXDB_SOURCE_READ_TIMEOUT_S="600")
    database = configured(api, switched)
    build = api.post(f"/databases/{database}/provision")["buildId"]
    until(lambda: sleeping(switched), "rows are read for the smoke tests", 600)
    api.post(f"/databases/{database}/builds/{build}/cancel")
    until(lambda: phase(api, database) == "failed", "the build has ended", LIMIT_S)
    assert error(api, database, build)["code"] == "cancelled"
    until(lambda: not sleeping(switched), "the source runs nothing of ours", LIMIT_S)

    switched.execute("UPDATE switch SET off = true")
    api.post(f"/databases/{database}/provision")
    assert api.settled(database)["status"] == "running"
    switched.execute("UPDATE switch SET off = false")
    api.post(f"/databases/{database}/rebuild")
    until(lambda: sleeping(switched), "rows are read again", 600)
    assert api.post(f"/databases/{database}/terminate")["queued"] is True
    until(lambda: phase(api, database) == "terminated", "the database is terminated", LIMIT_S)
    until(lambda: not sleeping(switched), "the source runs nothing of ours", LIMIT_S)
