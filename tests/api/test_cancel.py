"""A build can be called off wherever it is, once; what served goes on serving, and nothing of it is left."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from reflexdb.build.files import TEMPORARY_PREFIX
from reflexdb.control.cancel import refuse_cancelled
from reflexdb.control.control import Control
from reflexdb.control.queue import in_turn
from reflexdb.control.rooms import BuildLimits, new_id
from reflexdb.control.supervised import Supervised
from reflexdb.model.errors import BuildCancelled, BuildFailed
from reflexdb.model.lifecycle import Status
from reflexdb.records import builds, databases, jobs
from tests.api.api import Api, sqlite_connection, until
from tests.api.plane import Plane, processes_in
from tests.api.situation import Situation

COMPILER = """#!/bin/sh
for word in "$@"; do
  if [ "$word" = -c ] && [ -e "{hang}" ]; then : > "{seen}"; sleep 3600; fi
done
exec c++ "$@"
"""
"""A compiler that never ends, while a file is there."""


@pytest.fixture
def waiting(api: Api, database: str) -> tuple[str, str]:
    """A database, and its build that nobody carries out."""
    return database, api.post(f"/databases/{database}/provision")["buildId"]


def cancel(api: Api, database: str, build: str, expect: int = 202) -> Any:
    return api.post(f"/databases/{database}/builds/{build}/cancel", expect=expect)


def owned(control: Control, database: str) -> str:
    """Some worker has begun with the database's job."""
    with control.rooms.store.write() as tx:
        job = jobs.of_database(tx, database)
        assert job is not None
        jobs.change(tx, job.id, owner=control.rooms.owner)
    return job.id


def test_a_build_that_waits_ends_at_once(api: Api, waiting: tuple[str, str]) -> None:
    database, build = waiting
    answer = cancel(api, database, build)
    detail = api.get(f"/databases/{database}/builds/{build}")

    assert answer == {"status": "failed", "buildId": build}
    assert (detail["status"], detail["error"]["code"], detail["deployable"]) == ("failed", "cancelled", False)
    assert api.get(f"/databases/{database}")["lastError"] == "test connection: it was cancelled"
    assert "CANCELLED" in api("GET", f"/databases/{database}/builds/{build}/log").text


def test_a_clock_that_is_set_back_during_a_build_makes_no_time_negative(
    api: Api, control: Control, waiting: tuple[str, str]
) -> None:
    database, build = waiting
    now = control.rooms.now()
    with control.rooms.store.write() as tx:
        builds.change(tx, build, started_at=now + timedelta(hours=1))
        builds.note_phase(tx, build, "introspect", now + timedelta(hours=1), now)
    cancel(api, database, build)
    detail = api.get(f"/databases/{database}/builds/{build}")

    assert detail["buildDurationSeconds"] == 0
    assert [phase["durationMs"] for phase in detail["phases"] if phase["name"] == "introspect"] == [0]


def test_what_was_cancelled_can_be_provisioned_again(api: Api, waiting: tuple[str, str]) -> None:
    database, build = waiting
    cancel(api, database, build)
    again = api.post(f"/databases/{database}/provision")["buildId"]

    assert [each["status"] for each in api.get(f"/databases/{database}/builds")["builds"]] == ["queued", "failed"]
    assert again != build


def test_a_finished_build_is_not_cancelled_and_the_answer_says_how_it_ended(api: Api, waiting: tuple[str, str]) -> None:
    database, build = waiting
    cancel(api, database, build)

    assert "was cancelled" in cancel(api, database, build, expect=409)["message"]


def test_a_succeeded_build_is_not_cancelled(api: Api, control: Control, database: str) -> None:
    situation = Situation(control, database)
    situation.put(Status.RUNNING)

    assert "has succeeded" in cancel(api, database, situation.build, expect=409)["message"]


