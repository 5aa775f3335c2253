"""When the source did something, by a clock that nobody sets: ages must be true where the source's clock is far off,
and stay true when somebody sets ours.

One thread's. Knows no source; who follows one asks it for its clock and tells what it showed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class SourceClock:
    """Moments of a source's clock as readings of the monotonic one, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None
        """Of the monotonic clock, the source's."""

    def heard(self, shown: datetime, asked: float) -> None:
        """The source's clock showed this at some time between `asked` and now."""
        self._ahead = shown.timestamp() - (asked + self._monotonic()) / 2

    def at(self, moment: datetime) -> float:
        """When the source's clock showed the moment; at the latest now, whatever it says: a session may set its own
        time, and whoever has heard of a commit comes after it."""
        now = self._monotonic()
        return now if self._ahead is None else min(moment.timestamp() - self._ahead, now)


def by_our_clock(at: float, monotonic: Callable[[], float] = time.monotonic) -> datetime:
    """A reading of the monotonic clock as our clock, as it is set now, tells it."""
    return datetime.now(UTC) - timedelta(seconds=monotonic() - at)
