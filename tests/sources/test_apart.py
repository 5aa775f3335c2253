"""Sources asked in processes that can be ended: endless statements, silent servers, locks, and who dies meanwhile."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reflexdb.model.errors import Overloaded, SourceDenied, SourceTimeout
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.sources import open_source
from reflexdb.sources.apart import Asking, Deadlines, Introspect, TakeSample, Test
from reflexdb.sources.apart.asking import Places
from reflexdb.sources.base import SourceAddress
from tests.servers.plugin import TestDatabase
from tests.sources.helpers import mysql_address, plan_of, postgres_address
from tests.sources.test_introspection import fill

LIMIT_S = 20.0
"""For what takes two seconds where the machine is not busy."""
UNHURRIED = Deadlines(600, 600, 600)
ENDLESS = {"mysql": "sleep(10000) = 0", "postgres": "pg_sleep(10000) IS NOT NULL"}
RUNNING = {
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%sleep(10000)%'"
    " AND id <> connection_id()",
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(10000)%' AND pid <> pg_backend_pid()"
    " AND state = 'active'",
}


class CalledOff(Exception):
    pass


def wait_until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < give_up, f"waited {LIMIT_S} s in vain until {what}"
        time.sleep(0.05)


def children() -> set[int]:
    """The processes that ask a source for this one."""
    found = set()
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                line = (each / "cmdline").read_bytes()
                parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if b"reflexdb.sources.apart" in line and parent == os.getpid():
                found.add(int(each.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    wait_until(lambda: not children(), "every process that asks a source has ended")


@pytest.fixture(params=["mysql", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(kind: str, request: pytest.FixtureRequest) -> TestDatabase:
    found: TestDatabase = request.getfixturevalue("mariadb_database" if kind == "mysql" else "postgres_database")
    fill(found, ["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"])
    return found


@pytest.fixture
def address(kind: str, database: TestDatabase) -> SourceAddress:
    return (mysql_address if kind == "mysql" else postgres_address)(database)


def planned(address: SourceAddress, database: TestDatabase, where: str | None = None) -> Plan:
    plan = plan_of(open_source(address).introspect(database.schema))
    return replace(plan, tables=tuple(replace(table, where=where) for table in plan.tables))


@contextmanager
def silent_port() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield int(listener.getsockname()[1])


def test_answers_are_those_of_the_source_itself(address: SourceAddress, database: TestDatabase) -> None:
    asking = Asking(UNHURRIED)
    plan = planned(address, database)

    assert asking.ask(Introspect(address, database.schema)) == open_source(address).introspect(database.schema)
    assert database.schema in asking.ask(Test(address)).available_schemas
    sample, taken_at = asking.ask(TakeSample(address, plan))
    assert (sample[0].rows, taken_at.tzinfo is not None) == (2, True)
    with pytest.raises(SourceDenied) as caught:
        asking.ask(Test(replace(address, password="nonsense-in-vain")))
    assert "nonsense-in-vain" not in str(caught.value)


def test_an_endless_statement_is_called_off_everywhere(
    kind: str, address: SourceAddress, database: TestDatabase
) -> None:
    plan = planned(address, database, ENDLESS[kind])

    def check() -> None:
        if database.execute(RUNNING[kind])[0][0]:
            raise CalledOff

    with pytest.raises(CalledOff):
        Asking(UNHURRIED).ask(TakeSample(address, plan), check)
    wait_until(lambda: not database.execute(RUNNING[kind])[0][0], "the server runs nothing of ours")


def test_an_endless_statement_meets_its_deadline(kind: str, address: SourceAddress, database: TestDatabase) -> None:
    plan = planned(address, database, ENDLESS[kind])
    with pytest.raises(SourceTimeout) as caught:
        Asking(Deadlines(read_s=3)).ask(TakeSample(address, plan))

    said = str(caught.value)
    assert f"{address.host}:{address.port}" in said
    assert "within 3 s while reading rows of table 't'" in said
    assert "REFLEXDB_SOURCE_READ_TIMEOUT_S" in said
    wait_until(lambda: not database.execute(RUNNING[kind])[0][0], "the server runs nothing of ours")


@pytest.mark.parametrize("backend", [Backend.MYSQL, Backend.POSTGRES])
def test_a_silent_server_meets_the_deadline(backend: Backend) -> None:
    with silent_port() as port:
        where = SourceAddress(backend, "127.0.0.1", port, "u", "p")
        with pytest.raises(SourceTimeout, match="within 1 s while testing the connection"):
            Asking(Deadlines(test_s=1)).ask(Test(where))


def test_a_locked_table_holds_nobody_up(postgres_database: TestDatabase) -> None:
    address = postgres_address(postgres_database)
    fill(postgres_database, ["CREATE TABLE t (id int PRIMARY KEY)"])
    plan = planned(address, postgres_database)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def check() -> None:
        if postgres_database.execute(waiting)[0][0]:
            raise CalledOff

    with postgres_database.connect() as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CalledOff):
            Asking(UNHURRIED).ask(TakeSample(address, plan), check)
        wait_until(lambda: not postgres_database.execute(waiting)[0][0], "nobody waits for the lock")


def test_nothing_outlives_a_killed_parent(kind: str, address: SourceAddress, database: TestDatabase) -> None:
    plan = planned(address, database, ENDLESS[kind])
    script = textwrap.dedent("""
        import pickle, sys
        from reflexdb.sources.apart import Asking, Deadlines
        Asking(Deadlines(600, 600, 600)).ask(pickle.load(sys.stdin.buffer))
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    assert parent.stdin is not None
    parent.stdin.write(pickle.dumps(TakeSample(address, plan)))
    parent.stdin.close()
    wait_until(lambda: bool(database.execute(RUNNING[kind])[0][0]), "the statement runs")
    parent.send_signal(signal.SIGKILL)
    parent.wait()

    wait_until(lambda: not database.execute(RUNNING[kind])[0][0], "the server runs nothing of ours")


