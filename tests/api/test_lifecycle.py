"""Every status with every action over HTTP: done, queued or refused as the one table says, and as `actions` says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import httpx
import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.control.control import Control
from reflexdb.control.images import Images
from reflexdb.control.local import open_control
from reflexdb.control.reconciler import Reconciler
from reflexdb.control.rooms import Settings
from reflexdb.control.shapes import Shapes
from reflexdb.control.site import site_of
from reflexdb.control.worker import Worker
from reflexdb.model.lifecycle import ALLOWED, GOALS, Action, Desired, Rule, Status, advance
from reflexdb.records import jobs
from tests.api.api import UNHURRIED, Api, sqlite_connection
from tests.api.situation import Situation
from tests.model.test_lifecycle import EVENTS, published_rules

PATHS = {Action.PAUSE_SYNC: "pause-replication", Action.RESUME_SYNC: "resume-replication"}
AT_ONCE = {Action.RELOAD, Action.PAUSE_SYNC, Action.RESUME_SYNC}
"""Passed on to an instance, which is not there; with one they are tried in test_instances."""
RACED = [
    (Status.REGISTERED, Action.PROVISION),
    (Status.RUNNING, Action.REBUILD),
    (Status.RUNNING, Action.RECONFIGURE),
    (Status.RUNNING, Action.REDEPLOY),
    (Status.RUNNING, Action.RESIZE),
    (Status.RUNNING, Action.PAUSE),
    (Status.PAUSED, Action.RESUME),
    (Status.RUNNING, Action.TERMINATE),
    (Status.TERMINATED, Action.DELETE),
]
RACES_END = {Action.DELETE: [204, 404], Action.RESIZE: [202, 202]}
"""What is deleted is gone; while one size is being deployed the other is only stored, which the table allows."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, module_records: URL | None) -> Iterator[tuple[Api, Situation]]:
    """One control for all tests here: each puts the database where it wants it."""
    directory = tmp_path_factory.mktemp("data")
    control = open_control(directory, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1", module_records)
    first = control.accounts.ensure_first()
    assert first is not None
    with TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client:
        api = Api(client, first.key)
        source = tmp_path_factory.mktemp("source") / "source.db"
        created = api.post("/connections", sqlite_connection(str(source)), expect=201)
        database = created["database"]["id"]
        control.leases.join(site_of(directory))
        control.leases.claim({database})  # where the records may be shared, a plane looks after what it holds
        yield api, Situation(control, database)
    control.rooms.store.close()


@pytest.fixture
def api(place: tuple[Api, Situation]) -> Api:
    return place[0]


@pytest.fixture
def situation(place: tuple[Api, Situation]) -> Situation:
    return place[1]


def ask(api: Api, situation: Situation, action: Action) -> httpx.Response:
    if action is Action.DELETE:
        return api("DELETE", f"/databases/{situation.database}")
    bodies: dict[Action, Any] = {
        Action.REDEPLOY: {"buildId": situation.build},
        Action.RESIZE: {"instanceSize": "small"},
    }
    path = PATHS.get(action, action.value)
    return api("POST", f"/databases/{situation.database}/{path}", bodies.get(action))


def actions(api: Api, situation: Situation) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"/databases/{situation.database}/instance")["actions"]
    return shown


def a_reconciler(control: Control) -> Reconciler:
    """To be ticked by hand; what its first tick starts, nobody carries out."""
    shapes = Shapes(control.rooms, control.leases)
    worker = Worker(control.rooms, control.keys, Event(), control.rollouts, shapes)
    return Reconciler(
        control.rooms,
        control.actions,
        worker,
        Images(control.rooms),
        Event(),
        control.leases,
    )


@pytest.mark.parametrize("status", Status)
def test_every_action_is_answered_as_the_table_and_the_actions_object_say(
    api: Api, situation: Situation, status: Status
) -> None:
    for has_image, action in itertools.product((True, False), Action):
        situation.put(status, has_image=has_image)
        rule = published_rules()[status, action]
        shown = actions(api, situation)[action.value]
        before = situation.everything()
        reply = ask(api, situation, action)
        cell = f"{status} {action} image={has_image}: {reply.status_code} {reply.text}"

        if rule is Rule.REFUSED or (rule is Rule.NEEDS_IMAGE and not has_image):
            assert shown["allowed"] is False, cell
            if not (action is Action.REDEPLOY and not has_image):  # asked with a build, it speaks of that build
                assert reply.json()["message"] == shown["reason"], cell
            assert (reply.status_code, situation.everything()) == (409, before), cell
        elif action in AT_ONCE:
            assert shown == {"allowed": True, "mode": "immediate"}, cell
            assert "The instance does not answer" in reply.json()["message"], cell
        else:
            mode = "queued" if rule is Rule.QUEUED else "immediate"
            assert shown == {"allowed": True, "mode": mode}, cell
            _check_accepted(situation, status, action, reply, queued=rule is Rule.QUEUED)


