"""When a pause schedule acts. 2026-04-15 is a Wednesday, day 3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reflexdb.model.lifecycle import Action
from reflexdb.model.schedule import latest_due

NIGHTS = {"pauseAt": "20:00", "resumeAt": "06:00", "days": []}
FRIDAYS = {"pauseAt": "20:00", "resumeAt": "06:00", "days": [5]}
SUNDAYS = {"pauseAt": "10:00", "resumeAt": "12:00", "days": [0]}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 4, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "since", "now", "action"),
    [
        pytest.param(NIGHTS, at(15, 19), at(15, 19, 59), None, id="not yet"),
        pytest.param(NIGHTS, at(15, 19), at(15, 20), Action.PAUSE, id="at its minute"),
        pytest.param(NIGHTS, at(15, 20), at(15, 23), None, id="once"),
        pytest.param(NIGHTS, at(15, 20), at(16, 6, 1), Action.RESUME, id="the next morning"),
        pytest.param(NIGHTS, at(10, 1), at(15, 21), Action.PAUSE, id="after downtime, the latest only"),
        pytest.param(NIGHTS, at(10, 1), at(15, 7), Action.RESUME, id="after downtime, by day"),
        pytest.param(FRIDAYS, at(15, 1), at(17, 19), None, id="not on other days"),
        pytest.param(FRIDAYS, at(17, 19), at(17, 21), Action.PAUSE, id="on its day"),
        pytest.param(FRIDAYS, at(17, 21), at(18, 7), Action.RESUME, id="resumed on the day after"),
        pytest.param(FRIDAYS, at(18, 7), at(24, 19), None, id="then quiet for a week"),
        pytest.param(SUNDAYS, at(18, 0), at(19, 11), Action.PAUSE, id="Sunday is day 0"),
        pytest.param(SUNDAYS, at(18, 0), at(19, 13), Action.RESUME, id="resumed the same day"),
    ],
)
def test_what_is_due(schedule: dict[str, Any], since: datetime, now: datetime, action: Action | None) -> None:
    assert latest_due(schedule, since, now) is action


def test_looking_every_minute_or_once_a_day_comes_to_the_same() -> None:
    now = start = at(1, 0)
    seen = start
    acted: list[Action] = []
    while now < start + timedelta(days=3):
        now += timedelta(minutes=1)
        if action := latest_due(NIGHTS, seen, now):
            acted.append(action)
            seen = now

    assert acted == [Action.RESUME, Action.PAUSE] * 3
    assert acted[-1] is latest_due(NIGHTS, start, now)


MINUTES_A_DAY = 24 * 60
A_WHILE = 9 * MINUTES_A_DAY
"""Longer than any schedule's period: where a simulation began no longer matters."""

minutes = st.integers(0, MINUTES_A_DAY - 1)
days = st.lists(st.integers(0, 6), max_size=7, unique=True)


def simulated(pause: int, resume: int, days: list[int], since: int, now: int) -> Action | None:
    """Minute after minute from a Sunday's midnight on: a pause on its days; a resume where a pause went before."""
    paused, newest = False, None
    for minute in range(since - A_WHILE, now + 1):
        day, of_the_day = divmod(minute, MINUTES_A_DAY)
        action = None
        if of_the_day == pause and (not days or day % 7 in days):
            action, paused = Action.PAUSE, True
        elif of_the_day == resume and paused:
            action, paused = Action.RESUME, False
        if action and minute > since:
            newest = action
    return newest


@settings(max_examples=60, deadline=None)
@given(minutes, minutes, days, st.integers(0, 14 * MINUTES_A_DAY), st.integers(1, 9 * MINUTES_A_DAY))
def test_it_is_what_a_simulation_of_every_minute_comes_to(
    pause: int, resume: int, days: list[int], since: int, length: int
) -> None:
    assume(pause != resume)
    sunday = at(5, 0)
    schedule = {"pauseAt": clock(pause), "resumeAt": clock(resume), "days": days}
    begin, end = (sunday + timedelta(minutes=each) for each in (since, since + length))

    assert latest_due(schedule, begin, end) is simulated(pause, resume, days, since, since + length)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def test_where_both_fall_on_one_minute_it_resumes() -> None:
    always = {"pauseAt": "12:00", "resumeAt": "12:00", "days": []}

    assert latest_due(always, at(14, 11), at(15, 12)) is Action.RESUME
