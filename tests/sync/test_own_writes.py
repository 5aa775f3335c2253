"""Reading one's own writes at real sources: write, ask the source where it is, ask for that: the write is always seen.

The loop and the followers as the sync process runs them, the real server, and the Python client and the command as
their users have them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reflexdb.cli.main import app
from reflexdb.client import ApiError, QueryClient
from reflexdb.model.plan import Plan
from reflexdb.sources import open_source
from reflexdb.sources.changes import Follower, FollowOptions
from reflexdb.sources.mysql.binlog.follower import MySQLFollower
from reflexdb.sources.postgres.follow import PostgresFollower
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.fitting import Present
from reflexdb.sync.loop import Loop
from reflexdb.sync.orders import Orders
from reflexdb.sync.schedule import Schedule
from reflexdb.sync.stream import Stream
from tests.engine.serving import SECRET, Server, api_key, compile_server, until
from tests.servers.plugin import TestDatabase
from tests.sources.applying import keyed_plan
from tests.sources.helpers import mysql_address, postgres_address

pytestmark = pytest.mark.timeout(1200)

WAIT_MS = 30_000
POSITIONS = {
    "postgres": ["SELECT pg_current_wal_insert_lsn()::text", "SELECT pg_current_wal_lsn()::text"],
    "mariadb": ["SELECT @@last_gtid", "SELECT @@gtid_binlog_pos", "SELECT @@gtid_current_pos"],
}


class _Ended(BaseException):
    """Ends the loop's thread where it happens to be."""


class Place:
    """A followed table `notes`, and `others`, which nobody planned."""

    def __init__(self, kind: str, database: TestDatabase, cache: Path, directory: Path) -> None:
        self.kind, self.database = kind, database
        for name in ("notes", "others"):
            database.execute(f"CREATE TABLE {name} (id INT PRIMARY KEY, words VARCHAR(40))")
        self.address = (postgres_address if kind == "postgres" else mysql_address)(database)
        self.plan = self._plan()
        self.program, self.home = compile_server(cache, plan=self.plan), directory / "server"
        self.home.mkdir()
        self.start_server()
        self.orders = Orders(directory)
        unchanged, name = Present(self.plan, {}), "logical" if kind == "postgres" else "binlog"
        mode = Stream(self.plan, self._follower, lambda: unchanged, directory, name, True)
        self.ended = False
        loop = Loop(self._connect, self.plan.fingerprint(), mode, Schedule(3600, 0), self.orders)
        self.thread = threading.Thread(target=self._run, args=(loop,), daemon=True)
        self.thread.start()
        until(lambda: self.status()["version"] > 0 and (self.status()["sync"] or {}).get("state") == "ok", 120)
        self.server.orders.request(feed.serve())

    def start_server(self) -> None:
        again = hasattr(self, "server")
        self.server = Server(self.program, "--checkpoint-s", "1", directory=self.home)
        self.server.orders.request(feed.keys(SECRET, {"k1": None}))
        if again:
            until(lambda: self.status()["version"] > 0)
            self.server.orders.request(feed.serve())

    def is_durable(self) -> bool:
        """Whether what serves is in the checkpoint."""
        status = self.status()
        log = [line for line in self.server.log() if line["action"] == "checkpoint_written"]
        return bool(log) and log[-1]["version"] == status["version"]

    def _plan(self) -> Plan:
        with contextlib.closing(open_source(self.address)) as source:
            whole = keyed_plan(source.introspect(self.database.schema))
        return Plan(whole.backend, whole.schema, tuple(table for table in whole.tables if table.name == "notes"))

    def _follower(self) -> Follower:
        if self.kind == "postgres":
            return PostgresFollower(
                self.address, self.database.schema, FollowOptions(f"reflexdb_{self.database.schema}", 1)
            )
        return MySQLFollower(self.address)

    def _connect(self) -> PrivateChannel:
        if self.ended:
            raise _Ended
        self.channel = PrivateChannel(self.server.directory)
        return self.channel

    def _run(self, loop: Loop) -> None:
        with contextlib.suppress(_Ended):
            loop.run()

    def status(self) -> dict[str, Any]:
        return self.server.orders.request(feed.status())

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def end(self) -> None:
        self.ended = True
        with contextlib.suppress(OSError, AttributeError):
            self.channel._socket.shutdown(2)
        self.orders._rouse()
        self.thread.join(30)
        self.server.__exit__(None, None, None)
        with contextlib.closing(self._follower()) as follower:
            follower.drop()


@pytest.fixture(params=sorted(POSITIONS))
def place(request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Place]:
    database = request.getfixturevalue(f"{request.param}_database")
    place = Place(request.param, database, pytestconfig.cache.mkdir("engine"), tmp_path)
    yield place
    place.end()


