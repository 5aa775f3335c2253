"""What a killed server, a resumed database and a new deployment begin with: the last checkpoint, never as fresh."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from reflexdb.deploy.base import Observation
from reflexdb.deploy.local.processes import Role
from reflexdb.model.errors import DeployFailed
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from tests.deploy.site import Site, execute
from tests.sync.waiting import until

PEOPLE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": None}]


def written(site: Site) -> None:
    until(lambda: (site.directory() / "checkpoint").exists(), "a checkpoint")


def logged(directory: Path, action: str, name: str = "server.log") -> list[dict[str, Any]]:
    lines = (directory / name).read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["action"] == action]


def kept(site: Site) -> Path:
    return site.root / "data" / "checkpoints" / "db"


def away(site: Site) -> None:
    site.file.rename(site.file.with_suffix(".away"))


def back(site: Site) -> None:
    site.file.with_suffix(".away").rename(site.file)


def degraded(site: Site) -> Observation | None:
    seen = site.observe()
    return seen if seen.health == "degraded" else None


def test_a_killed_server_answers_from_its_checkpoint_while_the_source_is_away(site: Site) -> None:
    site.supervise()
    port = site.deploy().port
    written(site)
    away(site)
    server = site.process(Role.SERVER)
    assert server is not None
    os.kill(server, signal.SIGKILL)

    assert site.query(port) == PEOPLE
    assert degraded(site)
    back(site)
    until(site.healthy)
    assert (site.directory() / "checkpoint").stat().st_mode & 0o777 == 0o600


def test_a_new_deployment_of_the_same_plan_begins_with_the_checkpoint_of_the_old_one(site: Site) -> None:
    site.deploy("one")
    written(site)
    execute(site.file, "INSERT INTO people VALUES (3, 'Zoë')")
    port = site.deploy("two").port

    assert "Beginning with the last checkpoint" in site.lines
    assert logged(site.directory(), "checkpoint_loaded")
    assert site.query(port) == [*PEOPLE, {"id": 3, "name": "Zoë"}]  # handed over to once it had read the source
    assert site.entries() == ["current", "two"]


def test_a_new_deployment_reads_nothing_where_the_old_one_serves_the_same_snapshot(site: Site) -> None:
    site.deploy("one")
    written(site)
    port = site.deploy("two").port
    known = logged(site.directory(), "rows_known", "sync.log")
    read = logged(site.directory(), "swapped", "sync.log")
    execute(site.file, "INSERT INTO people VALUES (3, 'Zoë')")

    assert [line["tables"] for line in known] == [3]
    assert read == []
    until(lambda: len(site.query(port)) == 3, "a change is seen")


def test_rows_that_are_written_while_deployments_follow_each_other_are_never_missing(site: Site) -> None:
    port = site.deploy("one").port
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count(10):
            execute(site.file, f"INSERT INTO people VALUES ({number}, 'new')")
            if ended.wait(0.15):
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for name in ("two", "three", "four", "five"):
            written(site)
            before = len(site.query(port))
            site.deploy(name)
            assert len(site.query(port)) >= before
    finally:
        ended.set()
        writer.join()
    with contextlib.closing(sqlite3.connect(site.file)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM people").fetchone()
    until(lambda: len(site.query(port)) == count, "all that was written is there")


def test_a_checkpoint_of_the_old_deployment_is_not_served_in_place_of_fresher_rows(site: Site) -> None:
    site.deploy("one")
    written(site)
    away(site)
    with pytest.raises(DeployFailed) as caught:
        site.deploy("two")

    assert caught.value.step == "load"
    assert site.query(site.observe().deployed.port) == PEOPLE
    back(site)


def test_a_resumed_database_answers_from_its_checkpoint_before_its_source_does(site: Site) -> None:
    site.deploy("one")
    site.deployer.retire("db", keep_checkpoint=True)
    assert {entry.name for entry in kept(site).iterdir()} >= {"checkpoint", "sync.json"}
    away(site)
    port = site.deploy("two").port

    assert site.query(port) == PEOPLE
    assert degraded(site)
    assert not kept(site).exists()
    back(site)
    until(site.healthy)


def test_what_a_killed_control_plane_left_of_a_resumed_database_s_checkpoint_goes(site: Site) -> None:
    site.deploy("one")
    site.deployer.retire("db", keep_checkpoint=True)
    left = (kept(site) / "checkpoint").read_bytes()
    site.deploy("two")
    site.deployer.close()
    kept(site).mkdir()
    (kept(site) / "checkpoint").write_bytes(left)

    site.deployer = site.new_deployer()
    site.supervise()
    until(lambda: not kept(site).exists(), "it is removed")
    until(site.healthy)


def test_a_pause_keeps_what_was_served_last(site: Site) -> None:
    port = site.deploy("one").port
    written(site)
    execute(site.file, "INSERT INTO people VALUES (3, 'Zoë')")
    until(lambda: len(site.query(port)) == 3)
    site.deployer.retire("db", keep_checkpoint=True)
    away(site)

    assert len(site.query(site.deploy("two").port)) == 3
    back(site)


def test_terminating_removes_every_checkpoint(site: Site) -> None:
    site.deploy("one")
    site.deployer.retire("db", keep_checkpoint=True)
    site.deployer.retire("db")

    assert not kept(site).exists()
    assert not (site.root / "data" / "instances" / "db").exists()


def test_a_checkpoint_of_another_plan_is_not_offered(site: Site) -> None:
    site.deploy("one")
    site.deployer.retire("db", keep_checkpoint=True)
    file = kept(site) / "checkpoint"
    data = bytearray(file.read_bytes())
    data[16] ^= 1
    file.unlink()
    file.write_bytes(data)
    port = site.deploy("two").port

    assert "Beginning with the last checkpoint" not in site.lines
    assert site.query(port) == PEOPLE


def test_a_checkpoint_of_another_source_is_not_offered(site: Site) -> None:
    """The same plan at another server: its positions would mean something else."""
    site.deploy("one")
    site.deployer.retire("db", keep_checkpoint=True)
    execute(site.file, "DELETE FROM people")
    other = site.file.rename(site.file.with_suffix(".other"))
    source = SourceAddress(Backend.SQLITE, str(other))
    port = site.deploy("two", source=source).port

    assert "Beginning with the last checkpoint" not in site.lines
    assert site.query(port) == []


def test_a_checkpoint_that_is_broken_while_it_is_served_costs_a_restart_and_no_row(site: Site) -> None:
    execute(site.file, *(f"INSERT INTO people VALUES ({number}, '{'x' * 90}{number}')" for number in range(10, 5_000)))
    site.supervise()
    site.deploy("one")
    written(site)
    port = site.deploy("two").port
    whole = site.query(port, "people { * }")
    server = site.process(Role.SERVER)
    os.truncate(site.directory() / "checkpoint", 0)
    with contextlib.suppress(OSError, http.client.HTTPException):
        site.query(port, "people { * }")
    site.awaited(Role.SERVER, other_than=server)
    until(site.healthy)

    assert site.query(port, "people { * }") == whole
    assert logged(site.directory(), "checkpoint_put_aside")
