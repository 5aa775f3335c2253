"""A definition that changes at the source is answered without anybody asking for a rebuild, and no query fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.plane import Endpoint, Plane, address, wait_until

pytestmark = pytest.mark.timeout(900)

LIMIT_S = 300
POLL_S = 600
"""So long that nothing seen in a test was polled."""


class File:
    """A SQLite source, with as much of a test server's database as is needed here."""

    host, port, user, password, schema = "", None, None, None, "main"

    def __init__(self, path: Path) -> None:
        self.host = str(path)

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.host, timeout=60)) as connection, connection:
            connection.execute(statement)


@pytest.fixture(params=["mysql", "postgres", "sqlite"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any]:
    backend = str(request.param)
    fixtures = {"mysql": "mariadb_database", "postgres": "postgres_database"}
    database = File(tmp_path / "shop.db") if backend == "sqlite" else request.getfixturevalue(fixtures[backend])
    database.execute("CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, old INT)")
    database.execute("CREATE TABLE orders (id INT PRIMARY KEY, cents BIGINT NOT NULL)")
    database.execute("INSERT INTO customers VALUES (1, 'Ada', 1), (2, 'Zoë', 2)")
    return backend, database


@contextmanager
def asked_all_the_time(endpoint: Endpoint) -> Iterator[dict[str, int]]:
    """Queries without a pause; afterwards how many there were. The first that fails fails the test."""
    end, counts, failures = threading.Event(), {"asked": 0}, list[str]()

    def ask() -> None:
        while not end.is_set() and not failures:
            try:
                assert len(endpoint.query("customers { id name }")) >= 2
                counts["asked"] += 1
            except Exception as exc:
                failures.append(repr(exc))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield counts
    finally:
        end.set()
        thread.join()
    assert failures == []


def answers(endpoint: Endpoint, text: str) -> Any:
    """The rows; None where the query does not fit what is served."""
    response = endpoint.raw(text)
    return response.json() if response.status_code == 200 else None


def test_what_is_altered_is_answered_without_anybody_asking(plane: Plane, source: tuple[str, Any]) -> None:
    backend, database = source
    given = {name: value for name, value in address(backend, database).items() if value is not None}
    registered = plane.register(f"altered-{backend}", given, database.schema, interval=POLL_S)
    plane.act(registered, "provision")
    plane.require_running(registered)
    assert plane.call("PATCH", f"/databases/{registered}/freshness", {"autoRebuild": True}, 200)["autoRebuild"]
    endpoint = Endpoint(plane.database(registered)["endpointUrl"], plane.key(registered))
    with asked_all_the_time(endpoint) as counts:
        database.execute("ALTER TABLE customers ADD COLUMN city VARCHAR(40)")
        database.execute("ALTER TABLE customers ADD COLUMN zip VARCHAR(9)")
        database.execute("INSERT INTO customers (id, name, city) VALUES (3, 'Åsa', 'Lund')")
        expected = [(1, None), (2, None), (3, "Lund")]

        def shown() -> list[tuple[int, str | None]]:
            return [(row["id"], row["city"]) for row in answers(endpoint, "customers { id city }") or []]

        wait_until(lambda: shown() == expected, "the new column is answered", LIMIT_S, 0.2)
        plane.settle(registered)
    assert counts["asked"] > 0
    history = plane.history(registered)["builds"]
    assert len(history) == 2, "several changes in a row make one rebuild"
    build = plane.call("GET", f"/databases/{registered}/builds/{history[0]['id']}", None, 200)
    assert build["trigger"] == "schema_change"
    assert "column 'city' of table 'customers' is new" in build["reason"]
    wait_until(lambda: plane.database(registered)["healthStatus"] == "ok", "all is well again", 60)
    plane.act(registered, "terminate")


def test_a_dropped_column_is_taken_in_when_asked_for(plane: Plane, source: tuple[str, Any]) -> None:
    backend, database = source
    given = {name: value for name, value in address(backend, database).items() if value is not None}
    registered = plane.register(f"dropped-{backend}", given, database.schema, interval=POLL_S)
    plane.act(registered, "provision")
    plane.require_running(registered)
    plane.call("PATCH", f"/databases/{registered}/freshness", {"autoRebuild": True}, 200)
    endpoint = Endpoint(plane.database(registered)["endpointUrl"], plane.key(registered))
    database.execute("ALTER TABLE customers DROP COLUMN old")

    def held() -> bool:
        why = plane.call("GET", f"/databases/{registered}/freshness", None, 200)["whyNot"]
        return 'column "old" of table "customers"' in (why or "")

    wait_until(held, "the automatic rebuild is held", LIMIT_S, 0.2)
    plane.act(registered, "rebuild")
    refused = plane.history(registered)["builds"][0]
    build = plane.call("GET", f"/databases/{registered}/builds/{refused['id']}", None, 200)
    assert (build["status"], build["error"]["code"]) == ("failed", "breaking_change")
    assert [(each["table"], each["column"], each["cause"]) for each in build["notServed"]] == [
        ("customers", "old", "not_visible")
    ]
    assert len(answers(endpoint, "customers { id old }") or []) == 2

    plane.act(registered, "rebuild?allowBreaking=true")
    plane.require_running(registered)
    assert answers(endpoint, "customers { old }") is None
    status = plane.call("GET", f"/databases/{registered}/instance", None, 200)
    assert (status["notServedTotal"], status["notServed"][0]["column"]) == (1, "old")
    plane.act(registered, "terminate")
