"""Pause schedules as the reconciler follows them, on a clock that the test sets. 2026-04-15 is a Wednesday."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest

from reflexdb.control.actions import Actions
from reflexdb.control.control import Control
from reflexdb.control.images import Images
from reflexdb.control.leases import Leases
from reflexdb.control.reconciler import Reconciler
from reflexdb.control.shapes import Shapes
from reflexdb.control.site import site_of
from reflexdb.control.worker import Worker
from reflexdb.model.lifecycle import Action, Desired, Status
from reflexdb.records import databases
from tests.api.api import Api
from tests.api.situation import Situation

NIGHTS = {"pauseAt": "20:00", "resumeAt": "06:00", "days": []}


def at(day: int, hour: int, minute: int = 0, year: int = 2026) -> datetime:
    return datetime(year, 4, day, hour, minute, tzinfo=UTC)


class Follower:
    """A reconciler of a database with a schedule; actions it starts are done at once."""

    def __init__(self, control: Control, database: str, now: datetime) -> None:
        self.now = now
        rooms = replace(control.rooms, now=lambda: self.now)
        self.actions = Actions(rooms, Images(rooms), lambda: None)
        worker = Worker(rooms, control.keys, Event(), control.rollouts, Shapes(rooms, control.leases))
        leases = Leases(rooms)
        leases.join(site_of(rooms.data_dir))
        leases.claim({database})
        self._wake = Event()
        self._reconciler = Reconciler(rooms, self.actions, worker, Images(rooms), self._wake, leases)
        self.situation = Situation(control, database)
        self._control = control
        self.be(Status.RUNNING)
        with control.rooms.store.write() as tx:
            databases.change(tx, database, now, pause_schedule=NIGHTS, schedule_checked_at=now)

    def be(self, status: Status) -> None:
        self.situation.put(status, served=False)

    def look(self, now: datetime) -> Status:
        """Tick at this time, and again where that is asked for: it took the database from whoever had let go of it.
        What it began is carried out."""
        self.now = now
        self._wake.clear()
        self._reconciler.tick()
        if self._wake.is_set():
            self._reconciler.tick()
        status = self.situation.row().status
        if status is Status.PAUSING:
            self.be(Status.PAUSED)
        elif status is Status.RESUMING:
            self.be(Status.RUNNING)
        return self.situation.row().status


@pytest.fixture
def follower(control: Control, database: str) -> Follower:
    return Follower(control, database, at(15, 12))


def test_it_pauses_and_resumes_at_its_minutes(follower: Follower) -> None:
    seen = [follower.look(at(15, 19, 59)), follower.look(at(15, 20)), follower.look(at(16, 5, 59))]

    assert seen == [Status.RUNNING, Status.PAUSED, Status.PAUSED]
    assert follower.look(at(16, 6)) is Status.RUNNING


def test_a_database_resumed_by_hand_stays_until_the_next_scheduled_action(follower: Follower) -> None:
    follower.look(at(15, 20))
    follower.be(Status.RUNNING)

    assert follower.look(at(15, 21)) is Status.RUNNING
    assert follower.look(at(16, 6)) is Status.RUNNING
    assert follower.look(at(16, 20)) is Status.PAUSED


def test_a_database_paused_by_hand_is_resumed_by_the_next_scheduled_action(follower: Follower) -> None:
    follower.be(Status.PAUSED)

    assert follower.look(at(15, 20)) is Status.PAUSED
    assert follower.look(at(16, 6)) is Status.RUNNING


@pytest.mark.parametrize(("hour", "status"), [(21, Status.PAUSED), (7, Status.RUNNING)])
def test_after_downtime_only_the_latest_missed_action_is_done_and_once(
    follower: Follower, hour: int, status: Status
) -> None:
    assert follower.look(at(25, hour)) is status

    other = Status.PAUSED if status is Status.RUNNING else Status.RUNNING
    follower.be(other)
    assert follower.look(at(25, hour, 30)) is other


def test_what_is_due_while_a_job_runs_is_done_after_it(follower: Follower) -> None:
    follower.be(Status.DEPLOYING)
    assert follower.look(at(15, 20)) is Status.DEPLOYING
    follower.be(Status.RUNNING)

    assert follower.look(at(15, 20, 9)) is Status.PAUSED


def test_what_the_status_does_not_allow_is_passed_over(follower: Follower) -> None:
    follower.be(Status.FAILED)
    assert follower.look(at(15, 20)) is Status.FAILED
    follower.be(Status.RUNNING)

    assert follower.look(at(15, 20, 9)) is Status.RUNNING


def test_a_clock_set_back_does_not_stop_the_schedule(follower: Follower) -> None:
    """A clock that was a year ahead when it paused would else silence the schedule for that year."""
    assert follower.look(at(15, 20, 0, year=2027)) is Status.PAUSED
    follower.be(Status.RUNNING)

    assert follower.look(at(15, 13)) is Status.RUNNING
    assert follower.look(at(15, 20)) is Status.PAUSED


def test_a_clock_set_ahead_is_like_downtime(follower: Follower) -> None:
    assert follower.look(at(15, 3, 0, year=2027)) is Status.PAUSED
    assert follower.look(at(15, 3, 1, year=2027)) is Status.PAUSED


def test_a_wish_that_comes_too_late_waits_its_turn(follower: Follower) -> None:
    """Between the reconciler's look and its action, somebody else's began."""
    seen = follower.situation.row()
    follower.be(Status.BUILDING)
    follower.actions.pursue(seen, Action.PAUSE)

    assert follower.situation.row().desired_state is Desired.PAUSED


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"days": [7]}, "days"),
        ({"days": [-1]}, "days"),
        ({"days": ["1"]}, "days"),
        ({"days": [1.5]}, "days"),
        ({"days": None}, "days"),
        ({"pauseAt": "24:00"}, "pauseAt"),
        ({"resumeAt": "23:60"}, "resumeAt"),
        ({"pauseAt": "7:00"}, "pauseAt"),
        ({"pauseAt": "20:00\n"}, "pauseAt"),
        ({"pauseAt": "20:00:00"}, "pauseAt"),
        ({"pauseAt": "٢٠:٠٠"}, "pauseAt"),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_name(shared: Api, change: dict[str, Any], field: str) -> None:
    body = {"pauseSchedule": {**NIGHTS, **change}}
    reply = shared("PATCH", "/databases/00000000-0000-4000-8000-000000000000", body, expect=400)

    assert f"pauseSchedule.{field}" in reply.json()["message"]