def test_a_build_of_another_database_or_account_is_not_found(
    api: Api, control: Control, waiting: tuple[str, str]
) -> None:
    database, build = waiting

    assert cancel(api, new_id(), build, expect=404)["error"] == "not_found"
    assert cancel(api, database, new_id(), expect=404)["error"] == "not_found"
    assert cancel(api, database, "no-uuid", expect=404)["error"] == "not_found"
    assert api.get(f"/databases/{database}/builds/{build}")["status"] == "queued"


@pytest.mark.parametrize("before", [Status.RUNNING, Status.PAUSED, Status.FAILED])
def test_a_database_goes_back_to_what_it_was(api: Api, control: Control, database: str, before: Status) -> None:
    Situation(control, database).put(before)
    build = api.post(f"/databases/{database}/rebuild")["buildId"]
    cancel(api, database, build)
    row = api.get(f"/databases/{database}")

    assert row["status"] == before.published
    assert (row["lastError"] is None) == (before is not Status.FAILED)


def test_a_build_that_somebody_carries_out_is_asked_to_stop_once(
    api: Api, control: Control, waiting: tuple[str, str]
) -> None:
    database, build = waiting
    job_id = owned(control, database)
    first, second = cancel(api, database, build), cancel(api, database, build)

    assert first == second == {"status": "building", "buildId": build}
    assert [each["action"] for each in api.get("/audit")["entries"]].count("database.cancel") == 1
    with control.rooms.store.write() as tx, pytest.raises(BuildCancelled):
        refuse_cancelled(tx, jobs.by_id(tx, job_id))


def test_a_running_build_hears_that_it_was_cancelled_and_that_its_time_is_over(
    api: Api, control: Control, waiting: tuple[str, str]
) -> None:
    database, build = waiting
    job_id = owned(control, database)
    with control.rooms.store.read() as tx:
        job = jobs.by_id(tx, job_id)
    Supervised(control.rooms, job).check()
    hurried = replace(control.rooms, settings=replace(control.rooms.settings, builds=BuildLimits(1, 0)))
    with pytest.raises(BuildFailed, match="longer than the 0 s"):
        Supervised(hurried, job).check()
    cancel(api, database, build)

    with pytest.raises(BuildCancelled):
        Supervised(control.rooms, job).check()


def test_a_build_that_the_records_say_is_stale_is_only_cancelled_as_it_was_seen(
    api: Api, waiting: tuple[str, str]
) -> None:
    database, build = waiting
    stale = api("GET", f"/databases/{database}").headers["ETag"]
    api("PATCH", f"/databases/{database}", {"name": "another"}, expect=200)
    path = f"/databases/{database}/builds/{build}/cancel"

    assert api("POST", path, headers={"If-Match": stale}).status_code == 412


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """While the first file is there the compiler does not end; the second appears when it has begun."""
    hang, seen, compiler = tmp_path / "hang", tmp_path / "seen", tmp_path / "compiler"
    compiler.write_text(COMPILER.format(hang=hang, seen=seen))
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(compiler))
    return hang, seen