@contextlib.contextmanager
def session(place: Place) -> Iterator[Callable[[str], Any]]:
    """One connection of a client that writes."""
    with contextlib.closing(place.database.connect()) as connection, connection.cursor() as cursor:

        def run(statement: str) -> Any:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

        yield run


@contextlib.contextmanager
def busy(place: Place) -> Iterator[None]:
    """Somebody writes to the other table all the while."""
    stop = threading.Event()

    def write() -> None:
        with session(place) as run:
            while not stop.wait(0.01):
                run("DELETE FROM others")
                run("INSERT INTO others VALUES (1, 'x')")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


@pytest.mark.parametrize("others", ["still", "busy"])
def test_who_asks_for_the_position_after_its_write_sees_the_write(place: Place, others: str) -> None:
    with session(place) as run, QueryClient(place.endpoint, api_key()) as client, contextlib.ExitStack() as stack:
        if others == "busy":
            stack.enter_context(busy(place))
        for number in range(12):
            for asked in POSITIONS[place.kind]:
                run(f"DELETE FROM notes WHERE id = {number}")
                run(f"INSERT INTO notes VALUES ({number}, '{asked[:30]}')")
                position = run(asked)
                found = client.query(f"notes(id = {number}) {{ words }}", min_position=position, wait_ms=WAIT_MS)

                assert found == [{"words": asked[:30]}], (number, asked)


def test_a_position_that_only_others_moved_is_reached(place: Place) -> None:
    """The source's position runs ahead of the last change of what is planned."""
    with session(place) as run, QueryClient(place.endpoint, api_key()) as client:
        for number in range(5):
            for asked in POSITIONS[place.kind]:
                run(f"INSERT INTO others VALUES ({number}, 'y')")
                run("DELETE FROM others")

                assert client.query("notes { id }", min_position=run(asked), wait_ms=WAIT_MS) == []


def test_an_answers_position_gives_no_older_state_later(place: Place) -> None:
    with session(place) as run, QueryClient(place.endpoint, api_key()) as client:
        run("INSERT INTO notes VALUES (1, 'a')")
        client.query("notes { id }", min_position=run(POSITIONS[place.kind][0]), wait_ms=WAIT_MS)
        told = client.position

        assert client.query("notes { id }", min_position=told, wait_ms=0) == [{"id": 1}]


def test_a_position_in_the_future_is_said_not_to_be_reached(place: Place) -> None:
    future = "FFFFFFFF/0" if place.kind == "postgres" else "0-1-999999999"
    with QueryClient(place.endpoint, api_key()) as client, pytest.raises(ApiError) as caught:
        client.query("notes { id }", min_position=future, wait_ms=20)

    assert (caught.value.status, caught.value.code) == (503, "position_not_reached")
    assert caught.value.detail["position"] == place.status()["position"]


def test_the_command_reads_its_users_writes(place: Place) -> None:
    options = ["--endpoint", place.endpoint, "--key", api_key(), "--wait-ms", str(WAIT_MS), "--json"]
    with session(place) as run:
        run("INSERT INTO notes VALUES (7, 'mine')")
        position = run(POSITIONS[place.kind][0])
        told = CliRunner().invoke(app, ["query", "db", "notes { id words }", "--min-position", position, *options])
        refused = CliRunner().invoke(app, ["query", "db", "notes { id }", "--min-position", "nonsense", *options])

    assert told.stdout == '[{"id":7,"words":"mine"}]\n'
    assert refused.exit_code != 0


def test_a_killed_server_goes_on_from_its_checkpoint_at_the_source(place: Place) -> None:
    """What was committed meanwhile comes by the stream; nothing is read again, and nothing is old and fresh."""
    with session(place) as run, QueryClient(place.endpoint, api_key()) as client:
        for number in range(5):
            run(f"INSERT INTO notes VALUES ({number}, 'before')")
        client.query("notes { id }", min_position=run(POSITIONS[place.kind][0]), wait_ms=WAIT_MS)
        until(place.is_durable, 120)
        run("INSERT INTO notes VALUES (5, 'in no checkpoint')")
        client.query("notes { id }", min_position=run(POSITIONS[place.kind][0]), wait_ms=WAIT_MS)
        place.server.kill()
        run("UPDATE notes SET words = 'after' WHERE id = 0")
        run("DELETE FROM notes WHERE id = 1")
        place.start_server()
        until(lambda: place.status()["version"] > 0)
        until(lambda: not place.status()["stale"], 120)
        with QueryClient(place.endpoint, api_key()) as again:
            position = run(POSITIONS[place.kind][0])
            found = again.query("notes { id words }", min_position=position, wait_ms=WAIT_MS)

    assert [(row["id"], row["words"]) for row in found] == [
        (0, "after"),
        *((number, "before") for number in (2, 3, 4)),
        (5, "in no checkpoint"),
    ]
    actions = [line["action"] for line in place.server.log()]
    assert "checkpoint_loaded" in actions
    assert "snapshot_swapped" not in actions
