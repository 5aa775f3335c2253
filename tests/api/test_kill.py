"""kill -9 of the control plane at any moment: the next start finds a truthful state, and nobody who asks notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.api import Api, sqlite_connection, until
from tests.api.plane import Plane, processes_in


def check_invariants(api: Api, database: str) -> dict[str, Any]:
    """What must be so whenever a database is at rest."""
    row = api.settled(database)
    history = api.get(f"/databases/{database}/builds")
    status = api.get(f"/databases/{database}/instance")

    assert not [build for build in history["builds"] if build["status"] in ("queued", "in_progress")]
    assert (
        (history["activeBuildId"] is not None) == (status["instance"] is not None) == (row["endpointUrl"] is not None)
    )
    if row["status"] in ("running", "failed"):
        assert (row["lastError"] is None) == (row["status"] == "running")
    if row["status"] == "running":
        assert status["instance"]["healthStatus"] == "ok"
        active = next(build for build in history["builds"] if build["id"] == history["activeBuildId"])
        assert active["deployable"] is True
        assert httpx.get(f"{row['endpointUrl']}/health", trust_env=False).status_code == 200
    return row


def register(api: Api, source: Path) -> str:
    created = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)
    database: str = created["database"]["id"]
    return database


def provisioned(api: Api, source: Path) -> str:
    database = register(api, source)
    api.post(f"/databases/{database}/provision")
    assert api.settled(database)["status"] == "running"
    return database


def at_phase(api: Api, database: str, phase: str) -> bool:
    """Whether the phase was seen; a quick machine may have passed it already."""

    def seen() -> str | None:
        now: str = api.get(f"/databases/{database}/instance")["database"]["phase"]
        return now if now == phase or now in ("running", "failed", "terminated") else None

    return bool(until(seen, phase) == phase)


@contextmanager
def asked_without_pause(url: str) -> Iterator[list[str]]:
    """Ask an instance's health on new connections all the time; yields what went wrong."""
    wrong: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                reply = httpx.get(f"{url}/health", trust_env=False, timeout=10)
                if reply.status_code != 200:
                    wrong.append(f"status {reply.status_code}")
            except httpx.TransportError as exc:
                wrong.append(repr(exc))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("phase", ["testing_connection", "building", "deploying"])
def test_a_provision_killed_on_its_way_ends_in_the_truth(plane: Plane, source: Path, phase: str) -> None:
    api = plane.start()
    database = register(api, source)
    build_id = api.post(f"/databases/{database}/provision")["buildId"]
    in_time = at_phase(api, database, phase)
    plane.kill()
    api = plane.start()

    assert check_invariants(api, database)["status"] == "running"
    history = {build["id"]: build["status"] for build in api.get(f"/databases/{database}/builds")["builds"]}
    if in_time and history[build_id] == "failed":
        log = api("GET", f"/databases/{database}/builds/{build_id}/log", expect=200).text
        assert "the control plane was stopped during the build" in log
        assert len(history) == 2
    else:
        assert list(history) == [build_id]


def test_a_provision_killed_again_and_again_never_runs_for_ever(plane: Plane, source: Path) -> None:
    api = plane.start()
    database = register(api, source)
    api.post(f"/databases/{database}/provision")
    for _ in range(3):
        if not at_phase(api, database, "building"):
            break
        plane.kill()
        api = plane.start()
    row = check_invariants(api, database)

    if row["status"] == "failed":
        assert "stopped during the build" in row["lastError"]
        api.post(f"/databases/{database}/provision")
        assert check_invariants(api, database)["status"] == "running"


@pytest.mark.parametrize(
    ("action", "phase"), [("rebuild", "building"), ("rebuild", "deploying"), ("redeploy", "deploying")]
)
def test_whoever_asks_an_instance_does_not_notice_a_kill(plane: Plane, source: Path, action: str, phase: str) -> None:
    api = plane.start()
    database = provisioned(api, source)
    before = api.get(f"/databases/{database}")
    first = api.get(f"/databases/{database}/builds")["activeBuildId"]

    with asked_without_pause(before["endpointUrl"]) as wrong:
        api.post(f"/databases/{database}/{action}", {"buildId": first} if action == "redeploy" else None)
        at_phase(api, database, phase)
        plane.kill()
        api = plane.start()
        after = check_invariants(api, database)
    assert (after["status"], after["endpointUrl"]) == ("running", before["endpointUrl"])
    assert wrong == []


def test_a_kill_at_rest_changes_nothing(plane: Plane, source: Path) -> None:
    api = plane.start()
    database = provisioned(api, source)
    before = api.get(f"/databases/{database}/instance")

    with asked_without_pause(before["database"]["endpointUrl"]) as wrong:
        plane.kill()
        api = plane.start()
        check_invariants(api, database)
    after = api.get(f"/databases/{database}/instance")
    assert after["instance"]["id"] == before["instance"]["id"]
    assert after["database"] == {**before["database"], "updatedAt": after["database"]["updatedAt"]}
    assert wrong == []


def test_a_termination_killed_on_its_way_is_finished(plane: Plane, source: Path) -> None:
    api = plane.start()
    database = provisioned(api, source)
    api.post(f"/databases/{database}/terminate")
    plane.kill()
    api = plane.start()

    assert check_invariants(api, database)["status"] == "terminated"
    assert processes_in(plane.data / "instances") == []
