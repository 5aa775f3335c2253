"""Following a source from the outside: what is committed there is answered at once, and nothing is left behind."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import Any

import httpx
import psycopg
import pytest
from tests.acceptance.plane import Endpoint, Plane, address, wait_until

pytestmark = pytest.mark.timeout(600)

MODES = {"postgres": "logical", "mysql": "binlog"}
YAML = {"content-type": "application/yaml"}
POLL_S = 600
"""So long that nothing seen in a test was polled."""


@pytest.fixture(params=sorted(MODES))
def source(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A shop at a real server: accounts that refer to each other's orders."""
    backend = str(request.param)
    name = "postgres_database" if backend == "postgres" else "mariadb_database"
    database = request.getfixturevalue(name)
    database.execute("CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL)")
    database.execute(
        "CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT NOT NULL, cents BIGINT NOT NULL, "
        "FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE)"
    )
    database.execute("INSERT INTO customers VALUES (1, 'Ada'), (2, 'Zoë')")
    database.execute("INSERT INTO orders VALUES (1, 1, 100), (2, 1, 250), (3, 2, 75)")
    return backend, database


def serve(
    plane: Plane, label: str, source: tuple[str, Any], config: str | None = None, **more: Any
) -> tuple[str, Endpoint]:
    backend, database = source
    given = {**address(backend, database), **more}
    registered = plane.register(f"{label}-{backend}", given, database.schema, interval=POLL_S)
    if config is not None:
        plane.call("PUT", f"/databases/{registered}/config", expect=204, content=config.encode(), headers=YAML)
    plane.act(registered, "provision")
    plane.require_running(registered)
    return registered, Endpoint(plane.database(registered)["endpointUrl"], plane.key(registered))


def left_at(source: tuple[str, Any]) -> list[Any]:
    """What of ours is at the source."""
    backend, database = source
    if backend != "postgres":
        return []
    query = (
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database() "
        "UNION ALL SELECT pubname FROM pg_publication"
    )
    return [row[0] for row in database.execute(query)]


def test_what_is_committed_is_answered_without_polling(plane: Plane, source: tuple[str, Any]) -> None:
    backend, database = source
    registered, endpoint = serve(plane, "following", source)
    assert plane.database(registered)["syncMode"] == MODES[backend]

    def orders() -> Any:
        return endpoint.query("customers { name orders { id cents } }")

    database.execute("UPDATE orders SET cents = cents + 1 WHERE id = 2")
    database.execute("INSERT INTO orders VALUES (4, 2, 10)")
    database.execute("UPDATE customers SET name = 'Åsa' WHERE id = 2")
    expected = [
        {"name": "Ada", "orders": [{"id": 1, "cents": 100}, {"id": 2, "cents": 251}]},
        {"name": "Åsa", "orders": [{"id": 3, "cents": 75}, {"id": 4, "cents": 10}]},
    ]
    wait_until(lambda: orders() == expected, "the changes are answered", 20)
    database.execute("DELETE FROM customers WHERE id = 1")  # and by the cascade its orders
    wait_until(lambda: [row["id"] for row in endpoint.query("orders { id }")] == [3, 4], "the cascade is answered", 30)
    plane.act(registered, "terminate")
    wait_until(lambda: left_at(source) == [], "nothing is left at the source", 90)


def test_a_rebuild_and_a_pause_lose_no_change_and_leave_nothing(plane: Plane, source: tuple[str, Any]) -> None:
    _, database = source
    registered, endpoint = serve(plane, "rebuilt", source)
    database.execute("INSERT INTO orders VALUES (5, 1, 5)")
    plane.act(registered, "rebuild")
    plane.require_running(registered)
    database.execute("INSERT INTO orders VALUES (6, 1, 6)")
    wait_until(lambda: len(endpoint.query("orders { id }")) == 5, "both inserts are answered", 20)
    wait_until(lambda: len(left_at(source)) in (0, 2), "only the serving instance's slot and publication are left", 90)
    plane.act(registered, "pause")
    database.execute("INSERT INTO orders VALUES (7, 2, 7)")
    assert len(left_at(source)) in (0, 2)
    plane.act(registered, "resume")
    plane.require_running(registered)
    wait_until(lambda: len(endpoint.query("orders { id }")) == 6, "the insert is answered", 20)
    plane.act(registered, "pause")
    plane.act(registered, "terminate")
    wait_until(lambda: left_at(source) == [], "nothing is left at the source", 90)


