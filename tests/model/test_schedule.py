"""When a pause schedule acts. 2026-04-15 is a Wednesday, day 3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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
