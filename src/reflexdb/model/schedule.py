"""When a pause schedule acts: pure arithmetic on minutes in UTC.

Called by the reconciler with the time it last looked. A pause happens on the schedule's days; the resume that belongs
to it follows at the next `resumeAt`, which may be on the day after. After downtime only the latest action that was
missed counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from reflexdb.model.lifecycle import Action

_DAYS_BACK = 8
"""A schedule with one day a week acts at least once in this time."""


def latest_due(schedule: Mapping[str, Any], since: datetime, now: datetime) -> Action | None:
    """The newest action due after `since` and not after `now`; where both fall on one minute, resuming wins."""
    due = [(at, action is Action.RESUME, action) for at, action in _moments(schedule, now) if since < at <= now]
    return max(due)[2] if due else None


def _moments(schedule: Mapping[str, Any], now: datetime) -> Iterator[tuple[datetime, Action]]:
    pause, resume = (time.fromisoformat(schedule[name]) for name in ("pauseAt", "resumeAt"))
    days = schedule["days"] or range(7)
    today = now.astimezone(UTC).date()
    for back in range(_DAYS_BACK + 1):
        day = today - timedelta(days=back)
        if day.isoweekday() % 7 in days:
            after = day if resume > pause else day + timedelta(days=1)
            yield datetime.combine(day, pause, UTC), Action.PAUSE
            yield datetime.combine(after, resume, UTC), Action.RESUME
