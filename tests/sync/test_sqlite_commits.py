"""A commit to a SQLite file is seen long before the interval is over, whatever happens to the file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync.feed_server import FeedServer
from tests.sync.test_process import ONE, TWO, Place
from tests.sync.waiting import until

NEVER_S = 3600
"""No test waits for an interval."""


@pytest.fixture(params=["delete", "wal"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    place = Place(tmp_path)
    place.run(f"PRAGMA journal_mode = {request.param}")
    yield place
    place.end()


@pytest.fixture
def server(place: Place) -> Iterator[FeedServer]:
    """One that has the first snapshot, from a sync process at rest."""
    server = FeedServer(place.directory, place.plan)
    place.start(interval_s=NEVER_S)
    until(lambda: server.status.get("state") == "ok")
    yield server
    server.close()


def test_a_commit_is_seen_and_only_its_table_is_sent(place: Place, server: FeedServer) -> None:
    place.run("INSERT INTO b VALUES (8)")
    until(lambda: server.version == 2)

    assert server.tables == {0: [ONE, TWO], 1: [(7,), (8,)]}
    assert server.kept[-1] == [0]


def test_nothing_of_a_transaction_that_goes_on_is_seen(place: Place, server: FeedServer) -> None:
    with contextlib.closing(sqlite3.connect(place.file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO b VALUES (8)")
        told = len(server.statuses)
        until(lambda: len(server.statuses) > told)
        within = server.version
        writer.execute("INSERT INTO b VALUES (9)")
        writer.execute("COMMIT")
    until(lambda: server.version == 2)

    assert within == 1
    assert server.tables[1] == [(7,), (8,), (9,)]


def test_a_file_that_is_locked_is_waited_for(place: Place, server: FeedServer) -> None:
    with contextlib.closing(sqlite3.connect(place.file, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("INSERT INTO b VALUES (8)")
        told = len(server.statuses)
        until(lambda: len(server.statuses) > told)
        writer.execute("COMMIT")
    until(lambda: server.version == 2)

    assert server.tables[1] == [(7,), (8,)]
    assert {status["state"] for status in server.statuses} <= {"loading", "ok"}


def test_another_file_in_its_place_is_read(place: Place, server: FeedServer, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    place.run("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(place.file, other)
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("PRAGMA journal_mode = delete")
        connection.execute("UPDATE a SET t = 'other'")
    for beside in ("-wal", "-shm"):
        place.file.with_name(place.file.name + beside).unlink(missing_ok=True)
    other.rename(place.file)
    until(lambda: server.version == 2)

    assert server.tables[0] == [(1, b"other"), (2, b"other")]


def test_a_file_that_goes_and_comes_back_is_read_at_once(place: Place, server: FeedServer) -> None:
    place.run("PRAGMA wal_checkpoint(TRUNCATE)")
    away = place.file.with_suffix(".away")
    place.file.rename(away)
    until(lambda: server.status.get("state") == "failing")
    away.rename(place.file)
    place.run("INSERT INTO b VALUES (8)")
    until(lambda: server.version == 2)
    until(lambda: server.status.get("state") == "ok")

    assert server.tables[1] == [(7,), (8,)]


def test_a_value_that_does_not_fit_is_mended_by_the_commit_that_corrects_it(place: Place, server: FeedServer) -> None:
    place.run("INSERT INTO a VALUES (3, x'ff')", "UPDATE a SET t = CAST(x'ff' AS TEXT) WHERE id = 3")
    until(lambda: server.status.get("state") == "failing")
    place.run("UPDATE a SET t = 'three' WHERE id = 3")
    until(lambda: server.status.get("state") == "ok")

    assert server.tables[0] == [ONE, TWO, (3, b"three")]


def test_what_is_not_committed_to_costs_no_reading(place: Place, server: FeedServer) -> None:
    told, confirms = len(server.statuses), server.confirms
    until(lambda: len(server.statuses) > told + 1)

    assert (server.version, server.confirms) == (1, confirms)
