"""When the loop works and what on: pure, time is an argument.

A refresh is due an interval after the last one began, a thorough one every safety net, a failed one after a backoff. A
server without a snapshot is loaded even while sync is paused, because it would otherwise have nothing to answer.
"""

from __future__ import annotations

from enum import Enum

from reflexdb.sync.backoff import Backoff

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class Work(Enum):
    """What to do now."""

    LOAD = "load"
    REFRESH = "refresh"
    THOROUGH = "thorough"


class Schedule:
    """One thread's; times are seconds of a monotonic clock."""

    def __init__(self, interval_s: float, safety_net_s: float, retry: Backoff | None = None) -> None:
        self._interval_s = interval_s
        self._safety_net_s = safety_net_s
        self._retry = retry or Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._due = 0.0
        self._thorough_due = float("inf")
        self._not_before = 0.0

    def decide(self, now: float, loaded: bool, paused: bool, ordered: bool) -> Work | None:
        """`loaded`: the server has a snapshot. `ordered`: somebody asked for a reload."""
        if ordered:
            return Work.LOAD
        if now < self._not_before:
            return None
        if now < min(self._due, self._thorough_due) or (paused and loaded):
            return None
        if not loaded:
            return Work.LOAD
        return Work.THOROUGH if now >= self._thorough_due else Work.REFRESH

    def rest_s(self, now: float, loaded: bool, paused: bool) -> float:
        """How long until something may be due."""
        due = max(min(self._due, self._thorough_due), self._not_before)
        return float("inf") if paused and loaded else max(due - now, 0.0)

    def done(self, work: Work, began: float) -> None:
        self._retry.reset()
        self._due = began + self._interval_s
        if work is not Work.REFRESH or self._thorough_due == float("inf"):  # the first of a process counts too
            self._thorough_due = began + self._safety_net_s if self._safety_net_s else float("inf")

    def failed(self, now: float, soon: bool) -> None:
        """`soon`: trying again after the backoff may help; otherwise no sooner than the interval."""
        wait = self._retry.next()
        self._due = now + (wait if soon else max(wait, self._interval_s))
        self._thorough_due = max(self._thorough_due, self._due)

    def not_before(self, moment: float) -> None:
        """Nothing but what somebody orders is done until then."""
        self._not_before = moment
        self._due = min(self._due, moment)

    def at_once(self) -> None:
        self._due = 0.0