def test_a_killed_process_is_an_error_of_its_own() -> None:
    def check() -> None:
        for each in children():
            os.kill(each, signal.SIGKILL)

    with silent_port() as port, pytest.raises(Exception, match="the process that asks it broke"):
        Asking(UNHURRIED).ask(Test(SourceAddress(Backend.MYSQL, "127.0.0.1", port, "u", "p")), check)


def test_secrets_are_in_no_argument_and_no_environment() -> None:
    seen: list[bytes] = []

    def check() -> None:
        for each in children():
            seen.extend((Path(f"/proc/{each}") / name).read_bytes() for name in ("cmdline", "environ"))
        if seen:
            raise CalledOff

    with silent_port() as port, pytest.raises(CalledOff):
        Asking(UNHURRIED).ask(Test(SourceAddress(Backend.MYSQL, "127.0.0.1", port, "u", "s3cret-word")), check)
    assert not any(b"s3cret-word" in each for each in seen)


def test_too_many_tests_are_refused_and_builds_go_on(database: TestDatabase, address: SourceAddress) -> None:
    asking, done = Asking(UNHURRIED, Places(tests=threading.BoundedSemaphore(1))), threading.Event()

    def check() -> None:
        if done.is_set():
            raise CalledOff

    def ask_in_vain() -> None:
        with pytest.raises(CalledOff):
            asking.ask(Test(SourceAddress(Backend.MYSQL, "127.0.0.1", port, "u", "p")), check)

    with silent_port() as port:
        first = threading.Thread(target=ask_in_vain)
        first.start()
        try:
            wait_until(lambda: bool(children()), "the first is being asked")
            with pytest.raises(Overloaded):
                asking.ask(Test(address))
            assert asking.ask(Introspect(address, database.schema)).tables
        finally:
            done.set()
            first.join()
