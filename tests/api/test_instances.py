"""A database's whole life with the real builder and real instances: provision, rebuild, roll back, pause, terminate."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from reflexdb.records import databases
from reflexdb.records.store import Store
from tests.api.api import Api, sqlite_connection, until
from tests.api.plane import Plane, processes_in


def query(api: Api, database: str, text: str = "users { id name }") -> httpx.Response:
    """Ask the instance with a key made for it."""
    url = api.get(f"/databases/{database}")["endpointUrl"]
    key = api.post(f"/databases/{database}/api-keys", {"name": "test"}, expect=201)["key"]
    headers = {"Authorization": f"Bearer {key}"}

    def heard() -> httpx.Response | None:
        reply = httpx.post(f"{url}/query", content=text, headers=headers, trust_env=False)
        return None if reply.status_code == 401 else reply

    reply: httpx.Response = until(heard, "the new key to be heard", 10)
    return reply


def builds(api: Api, database: str) -> dict[str, Any]:
    history: dict[str, Any] = api.get(f"/databases/{database}/builds")
    return history


@pytest.fixture
def running(plane: Plane, source: Path) -> tuple[Api, str]:
    api = plane.start()
    created = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)
    database: str = created["database"]["id"]
    api.post(f"/databases/{database}/provision")
    settled = api.settled(database)
    assert settled["status"] == "running", settled
    return api, database


def test_a_provisioned_database_answers_and_tells_everything_about_itself(running: tuple[Api, str]) -> None:
    api, database = running
    status = api.get(f"/databases/{database}/instance")
    history = builds(api, database)

    assert query(api, database).status_code == 200
    assert status["database"]["endpointUrl"].startswith("http://127.0.0.1:")
    assert (status["instance"]["healthStatus"], status["instance"]["rowCounts"]) == ("ok", {"users": 2, "posts": 3})
    assert status["instance"]["lastHealthCheck"] is not None
    assert status["deployedInstanceConfig"]["instanceSize"] == "nano"
    assert status["hasPendingChanges"] is False
    [build] = history["builds"]
    assert (build["status"], build["deployable"], history["activeBuildId"]) == ("succeeded", True, build["id"])
    assert build["computeTypeUsed"] == "BUILD_GENERAL1_LARGE"
    assert isinstance(build["buildDurationSeconds"], int)
    assert isinstance(build["costEstimateCents"], int)
    log = api("GET", f"/databases/{database}/builds/{build['id']}/log", expect=200).text
    followed = api("GET", f"/databases/{database}/builds/{build['id']}/log?follow=true", expect=200).text
    assert log == followed
    for step in ("test connection", "introspect", "built: image", "deploy: build", "running at"):
        assert step in log


def test_a_rebuild_takes_in_a_new_column_and_a_redeploy_rolls_it_back(running: tuple[Api, str], source: Path) -> None:
    api, database = running
    first = builds(api, database)["activeBuildId"]
    url = api.get(f"/databases/{database}")["endpointUrl"]
    with sqlite3.connect(source) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN email TEXT DEFAULT 'x@example.org'")
    connection.close()

    second = api.post(f"/databases/{database}/rebuild")["buildId"]
    assert api.settled(database)["status"] == "running"
    assert builds(api, database)["activeBuildId"] == second
    assert [build["id"] for build in builds(api, database)["builds"]] == [second, first]
    assert query(api, database, "users { email }").status_code == 200

    assert api.post(f"/databases/{database}/redeploy", {"buildId": first}) == {"status": "deploying"}
    assert api.settled(database)["endpointUrl"] == url
    assert builds(api, database)["activeBuildId"] == first
    assert query(api, database, "users { email }").status_code == 400
    assert len(builds(api, database)["builds"]) == 2


def test_a_failed_rebuild_says_why_and_the_old_build_serves_on(running: tuple[Api, str], source: Path) -> None:
    api, database = running
    first = builds(api, database)["activeBuildId"]
    config = b"version: 1\ntables:\n  - name: nosuch\n"
    api(
        "PUT", f"/databases/{database}/config", content=config, headers={"Content-Type": "application/yaml"}, expect=204
    )
    assert api.get(f"/databases/{database}/instance")["hasPendingChanges"] is True

    failed = api.post(f"/databases/{database}/rebuild")["buildId"]
    settled = api.settled(database)
    assert settled["status"] == "failed"
    assert "nosuch" in settled["lastError"]
    assert settled["lastError"].startswith("build")
    history = builds(api, database)
    assert [(build["id"], build["status"], build["deployable"]) for build in history["builds"]] == [
        (failed, "failed", False),
        (first, "succeeded", True),
    ]
    assert history["activeBuildId"] == first
    assert query(api, database).status_code == 200
    assert "FAILED" in api("GET", f"/databases/{database}/builds/{failed}/log", expect=200).text
    api("DELETE", f"/databases/{database}/config", expect=204)
    api.post(f"/databases/{database}/rebuild")
    assert api.settled(database)["status"] == "running"


def test_an_unreachable_source_fails_the_connection_test(plane: Plane, tmp_path: Path) -> None:
    api = plane.start()
    created = api.post("/connections", sqlite_connection(str(tmp_path / "nothing.db")), expect=201)
    database = created["database"]["id"]
    api.post(f"/databases/{database}/provision")
    settled = api.settled(database)

    assert settled["status"] == "failed"
    assert settled["lastError"].startswith("test connection: ")
    assert builds(api, database)["builds"][0]["status"] == "failed"
    assert builds(api, database)["activeBuildId"] is None


def test_a_damaged_image_is_not_deployable_and_not_redeployed(running: tuple[Api, str], plane: Plane) -> None:
    api, database = running
    build = api.get(f"/databases/{database}/instance")["latestBuild"]
    digest = build["imageUri"].rpartition("@sha256:")[2]
    blob = plane.data / "images" / "blobs" / "sha256" / digest
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + b" ")
    assert builds(api, database)["builds"][0]["deployable"] is False

    api("POST", f"/databases/{database}/redeploy", {"buildId": build["id"]}, expect=409)
    assert query(api, database).status_code == 200
    blob.write_bytes(content)
    assert builds(api, database)["builds"][0]["deployable"] is True


def test_settings_reach_a_running_instance_by_reconfigure_and_resize(running: tuple[Api, str]) -> None:
    api, database = running
    api("PATCH", f"/databases/{database}", {"logLevel": "debug"}, expect=200)
    assert api.get(f"/databases/{database}/instance")["hasPendingChanges"] is True

    api.post(f"/databases/{database}/reconfigure")
    api.settled(database)
    status = api.get(f"/databases/{database}/instance")
    assert (status["hasPendingChanges"], status["deployedInstanceConfig"]["logLevel"]) == (False, "debug")
    api.post(f"/databases/{database}/resize", {"instanceSize": "small"})
    api.settled(database)
    status = api.get(f"/databases/{database}/instance")
    assert status["deployedInstanceConfig"]["taskMemoryMb"] == 1024
    assert query(api, database).status_code == 200


def test_a_paused_database_runs_nothing_and_resumes_where_it_was(running: tuple[Api, str]) -> None:
    api, database = running
    url = api.get(f"/databases/{database}")["endpointUrl"]
    active = builds(api, database)["activeBuildId"]
    assert api.post(f"/databases/{database}/pause")["status"] == "pausing"
    assert api.settled(database)["status"] == "paused"
    assert builds(api, database)["activeBuildId"] is None
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/health", trust_env=False)

    assert api.post(f"/databases/{database}/resume")["status"] == "resuming"
    settled = api.settled(database)
    assert (settled["status"], settled["endpointUrl"]) == ("running", url)
    assert builds(api, database)["activeBuildId"] == active
    assert query(api, database).status_code == 200


def test_a_terminated_database_leaves_no_process_and_can_be_provisioned_again(
    running: tuple[Api, str], plane: Plane
) -> None:
    api, database = running
    assert api.post(f"/databases/{database}/terminate") == {"status": "terminating"}
    settled = api.settled(database)
    assert (settled["status"], settled["endpointUrl"], settled["healthStatus"]) == ("terminated", None, None)
    assert plane.process is not None
    assert processes_in(plane.data) == [plane.process.pid]

    api.post(f"/databases/{database}/provision")
    assert api.settled(database)["status"] == "running"
    assert query(api, database).status_code == 200


def test_a_pause_asked_for_during_a_build_is_carried_out_after_it(running: tuple[Api, str]) -> None:
    api, database = running
    api.post(f"/databases/{database}/rebuild")
    queued = api("POST", f"/databases/{database}/pause")
    assert queued.status_code == 202, queued.text

    assert api.settled(database)["status"] == "paused"


def test_sync_can_be_paused_and_a_reload_ordered(running: tuple[Api, str], source: Path) -> None:
    api, database = running
    assert api("POST", f"/databases/{database}/pause-replication", expect=200).json() == {"replication_paused": True}
    assert api("POST", f"/databases/{database}/resume-replication", expect=200).json() == {"replication_paused": False}
    with sqlite3.connect(source) as connection:
        connection.execute("INSERT INTO users VALUES (3, 'Bo')")
    connection.close()
    api.post(f"/databases/{database}/reload")

    def seen() -> bool:
        return bool(api.get(f"/databases/{database}/instance")["instance"]["rowCounts"]["users"] == 3)

    until(seen, "the new row", 20)


def test_a_revoked_key_is_refused_within_a_second_or_so_and_its_use_was_noted(running: tuple[Api, str]) -> None:
    api, database = running
    made = api.post(f"/databases/{database}/api-keys", {"name": "web"}, expect=201)
    url = api.get(f"/databases/{database}")["endpointUrl"]

    def status() -> int:
        headers = {"Authorization": f"Bearer {made['key']}"}
        return httpx.post(f"{url}/query", content="users { id }", headers=headers, trust_env=False).status_code

    until(lambda: status() == 200, "the key to be heard", 10)
    until(lambda: api.get(f"/databases/{database}/api-keys")[0]["lastUsedAt"], "the use to be noted", 10)
    api("DELETE", f"/databases/{database}/api-keys/{made['keyId']}", expect=204)
    until(lambda: status() == 401, "the key to be refused", 10)


def test_an_ephemeral_control_plane_takes_its_instances_with_it(plane: Plane, source: Path) -> None:
    api = plane.start(ephemeral=True)
    database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    api.post(f"/databases/{database}/provision")
    assert api.settled(database)["status"] == "running"

    assert plane.end() == 0
    assert processes_in(plane.data) == []


def test_a_pause_schedule_acts_at_its_minute_also_when_the_control_plane_was_away(
    running: tuple[Api, str], plane: Plane
) -> None:
    api, database = running
    now = datetime.now(UTC)
    schedule = {
        "pauseAt": f"{now - timedelta(minutes=2):%H:%M}",
        "resumeAt": f"{now + timedelta(hours=2):%H:%M}",
        "days": [],
    }
    api("PATCH", f"/databases/{database}", {"pauseSchedule": schedule}, expect=200)
    assert api.settled(database)["status"] == "running"
    plane.end()
    store = Store(plane.records or plane.data / "metadata.db")
    with store.write() as tx:  # as if the schedule had been set an hour ago
        databases.note_schedule_checked(tx, database, now - timedelta(hours=1))
    store.close()
    api = plane.start()

    until(lambda: api.get(f"/databases/{database}")["status"] == "paused", "the pause", 30)
