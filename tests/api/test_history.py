"""What has happened to a database, as the API tells it: builds in pages, one build in full, deployments."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from sqlalchemy import URL
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.build.signing import signer_of_envelope
from reflexdb.control import worker
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings, new_id, utc_now
from reflexdb.records import builds
from tests.api.api import UNHURRIED, Api, make_source, sqlite_connection
from tests.api.plane import Plane

PASSES = ["test connection", "introspect", "plan", "engine", "reuse", "engine", "emit", "compile", "smoke", "package"]


@pytest.fixture
def many(control: Control, database: str) -> list[str]:
    """Ids of five builds, a day apart, oldest first; the second and the fourth failed."""
    ids, start = [], utc_now() - timedelta(days=10)
    with control.rooms.store.write() as tx:
        for day in range(5):
            ids.append(new_id())
            status = "failed" if day % 2 else "succeeded"
            created = start + timedelta(days=day)
            builds.add(tx, id=ids[-1], database_id=database, status=status, created_at=created)
    return ids


def ids_of(answer: Any) -> list[str]:
    return [build["id"] for build in answer["builds"]]


def raw(api: Api, path: str) -> httpx.Response:
    """Without the contract's check: it has no word for a query that this operation refuses."""
    return api.client.get(f"/v1{path}", headers={"Authorization": f"Bearer {api.key}"})


def test_the_plain_list_is_what_it_was(api: Api, database: str, many: list[str]) -> None:
    reply = api("GET", f"/databases/{database}/builds", expect=200)

    assert ids_of(reply.json()) == many[::-1]
    assert "link" not in reply.headers
    assert set(reply.json()["builds"][0]) == {
        "id", "status", "deployable", "codebuildId", "logsUrl", "createdAt", "finishedAt", "buildDurationSeconds",
        "computeTypeUsed", "costEstimateCents",
    }  # fmt: skip


def test_pages_follow_each_other_without_gap_or_repetition(api: Api, database: str, many: list[str]) -> None:
    path, seen = f"/databases/{database}/builds?limit=2", []
    for _ in range(3):
        reply = api("GET", path, expect=200)
        seen.append(ids_of(reply.json()))
        link = re.fullmatch(r'<([?][^>]+)>; rel="next"', reply.headers.get("link", ""))
        path = f"/databases/{database}/builds{link[1]}" if link else ""

    assert seen == [[many[4], many[3]], [many[2], many[1]], [many[0]]]
    assert path == ""


def test_a_page_goes_on_where_it_ended_although_builds_were_added(
    api: Api, control: Control, database: str, many: list[str]
) -> None:
    first = api("GET", f"/databases/{database}/builds?limit=2&status=succeeded", expect=200)
    with control.rooms.store.write() as tx:
        builds.add(tx, id=new_id(), database_id=database, status="succeeded", created_at=utc_now())

    following = f"/databases/{database}/builds" + first.headers["link"].partition(">")[0].removeprefix("<")

    assert ids_of(first.json()) == [many[4], many[2]]
    assert ids_of(api.get(following)) == [many[0]]


def test_filters_choose(api: Api, control: Control, database: str, many: list[str]) -> None:
    at = api.get(f"/databases/{database}/builds")["builds"][2]["createdAt"]
    path = f"/databases/{database}/builds"

    assert ids_of(api.get(f"{path}?status=failed")) == [many[3], many[1]]
    with control.rooms.store.write() as tx:
        builds.change(tx, many[1], trigger="schema_change")
        builds.change(tx, many[2], trigger="api")
    assert ids_of(api.get(f"{path}?trigger=schema_change")) == [many[1]]
    assert ids_of(api.get(f"{path}?trigger=schema_change&status=succeeded")) == []
    assert ids_of(api.get(f"{path}?trigger=schedule")) == []
    assert ids_of(api.get(f"{path}?deployable=true")) == []
    assert ids_of(api.get(f"{path}?deployable=false")) == many[::-1]
    assert ids_of(api.get(f"{path}?since={at}")) == [many[4], many[3], many[2]]
    assert ids_of(api.get(f"{path}?until={at}")) == [many[1], many[0]]