def test_a_paused_database_makes_its_source_refuse_nothing(plane: Plane, postgres_database: Any) -> None:
    source = ("postgres", postgres_database)
    for statement in ("CREATE TABLE items (id int PRIMARY KEY, n int)", "INSERT INTO items VALUES (1, 1), (2, 2)"):
        postgres_database.execute(statement)
    registered, endpoint = serve(plane, "paused", source)
    plane.act(registered, "pause")
    postgres_database.execute("ALTER TABLE items REPLICA IDENTITY NOTHING")

    def is_accepted() -> bool:
        try:
            postgres_database.execute("UPDATE items SET n = n + 1")
        except psycopg.errors.ObjectNotInPrerequisiteState:
            return False
        return True

    wait_until(is_accepted, "an UPDATE is accepted", 60)
    plane.act(registered, "resume")
    plane.require_running(registered)
    wait_until(lambda: endpoint.query("items { n }") == [{"n": 2}, {"n": 3}], "the update is answered", 60)
    plane.act(registered, "terminate")
    wait_until(lambda: left_at(source) == [], "nothing is left at the source", 90)


def synced(plane: Plane, database: str) -> list[str]:
    """What the instance's sync did so far, as its log names it."""
    log = plane.data / "instances" / database / "current" / "sync.log"
    return [json.loads(line)["action"] for line in log.read_text().splitlines() if line.startswith("{")]


def test_who_begins_with_a_checkpoint_goes_on_and_reads_nothing_again(plane: Plane, source: tuple[str, Any]) -> None:
    """Also where the former instance and other writers go on meanwhile, so that the source may let go of its log."""
    _, database = source
    registered, endpoint = serve(plane, "succeeded", source)
    number = iter(range(10, 1000))

    def write() -> list[int]:
        database.execute(f"INSERT INTO orders VALUES ({next(number)}, 1, 5)")
        return [row[0] for row in database.execute("SELECT id FROM orders ORDER BY id")]

    def answered() -> list[int]:
        return [row["id"] for row in endpoint.query("orders { id }")]

    checkpoint = plane.data / "instances" / registered / "current" / "checkpoint"
    for action in ("redeploy", "redeploy", "pause", "redeploy"):
        wait_until(checkpoint.exists, "a checkpoint", 60)
        write()
        build = plane.history(registered)["builds"][0]["id"]
        plane.act(registered, action, {"buildId": build} if action == "redeploy" else None)
        if action == "pause":
            write()
            plane.act(registered, "resume")
        plane.require_running(registered)
        expected = write()
        wait_until(lambda expected=expected: answered() == expected, "every insert is answered", 30)
        assert "swapped" not in synced(plane, registered), "the source was read again"
        assert "tables_read_again" not in synced(plane, registered)
        assert "following" in synced(plane, registered)
    wait_until(lambda: len(left_at(source)) in (0, 2), "only the serving instance's slot and publication are left", 90)
    plane.act(registered, "terminate")
    wait_until(lambda: left_at(source) == [], "nothing is left at the source", 90)


def change_behind_the_stream(source: tuple[str, Any]) -> list[dict[str, int]]:
    """Three orders are made otherwise without a word of it in what followers hear. Those that are there afterwards."""
    backend, database = source
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        if backend == "mysql":
            cursor.execute("SET sql_log_bin = 0")
            cursor.execute("DELETE FROM orders WHERE id = 1")
            cursor.execute("UPDATE orders SET cents = 7 WHERE id = 2")
            cursor.execute("INSERT INTO orders VALUES (9, 2, 9)")
            return [{"id": 2, "cents": 7}, {"id": 3, "cents": 75}, {"id": 9, "cents": 9}]
        cursor.execute("CREATE EXTENSION pg_surgery")  # as if the disk had lost them
        cursor.execute("SELECT heap_force_kill('orders'::regclass, array_agg(ctid)) FROM orders")
        return []