def test_a_control_plane_ends_though_it_compiles_and_the_next_start_goes_on(
    plane: Plane, source: Path, hanging: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, seen = hanging
    hang.touch()
    with monkeypatch.context() as empty:
        empty.setenv("REFLEXDB_ENGINE_CACHE", str(tmp_path / "cache"))
        api = plane.start()
    database: str = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    api.post(f"/databases/{database}/provision")
    until(seen.exists, "the compiler")
    status = plane.end()
    until(lambda: not processes_in(plane.data), "the compiler's end")
    hang.unlink()
    api = plane.start()

    assert (status, api.settled(database)["status"]) == (0, "running")
    assert [each["status"] for each in api.get(f"/databases/{database}/builds")["builds"]] == ["succeeded", "failed"]


def test_a_compiler_that_runs_is_ended_and_leaves_nothing_and_the_old_instance_serves(
    plane: Plane, source: Path, hanging: tuple[Path, Path]
) -> None:
    hang, seen = hanging
    api = plane.start()
    database: str = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    api.post(f"/databases/{database}/provision")
    before = api.settled(database)
    api("PUT", f"/databases/{database}/config", content="version: 1\ntables: [{name: users}]",
        headers={"Content-Type": "application/yaml"}, expect=204)  # fmt: skip
    quiet = set(processes_in(plane.data))
    hang.touch()
    build = api.post(f"/databases/{database}/rebuild")["buildId"]
    until(seen.exists, "the compiler")
    cancel(api, database, build)
    row = api.settled(database)

    assert (before["status"], row["status"], row["lastError"]) == ("running", "running", None)
    assert httpx.get(f"{row['endpointUrl']}/health", trust_env=False).status_code == 200
    assert api.get(f"/databases/{database}/builds/{build}")["error"]["code"] == "cancelled"
    until(lambda: set(processes_in(plane.data)) <= quiet, "the compiler's end")
    assert not [each for each in (plane.data / "cache" / "work").iterdir() if each.name != ".lock"]
    assert not [*(plane.data / "cache").rglob(f"{TEMPORARY_PREFIX}*")]
    hang.unlink()
    api.post(f"/databases/{database}/rebuild")
    assert api.settled(database)["status"] == "running"


def test_whoever_builds_least_is_next_and_then_whoever_asked_first(control: Control, api: Api, database: str) -> None:
    api.post(f"/databases/{database}/provision")
    with control.rooms.store.read() as tx:
        row, [job] = databases.by_id(tx, database), jobs.unfinished(tx).values()
    asked = ["a", "a", "a", "b", "a", "b", "c"]
    rows = [
        replace(row, id=str(place), customer_id=account, status=Status.QUEUED) for place, account in enumerate(asked)
    ]
    building = replace(row, id="9", customer_id="a", status=Status.BUILDING)
    times = {
        each.id: replace(job, created_at=job.created_at.replace(microsecond=place)) for place, each in enumerate(rows)
    }

    assert "".join(each.customer_id for each in in_turn([*reversed(rows), building], times)) == "abcabaaa"
    assert [each.id for each in in_turn(rows, times) if each.customer_id == "a"] == ["0", "1", "2", "4"]


def test_a_waiting_build_tells_its_place_in_the_queue(api: Api, control: Control, waiting: tuple[str, str]) -> None:
    first, build = waiting
    connection = api.get(f"/databases/{first}")["connectionId"]
    body = {"connectionId": connection, "name": "second", "mysqlDb": "main"}
    second: str = api.post("/databases", body, expect=201)["id"]
    later = api.post(f"/databases/{second}/provision")["buildId"]
    assert api.get(f"/databases/{first}/builds/{build}")["queuePosition"] is None  # its connection is not tested yet
    with control.rooms.store.write() as tx:
        for each in (first, second):
            databases.change(tx, each, control.rooms.now(), status=Status.QUEUED.value)
    places = [api.get(f"/databases/{first}/builds/{build}"), api.get(f"/databases/{second}/builds/{later}")]
    cancel(api, first, build)

    assert [each["queuePosition"] for each in places] == [1, 2]
    assert api.get(f"/databases/{second}/builds/{later}")["queuePosition"] == 1


def test_a_finished_build_tells_what_it_cost_by_tier_and_minute(api: Api, control: Control, database: str) -> None:
    now = control.rooms.now()
    made = {"compute_type": "BUILD_GENERAL1_XLARGE", "duration_s": 90, "cost_cents": 15, "finished_at": now}
    build = new_id()
    with control.rooms.store.write() as tx:
        builds.add(tx, id=build, database_id=database, status="succeeded", created_at=now, **made)

    assert api.get(f"/databases/{database}/builds/{build}")["cost"] == {
        "computeType": "BUILD_GENERAL1_XLARGE", "centsPerMinute": 10.0, "seconds": 90, "cents": 15,
    }  # fmt: skip