@pytest.mark.parametrize(
    "query",
    ["status=done", "trigger=somebody",
     "limit=0", "limit=1001", "limit=x", "since=yesterday", "deployable=perhaps", "cursor=",
     "cursor=%00", "cursor=WyJ4Il0", "cursor=W3RydWVd", "cursor=" + "A" * 300],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(api: Api, database: str, query: str) -> None:
    reply = raw(api, f"/databases/{database}/builds?{query}")

    assert reply.status_code == 400
    assert set(reply.json()) == {"error", "message"}
    assert reply.json()["message"]


def test_a_build_of_another_database_is_not_found(api: Api, database: str, many: list[str]) -> None:
    other = api.post("/databases", {"connectionId": api.get("/connections")[0]["id"], "name": "b", "mysqlDb": "main"},
                     expect=201)["id"]  # fmt: skip

    assert raw(api, f"/databases/{other}/builds/{many[0]}").status_code == 404
    assert raw(api, f"/databases/{database}/builds/nonsense").status_code == 404
    assert raw(api, f"/databases/{new_id()}/deployments").status_code == 404


def test_a_whole_life_is_remembered(plane: Plane, source: Path) -> None:
    api = plane.start()
    database = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)["database"]["id"]
    path = f"/databases/{database}"

    first = api.post(f"{path}/provision")["buildId"]
    assert api.settled(database)["status"] == "running"
    with sqlite3.connect(source) as connection:
        connection.execute("DROP TABLE posts")
        connection.execute("DROP TABLE users")
    connection.close()
    second = api.post(f"{path}/rebuild")["buildId"]
    assert api.settled(database)["status"] == "failed"
    refused = api("POST", f"{path}/redeploy", {"buildId": first}, expect=409).json()["message"]
    assert "table 'posts' is gone from the source; table 'users' is gone from the source" in refused
    make_source(source)
    api.post(f"{path}/redeploy", {"buildId": first})
    api.settled(database)

    check_good_build(api.get(f"{path}/builds/{first}"))
    check_evidence(api, f"{path}/builds/{first}")
    assert "only a build that succeeded" in api("GET", f"{path}/builds/{second}/provenance", expect=404).text
    assert "failed and has no image" in api("GET", f"{path}/builds/{second}/sbom", expect=404).text
    check_failed_build(api.get(f"{path}/builds/{second}"))
    check_deployments(api, path, first, second)
    before = api.get(f"{path}/deployments")
    plane.end()
    assert plane.start().get(f"{path}/deployments")["deployments"][-3:] == before["deployments"]


@pytest.fixture
def unwatched(data: Path, records: URL | None) -> Iterator[Api]:
    """A control plane that carries everything out and never looks at an instance afterwards."""
    settings = Settings(base_url="http://127.0.0.1:8400", health_interval_s=3600)
    control = open_control(data, settings, "127.0.0.1", records)
    first = control.accounts.ensure_first()
    assert first is not None
    control.start()
    try:
        with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
            yield Api(client, first.key)
    finally:
        control.stop()
        control.rooms.deployer.stop_all()
        control.rooms.store.close()


def test_what_a_build_holds_is_known_as_soon_as_it_serves(unwatched: Api, source: Path) -> None:
    database = unwatched.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    build = unwatched.post(f"/databases/{database}/provision")["buildId"]
    assert unwatched.settled(database)["status"] == "running"

    shown = unwatched.get(f"/databases/{database}/builds/{build}")

    assert {table["name"]: table["rows"] for table in shown["tables"]} == {"users": 2, "posts": 3}


def test_a_log_that_can_not_be_written_fails_nothing(
    unwatched: Api, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "log_path", lambda *_: Path("/dev/full"))
    database = unwatched.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    for action in ("provision", "rebuild", "pause", "resume"):
        unwatched.post(f"/databases/{database}/{action}")
        assert unwatched.settled(database)["status"] == ("paused" if action == "pause" else "running")
    jobs = unwatched.get(f"/databases/{database}/deployments")["deployments"]
    assert [job["error"] for job in jobs] == [None] * len(jobs)