def test_what_changes_behind_the_stream_is_found_and_mended_while_it_goes_on(
    plane: Plane, source: tuple[str, Any]
) -> None:
    _, database = source
    registered, endpoint = serve(plane, "behind", source, "version: 1\nsync:\n  safety_net: 3\n")

    def differences() -> int:
        return int(httpx.get(f"{endpoint.url}/health", trust_env=False).json()["sync"]["differences"])

    expected = change_behind_the_stream(source)
    number = iter(range(100, 100_000))

    def mended() -> bool:
        database.execute(f"UPDATE customers SET name = 'name {next(number)}' WHERE id = 1")
        database.execute(f"INSERT INTO orders VALUES ({next(number)}, 1, 1)")
        rows = endpoint.query("orders(id < 100) { id cents }")
        return bool(rows == expected)

    wait_until(mended, "what was changed in secret is answered", 120, 0.02)
    wait_until(lambda: differences() == 3, "each row is counted once, and no other", 60)
    plane.act(registered, "terminate")


def test_who_asks_for_poll_is_polled(plane: Plane, source: tuple[str, Any]) -> None:
    registered, _ = serve(plane, "polled", source, syncMode="poll")
    assert plane.database(registered)["syncMode"] == "poll"
    assert left_at(source) == []
    plane.act(registered, "terminate")


def test_what_stands_in_the_way_is_said_with_its_remedy(plane: Plane, postgres_database: Any) -> None:
    database = postgres_database
    user = f"reader_{database.schema}"
    database.execute("CREATE TABLE things (id INT PRIMARY KEY)")
    database.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'a-reader'")
    try:
        database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}")
        given = {**address("postgres", database), "mysqlUser": user, "mysqlPassword": "a-reader"}
        left_open = plane.register("denied-open", given, database.schema)
        plane.act(left_open, "provision")
        plane.require_running(left_open)
        log = plane.build_log(left_open, plane.history(left_open)["builds"][0]["id"])
        assert plane.database(left_open)["syncMode"] == "poll"
        assert f'ALTER ROLE "{user}" REPLICATION' in log
        asked = plane.register("denied-asked", {**given, "syncMode": "logical"}, database.schema)
        plane.act(asked, "provision")
        found = plane.database(asked)
        assert found["status"] == "failed"
        assert f'ALTER ROLE "{user}" REPLICATION' in found["lastError"]
        plane.act(left_open, "terminate")
    finally:
        database.execute(f"DROP OWNED BY {user}")
        database.execute(f"DROP ROLE {user}")


def test_no_answer_is_from_older_rows_than_one_before_while_builds_take_each_others_place(
    plane: Plane, source: tuple[str, Any]
) -> None:
    """The source is written to all the time, and one client asks again and again, on whichever connection it has."""
    backend, database = source
    registered, endpoint = serve(plane, "monotonic", source)
    build = plane.history(registered)["activeBuildId"]
    seen: list[tuple[int, str, int]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            reply = endpoint.raw("orders(id = 1) { cents }")
            head = reply.headers
            age, position = int(head["x-reflexdb-snapshot-age-ms"]), head["x-reflexdb-position"]
            seen.append((int(reply.json()[0]["cents"]), position, age))

    def write() -> None:
        while not stop.is_set():
            database.execute("UPDATE orders SET cents = cents + 1 WHERE id = 1")

    threads = [threading.Thread(target=each) for each in (ask, write)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            plane.act(registered, "redeploy", {"buildId": build})
            plane.require_running(registered)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    plane.act(registered, "terminate")
    cents = [each[0] for each in seen]
    places = [_place(backend, each[1]) for each in seen]

    assert cents == sorted(cents)
    assert places == sorted(places)
    assert cents[-1] > cents[0]


def _place(backend: str, position: str) -> int:
    """Positions of one server, as numbers."""
    if backend == "postgres":
        high, low = position.split("/")
        return int(high, 16) << 32 | int(low, 16)
    return int(position.rsplit("-" if "-" in position else ":", 1)[1])
