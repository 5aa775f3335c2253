"""What a person may ask of a deployment that is under way, and what is told of it; nothing is carried out here."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id, utc_now
from reflexdb.records import builds, databases, deployments, jobs, rollouts
from tests.api.api import Api

COUNTED = {
    "answered": 200,
    "failed": 2,
    "cut": 0,
    "refused": 8,
    "queryNs": 0,
    "queryTimes": [[100_000, 190], [None, 10]],
}

SETTINGS = {
    "instanceSize": "nano", "taskCpu": 256, "taskMemoryMb": 512, "syncMode": "poll", "syncInterval": 30,
    "logLevel": "info", "safetyNet": 0, "source": {"backend": "sqlite", "host": "x", "port": 0, "user": ""},
}  # fmt: skip


@dataclass
class Canary:
    database: str
    job: str
    path: str


@pytest.fixture
def canary(api: Api, control: Control, database: str) -> Canary:
    """A database whose canary has its first share."""
    now, build, job, new, old = utc_now(), new_id(), new_id(), new_id(), new_id()
    with control.rooms.store.write() as tx:
        builds.add(tx, id=build, database_id=database, status="succeeded", created_at=now)
        for each, serving in ((old, now), (new, None)):
            times = {"created_at": now, "updated_at": now, "serving_at": serving}
            deployments.add(tx, id=each, database_id=database, build_id=build, settings=SETTINGS, **times)
        jobs.add(
            tx, id=job, database_id=database, action="redeploy", kind="redeploy", build_id=build, created_at=now,
            started_at=now, steps=[[50, 60], [500, 60.5]], from_status="running", deployment_id=new,
        )  # fmt: skip
        rollouts.add(
            tx, job_id=job, database_id=database, deployment_id=new, former_id=old, state="canary", step_at=now,
            seen={"new": COUNTED, "old": None},
        )  # fmt: skip
        databases.change(tx, database, now, status="deploying")
    return Canary(database, job, f"/databases/{database}/deployments/{job}")


def test_a_canary_tells_its_share_and_how_both_do(api: Api, canary: Canary) -> None:
    record = api.get(f"/databases/{canary.database}/deployments")["deployments"][0]

    assert (record["strategy"], record["outcome"], record["requestsFailed"]) == ("canary", "in_progress", None)
    assert record["rollout"] == {
        "state": "canary", "sharePercent": 5, "step": 1, "stepSince": record["rollout"]["stepSince"],
        "steps": [{"percent": 5, "seconds": 60}, {"percent": 50, "seconds": 60.5}],
        "wanted": None, "reason": None, "endedAt": None, "old": None,
        "new": {"requests": 200, "failed": 2, "refused": 8, "errorRate": 0.05, "medianMs": 0.1, "p99Ms": None},
    }  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [("promote", "abort"), ("abort", "promote")])
def test_of_promoting_and_aborting_the_first_one_counts(api: Api, canary: Canary, first: str, second: str) -> None:
    api.post(f"{canary.path}/{first}")
    api.post(f"{canary.path}/{first}")
    refused = api.post(f"{canary.path}/{second}", expect=409)
    record = api.get(f"/databases/{canary.database}/deployments")["deployments"][0]

    assert f"already asked to {first}" in refused["message"]
    assert record["rollout"]["wanted"] == first


def test_only_who_saw_the_present_state_steers_where_it_says_so(api: Api, canary: Canary) -> None:
    for what in ("promote", "abort"):
        reply = api("POST", f"{canary.path}/{what}", headers={"If-Match": '"another"'}, expect=412)
        assert reply.json()["error"] == "precondition_failed"


def test_what_has_ended_or_was_never_there_is_not_steered(api: Api, control: Control, canary: Canary) -> None:
    with control.rooms.store.write() as tx:
        rollouts.change(tx, canary.job, ended_at=utc_now(), state="promoted")
        jobs.finish(tx, canary.job, utc_now())
    for what in ("promote", "abort"):
        api.post(f"{canary.path}/{what}", expect=409)
        api.post(f"/databases/{canary.database}/deployments/{new_id()}/{what}", expect=404)
        api.post(f"/databases/{canary.database}/deployments/none/{what}", expect=404)


def test_a_deployment_that_still_loads_can_be_called_off(api: Api, control: Control, canary: Canary) -> None:
    with control.rooms.store.write() as tx:
        rollouts.change(tx, canary.job, ended_at=utc_now(), state="superseded")
    api.post(f"{canary.path}/promote", expect=409)
    api.post(f"{canary.path}/abort")
    with control.rooms.store.read() as tx:
        assert jobs.by_id(tx, canary.job).cancel_asked_at is not None


@pytest.mark.parametrize(
    "query", ["strategy=canary&steps=50", "strategy=canary&steps=50:1,20:1", "steps=5:1", "strategy=sideways"]
)
def test_steps_that_are_none_are_refused(api: Api, database: str, query: str) -> None:
    api("POST", f"/databases/{database}/redeploy?{query}", {"buildId": new_id()}, expect=400)
    api("POST", f"/databases/{database}/rebuild?{query}", expect=400)


def test_a_canary_needs_something_that_serves_beside_it(api: Api, control: Control, database: str) -> None:
    with control.rooms.store.write() as tx:
        databases.change(tx, database, utc_now(), status="paused")
    refused = api("POST", f"/databases/{database}/rebuild?strategy=canary", expect=409).json()

    assert "serves beside it" in refused["message"]
