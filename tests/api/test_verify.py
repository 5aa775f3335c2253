"""Builds that are tried out, and made again to compare: with the real compiler, as the API tells of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

import reflexdb
from reflexdb.api.app import create_app
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings, new_id, utc_now
from reflexdb.deploy.smoke import trial
from reflexdb.deploy.smoke.questions import Question, Wrong
from reflexdb.records import builds
from tests.api.api import UNHURRIED, Api, sqlite_connection

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def running(tmp_path: Path, records: URL | None) -> Iterator[tuple[Api, Control]]:
    (tmp_path / "data").mkdir()
    settings = Settings(base_url="http://127.0.0.1:8400")
    control = open_control(tmp_path / "data", settings, "127.0.0.1", records)
    first = control.accounts.ensure_first()
    assert first is not None
    control.start()
    try:
        with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
            yield Api(client, first.key), control
    finally:
        control.stop()
        control.rooms.deployer.stop_all()
        control.rooms.store.close()


def change(source: Path, statement: str) -> None:
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute(statement)


def provisioned(api: Api, source: Path) -> tuple[str, str]:
    """The paths of a database that serves, and of its first build."""
    database = api.post("/connections", sqlite_connection(str(source)), expect=201)["database"]["id"]
    build = api.post(f"/databases/{database}/provision")["buildId"]
    assert api.settled(database)["status"] == "running"
    return f"/databases/{database}", f"/databases/{database}/builds/{build}"


def test_a_build_is_tried_out_and_made_again_to_the_byte(
    running: tuple[Api, Control], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, control = running
    path, first = provisioned(api, source)
    shown = api.get(first)
    check_details(shown)
    verified = api.post(f"{first}/verify", expect=200)

    with control.verifying._one:  # as while another is verified
        assert api.post(f"{first}/verify", expect=503)["error"] == "overloaded"
    assert (verified["identical"], verified["differences"], verified["engine"]) == (True, [], "cached")
    assert verified["recordedDigest"] == verified["rebuiltDigest"] == shown["image"]["digest"]
    assert [each.name for each in (control.rooms.data_dir / "cache" / "verify").iterdir()] == [".lock"]
    monkeypatch.setattr(reflexdb, "__version__", "99.0")
    other = api.post(f"{first}/verify", expect=200)
    assert other["identical"] is False
    assert other["differences"][0] == {
        "blob": "layer", "file": "reflexdb/manifest.json", "at": "engine.version",
        "recorded": shown["engineVersion"], "rebuilt": "99.0",
    }  # fmt: skip
    assert other["rebuiltDigest"] != other["recordedDigest"]
    monkeypatch.undo()
    check_reused(api, path, shown)
    check_failing(api, path, source, monkeypatch)


def test_a_build_is_made_again_with_the_engine_compiled_anew(running: tuple[Api, Control], source: Path) -> None:
    api, _ = running
    _, first = provisioned(api, source)
    found = api.post(f"{first}/verify?engine=fresh", expect=200)

    assert (found["identical"], found["engine"], found["differences"]) == (True, "fresh", [])


def test_queries_that_were_asked_decide_what_a_later_build_breaks(running: tuple[Api, Control], source: Path) -> None:
    api, _ = running
    path, _ = provisioned(api, source)
    key = api.post(f"{path}/api-keys", {"name": "web"}, expect=201)["key"]
    endpoint = api.get(path)["endpointUrl"]
    for name in ("Ada", "Zoë"):
        answer = httpx.post(
            f"{endpoint}/query",
            content=f'users(name = "{name}") {{ id }}'.encode(),
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 200, answer.text
    for statement in ("RENAME COLUMN name TO called", "ADD COLUMN born INTEGER"):
        change(source, f"ALTER TABLE users {statement}")
    change(source, "ALTER TABLE posts RENAME COLUMN title TO heading")
    second = api.post(f"{path}/rebuild?allowBreaking=true")["buildId"]
    assert api.settled(path.rpartition("/")[2])["status"] == "running"
    found = api.get(f"{path}/builds/{second}/diff")

    judged = {(each["table"], each["name"]): each["judgement"] for each in found["changes"] if each["breaking"]}
    assert judged == {
        ("users", "name"): "breaking for seen queries",
        ("posts", "title"): "breaking, though no query seen uses it",
    }
    [broken] = [each["breaks"] for each in found["changes"] if (each["table"], each["name"]) == ("users", "name")]
    assert (broken["shapes"], broken["queries"]) == (1, 2)
    assert (found["breaking"], found["breaksSeenQueries"], found["judgedAgainst"]) == (True, True, "seen_queries")


def check_details(shown: dict[str, Any]) -> None:
    assert shown["engineVersion"] == reflexdb.__version__
    assert {table["name"]: table["rows"] for table in shown["tables"]} == {"users": 2, "posts": 3}
    assert all(table["bytes"] > 100 for table in shown["tables"])
    names = {test["name"] for test in shown["smokeTests"]}
    assert {"load", "users", "posts", "users count", "users.posts", "posts.author", "posts.author.posts"} <= names
    assert all(test["passed"] and test["durationMs"] >= 0 and test["message"] for test in shown["smokeTests"])
    assert shown["smokedInBuildId"] == shown["id"]
    assert "smoke" in [phase["name"] for phase in shown["phases"]]


def check_reused(api: Api, path: str, first: dict[str, Any]) -> None:
    """Its image is that of the first, and so are its smoke tests."""
    second = api.post(f"{path}/rebuild")["buildId"]
    assert api.settled(path.rpartition("/")[2])["status"] == "running"
    shown = api.get(f"{path}/builds/{second}")
    log = api("GET", f"{path}/builds/{second}/log", expect=200).text

    assert shown["image"]["digest"] == first["image"]["digest"]
    assert (shown["smokeTests"], shown["smokedInBuildId"]) == (first["smokeTests"], first["id"])
    assert "smoke: not run again: its server passed when the image was made" in log


def check_failing(api: Api, path: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers wrongly makes no image, and what serves goes on serving."""

    def wrong(*_: object) -> Iterator[Question]:
        def check(_answer: object) -> str:
            raise Wrong("expected 4 rows, got 3")

        yield Question("posts", "posts { id }", check)

    monkeypatch.setattr(trial, "questions", wrong)
    before = api.get(f"{path}/builds")["activeBuildId"]
    change(source, "ALTER TABLE posts ADD COLUMN more TEXT")
    failed = api.post(f"{path}/rebuild")["buildId"]
    database = api.settled(path.rpartition("/")[2])
    shown = api.get(f"{path}/builds/{failed}")
    log = api("GET", f"{path}/builds/{failed}/log", expect=200).text

    assert (database["status"], shown["status"], shown["error"]["step"]) == ("failed", "failed", "build (smoke)")
    assert "smoke test 'posts': expected 4 rows, got 3" in shown["error"]["message"]
    assert [(each["name"], each["passed"]) for each in shown["smokeTests"]] == [("load", True), ("posts", False)]
    assert (shown["image"], shown["deployable"]) == (None, False)
    assert "smoke: FAILED posts: expected 4 rows, got 3" in log
    assert api.get(f"{path}/builds")["activeBuildId"] == before
    assert api.get(f"{path}/instance")["instance"]["healthStatus"] == "ok"
    api("POST", f"{path}/builds/{failed}/verify", expect=409)


def test_what_can_not_be_made_again_is_refused_with_the_reason(
    api: Api, control: Control, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, build = f"/databases/{database}/builds", new_id()
    with control.rooms.store.write() as tx:
        builds.add(tx, id=build, database_id=database, status="failed", created_at=utc_now())

    assert "the build is failed" in api("POST", f"{path}/{build}/verify", expect=409).json()["message"]
    api("POST", f"{path}/{new_id()}/verify", expect=404)
    assert api.client.post(
        f"/v1{path}/{build}/verify?engine=borrowed", headers={"Authorization": f"Bearer {api.key}"}
    ).status_code == 400  # fmt: skip