def _check_accepted(
    situation: Situation, status: Status, action: Action, reply: httpx.Response, *, queued: bool
) -> None:
    if action is Action.DELETE:
        assert reply.status_code == 204
        return
    row = situation.row()
    assert reply.status_code == 202, reply.text
    assert reply.json().get("queued", False) is queued
    if queued:
        assert (row.status, row.desired_state) == (status, GOALS[action])
    elif action is Action.RESIZE and status is not Status.RUNNING:
        assert (row.status, row.instance_size) == (status, "small")
    else:
        assert row.status is advance(status, EVENTS[action])


@pytest.mark.parametrize(("status", "action"), RACED, ids=lambda each: each.value)
def test_of_two_that_race_for_the_same_action_exactly_one_wins(
    api: Api, situation: Situation, status: Status, action: Action
) -> None:
    for _ in range(5):
        situation.put(status)
        gate = Barrier(2)

        def race(_: int, gate: Barrier = gate) -> int:
            gate.wait(10)
            return ask(api, situation, action).status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = sorted(pool.map(race, range(2)))
        assert statuses == RACES_END.get(action, [202, 409])
        with situation.control.rooms.store.read() as tx:
            assert jobs.count(tx, situation.database) == (0 if action is Action.DELETE else 1)


def test_of_different_actions_that_race_one_wins_too(api: Api, situation: Situation) -> None:
    asked = [Action.REBUILD, Action.PAUSE, Action.TERMINATE, Action.REDEPLOY]
    for _ in range(5):
        situation.put(Status.RUNNING)
        gate = Barrier(len(asked))

        def race(action: Action, gate: Barrier = gate) -> httpx.Response:
            gate.wait(10)
            return ask(api, situation, action)

        with ThreadPoolExecutor(len(asked)) as pool:
            replies = list(pool.map(race, asked))
        at_once = [reply for reply in replies if reply.status_code == 202 and not reply.json().get("queued")]
        assert len(at_once) == 1
        assert {reply.status_code for reply in replies} <= {202, 409}
        with situation.control.rooms.store.read() as tx:
            assert jobs.count(tx, situation.database) == 1


def test_a_change_and_a_deletion_that_race_leave_a_whole_record(api: Api, situation: Situation) -> None:
    for _ in range(5):
        situation.put(Status.REGISTERED)
        gate = Barrier(2)

        def change(gate: Barrier = gate) -> int:
            gate.wait(10)
            return api("PATCH", f"/databases/{situation.database}", {"name": "changed", "logLevel": "warn"}).status_code

        def delete(gate: Barrier = gate) -> int:
            gate.wait(10)
            return api("DELETE", f"/databases/{situation.database}").status_code

        with ThreadPoolExecutor(2) as pool:
            changed, deleted = pool.submit(change), pool.submit(delete)
        assert deleted.result() == 204
        assert changed.result() in (200, 404)
        api("GET", f"/databases/{situation.database}", expect=404)


@pytest.mark.parametrize("status", [status for status in Status if Rule.QUEUED in ALLOWED[status].values()])
def test_only_the_newest_wish_is_kept(api: Api, situation: Situation, status: Status) -> None:
    wishes = [action for action, rule in ALLOWED[status].items() if rule is Rule.QUEUED]
    situation.put(status)
    for action in [*wishes, *reversed(wishes)]:
        reply = ask(api, situation, action)
        assert (reply.status_code, reply.json()["queued"]) == (202, True)
        assert api.get(f"/databases/{situation.database}")["desiredState"] == GOALS[action].value


@pytest.mark.parametrize(
    ("status", "desired", "after"),
    [
        (Status.RUNNING, Desired.PAUSED, (Status.PAUSING, None)),
        (Status.RUNNING, Desired.TERMINATED, (Status.TERMINATING, None)),
        (Status.RUNNING, Desired.RUNNING, (Status.RUNNING, None)),
        (Status.PAUSED, Desired.RUNNING, (Status.RESUMING, None)),
        (Status.PAUSED, Desired.TERMINATED, (Status.TERMINATING, None)),
        (Status.PAUSED, Desired.PAUSED, (Status.PAUSED, None)),
        (Status.FAILED, Desired.TERMINATED, (Status.TERMINATING, None)),
        (Status.FAILED, Desired.PAUSED, (Status.FAILED, None)),
        (Status.FAILED, Desired.RUNNING, (Status.FAILED, None)),
        (Status.TERMINATED, Desired.TERMINATED, (Status.TERMINATED, None)),
        (Status.TERMINATED, Desired.PAUSED, (Status.TERMINATED, None)),
    ],
)
def test_a_wish_is_carried_out_or_given_up_at_the_next_stable_status(
    situation: Situation, status: Status, desired: Desired, after: tuple[Status, Desired | None]
) -> None:
    situation.put(status, desired=desired)
    a_reconciler(situation.control).tick()

    assert (situation.row().status, situation.row().desired_state) == after
