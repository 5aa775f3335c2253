"""Builds that take each other's place under full load: at once, watched, and step by step. Nobody's request fails.

REFLEXDB_ROLLBACKS says how often to go to and fro (`make rollback` goes 100 times).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.plane import Endpoint, Plane, load, wait_until

ROLLBACKS = int(os.environ.get("REFLEXDB_ROLLBACKS", "4"))
GOOD = "people(id = 7) { name }"
OLD_ONLY = "people(id = 7) { name nick }"
QUICK = "strategy=canary&steps=30:0.5,60:0.5"
SLOW = "strategy=canary&steps=50:600"

pytestmark = pytest.mark.timeout(3600)


class Site:
    """A running database with two builds: `old` has a column, nick, that `new` lacks."""

    def __init__(self, root: Path, plane: Plane) -> None:
        self.plane = plane
        self.file = root / "people.db"
        self.change(
            "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, nick TEXT)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000) "
            "INSERT INTO people SELECT i, 'name ' || i, 'nick ' || i FROM n",
        )
        source = {"backend": "sqlite", "mysqlHost": str(self.file)}
        self.id = self.plane.register(root.name, source, "main", 1)
        self.old = self.plane.act(self.id, "provision")["buildId"]
        self.plane.require_running(self.id)
        self.endpoint = Endpoint(self.plane.database(self.id)["endpointUrl"], self.plane.key(self.id))

    def change(self, *statements: str) -> None:
        with contextlib.closing(sqlite3.connect(self.file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def leave_nick_out(self) -> None:
        """By configuration, so that both builds fit the source."""
        text = "version: 1\ntables:\n  - name: people\n    columns: [id, name]\n"
        self.plane.call(
            "PUT", f"/databases/{self.id}/config", None, 204, content=text, headers={"content-type": "application/yaml"}
        )

    def records(self) -> list[dict[str, Any]]:
        return list(self.plane.call("GET", f"/databases/{self.id}/deployments", None, 200)["deployments"])

    def newest(self) -> dict[str, Any]:
        return self.records()[0]

    def state(self) -> str | None:
        rollout = self.newest()["rollout"]
        return None if rollout is None else str(rollout["state"])

    def steer(self, what: str, expect: int = 202) -> Any:
        return self.plane.call("POST", f"/databases/{self.id}/deployments/{self.newest()['id']}/{what}", None, expect)

    def active(self) -> str:
        return str(self.plane.history(self.id)["activeBuildId"])


@pytest.fixture
def site(tmp_path: Path, sqlite_plane: Plane) -> Site:
    """On the plane that all share, where nothing stands by."""
    return Site(tmp_path, sqlite_plane)


@contextlib.contextmanager
def own_plane(root: Path, **environment: str) -> Iterator[Site]:
    """On a plane that may be killed, or told otherwise."""
    plane = Plane(root / "plane", **environment)
    try:
        plane.start()
        yield Site(root, plane)
        plane.terminate_all()
    finally:
        plane.stop()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Site]:
    with own_plane(tmp_path, REFLEXDB_STANDBY_S="60") as site:
        yield site


def test_no_request_fails_while_two_builds_are_deployed_to_and_fro(site: Site) -> None:
    site.leave_nick_out()
    new = site.plane.act(site.id, "rebuild")["buildId"]
    site.plane.require_running(site.id)
    with load(site.endpoint, GOOD) as counts:
        for turn in range(ROLLBACKS):
            site.plane.act(site.id, "redeploy", {"buildId": (site.old, new)[turn % 2]})
    redeploys = [each for each in site.records() if each["kind"] == "redeploy"]
    print(f"{ROLLBACKS} redeploys, {counts}")

    assert counts["failed"] == 0
    assert counts["requests"] > 100
    assert len(redeploys) == min(ROLLBACKS, 100)  # what one page holds
    assert {(each["outcome"], each["requestsFailed"], each["strategy"]) for each in redeploys} == {
        ("succeeded", 0, "immediate")
    }


def test_a_build_that_refuses_what_the_one_before_answered_is_put_back_by_itself(watched: Site) -> None:
    site = watched
    site.plane.call("PATCH", f"/databases/{site.id}/freshness", {"autoRebuild": True}, 200)
    site.leave_nick_out()
    with load(site.endpoint, OLD_ONLY):
        new = site.plane.act(site.id, "rebuild")["buildId"]
        wait_until(lambda: site.newest()["kind"] == "rollback", "it is rolled back", 120)
    back, bad = site.records()[:2]
    audit = site.plane.call("GET", "/audit?action=database.rollback", None, 200)["entries"]

    assert site.active() == site.old
    assert site.endpoint.query(OLD_ONLY) == [{"name": "name 7", "nick": "nick 7"}]
    assert (back["fromBuildId"], back["toBuildId"], back["outcome"]) == (new, site.old, "succeeded")
    assert bad["id"] in back["reason"]
    assert "were refused" in back["reason"]
    assert (bad["kind"], bad["outcome"], bad["error"]["code"]) == ("rebuild", "failed", "rolled_back")
    assert bad["rollout"]["state"] == "rolled_back"
    assert bad["rollout"]["new"]["refused"] > 0
    assert [entry["after"]["build_id"] for entry in audit] == [site.old]
    assert site.plane.database(site.id)["status"] == "running"


def test_a_build_that_does_well_is_kept_and_the_old_instance_ends(watched: Site) -> None:
    site = watched
    site.plane.act(site.id, "redeploy", {"buildId": site.old})
    assert site.state() == "watch"
    wait_until(lambda: site.state() == "kept", "it is kept", 240)
    instances = site.plane.data / "instances" / site.id

    assert site.newest()["error"] is None
    wait_until(lambda: len([each for each in instances.iterdir() if not each.is_symlink()]) == 1, "one is left")
    assert site.endpoint.query(GOOD) == [{"name": "name 7"}]


def test_a_canary_takes_everything_in_steps_and_fails_no_request(site: Site) -> None:
    site.leave_nick_out()
    with load(site.endpoint, GOOD) as counts:
        build = site.plane.act(site.id, f"rebuild?{QUICK}")["buildId"]
    site.plane.require_running(site.id)
    record = site.newest()

    assert counts["failed"] == 0
    assert site.active() == build
    assert (record["strategy"], record["outcome"], record["requestsFailed"]) == ("canary", "succeeded", 0)
    assert (record["rollout"]["state"], record["rollout"]["sharePercent"]) == ("promoted", 100)


def test_a_canary_that_is_worse_aborts_itself(site: Site) -> None:
    site.leave_nick_out()
    with load(site.endpoint, OLD_ONLY):
        site.plane.act(site.id, f"rebuild?{SLOW}")
    record = site.newest()

    assert site.active() == site.old
    assert site.plane.database(site.id)["status"] == "running"
    assert (record["outcome"], record["error"]["code"]) == ("failed", "rollout_aborted")
    assert record["rollout"]["new"]["errorRate"] > 0.5
    assert record["rollout"]["old"]["errorRate"] in (0, None)  # clients may have come back to the new one alone
    assert site.endpoint.query(OLD_ONLY) == [{"name": "name 7", "nick": "nick 7"}]


def test_a_canary_is_promoted_or_aborted_by_a_person_and_survives_the_control_plane(site: Site) -> None:
    for what, state in (("abort", "aborted"), ("promote", "promoted")):
        site.plane.act(site.id, f"redeploy?{SLOW}", {"buildId": site.old}, wait=False)
        wait_until(lambda: site.state() == "canary", "the canary", 120)
        site.plane.kill()
        assert site.endpoint.query(GOOD) == [{"name": "name 7"}]
        site.plane.start()
        assert site.state() == "canary"
        site.steer(what)
        site.plane.settle(site.id)
        assert site.state() == state
        site.steer(what, expect=409)

    assert site.active() == site.old
    assert site.plane.call("POST", f"/databases/{site.id}/deployments/{site.id}/abort", None, 404)


def test_of_two_rollbacks_that_saw_the_same_one_is_done(site: Site) -> None:
    etag = site.plane._http.get(f"{site.plane.url}/v1/databases/{site.id}").headers["etag"]
    statuses = [
        site.plane._http.post(
            f"{site.plane.url}/v1/databases/{site.id}/redeploy", json={"buildId": site.old}, headers={"If-Match": etag}
        ).status_code
        for _ in range(2)
    ]
    site.plane.settle(site.id)

    assert statuses == [202, 412]


@pytest.mark.parametrize("query", ["strategy=canary&steps=50", "strategy=canary&steps=50:1,20:1", "steps=5:1"])
def test_steps_that_are_none_are_refused(site: Site, query: str) -> None:
    site.plane.call("POST", f"/databases/{site.id}/redeploy?{query}", {"buildId": site.old}, 400)
    site.plane.call("POST", f"/databases/{site.id}/rebuild?{query}", None, 400)