def test_what_the_machine_refuses_is_said_in_its_words(
    unwatched: Api, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/path")

    database = unwatched.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    control: Control = unwatched.client.app.state.control  # type: ignore[attr-defined]
    monkeypatch.setattr(control.rooms.deployer, "deploy", full)
    unwatched.post(f"/databases/{database}/provision")

    assert unwatched.settled(database)["lastError"] == "deploy: the control plane's machine refused: " + os.strerror(
        errno.ENOSPC
    )


def check_good_build(build: dict[str, Any]) -> None:
    assert (build["number"], build["status"], build["deployable"], build["whyNotDeployable"]) == (
        1, "succeeded", True, None,
    )  # fmt: skip
    assert (build["trigger"], build["keyName"]) == ("api", "first key")
    assert build["keyId"]
    phases = build["phases"]
    assert [phase["name"] for phase in phases][: len(PASSES)] == PASSES
    assert phases[-1]["name"] == "deploy"
    assert [phase["startedAt"] for phase in phases] == sorted(phase["startedAt"] for phase in phases)
    assert all(phase["finishedAt"] >= phase["startedAt"] and phase["durationMs"] >= 0 for phase in phases)
    assert "SQLite" in build["source"]["version"]
    assert re.fullmatch(r"[0-9a-f]{64}", build["schemaFingerprint"])
    assert build["image"]["digest"].startswith("sha256:")
    assert build["image"]["sizeBytes"] > 10_000
    rows = {table["name"]: table["rows"] for table in build["tables"]}
    assert rows == {"users": 2, "posts": 3}
    assert (build["error"], build["logTail"]) == (None, [])


def check_evidence(api: Api, path: str) -> None:
    """The provenance is signed by the key that is listed, and tells of this build; the SBOM of its image."""
    build, envelope, sbom = (api.get(f"{path}{part}") for part in ("", "/provenance", "/sbom"))
    [key] = api.get("/signing-keys")
    public = load_pem_public_key(key["publicKey"].encode())
    assert isinstance(public, Ed25519PublicKey)
    assert signer_of_envelope(envelope, {key["keyId"]: public}) == key["keyId"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["subject"][0]["digest"] == {"sha256": build["image"]["digest"][7:]}
    run = statement["predicate"]["runDetails"]
    assert run["metadata"]["invocationId"] == f"urn:uuid:{build['id']}"
    assert build["startedAt"][:19] == run["metadata"]["startedOn"][:19]
    made_of = {each["name"]: each for each in sbom["components"]}
    assert {"reflex-server", "reflexdb-engine", "schema.gen.cc"} <= made_of.keys()
    assert sbom["metadata"]["component"]["bom-ref"] == build["image"]["digest"]
    assert api.get(f"{path}/sbom") == sbom


def check_failed_build(build: dict[str, Any]) -> None:
    assert (build["number"], build["status"], build["deployable"]) == (2, "failed", False)
    assert "failed" in build["whyNotDeployable"]
    assert build["error"]["code"]
    assert build["error"]["step"].startswith("build")
    assert not build["error"]["message"].startswith(build["error"]["step"])
    assert "FAILED" in build["logTail"][-1]
    assert (build["image"], build["tables"]) == (None, [])
    assert build["phases"][0]["name"] == "introspect"


def check_deployments(api: Api, path: str, first: str, second: str) -> None:
    answer = api.get(f"{path}/deployments")
    redeploy, rebuild, provision = answer["deployments"]
    assert [each["kind"] for each in (provision, rebuild, redeploy)] == ["provision", "rebuild", "redeploy"]
    assert (provision["fromBuildId"], provision["toBuildId"], provision["outcome"]) == (None, first, "succeeded")
    assert (rebuild["fromBuildId"], rebuild["toBuildId"], rebuild["outcome"]) == (first, second, "failed")
    assert rebuild["error"]["step"].startswith("build")
    assert (redeploy["fromBuildId"], redeploy["toBuildId"]) == (first, first)
    for each in answer["deployments"]:
        assert (each["trigger"], each["keyName"], each["reason"]) == ("api", "first key", "it was asked for")
        assert each["requestedAt"] <= each["startedAt"] <= each["finishedAt"]
    page = api.get(f"{path}/deployments?limit=2")
    rest = api.get(f"{path}/deployments?limit=2&cursor={page['nextCursor']}")
    assert page["deployments"] + rest["deployments"] == answer["deployments"]
    assert rest["nextCursor"] is None
