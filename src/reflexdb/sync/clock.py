"""When the source did something, by a clock that nobody sets: ages must be true where the source's clock is far off,
and stay true when somebody sets ours.

One thread's. Knows no source; who follows one asks it for its clock and tells what it showed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class SourceClock:
    """Moments of a source's clock as readings of the monotonic one, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ahead: float | None = None
        """Of the monotonic clock, the source's."""

        self.served = -math.inf
        """What had been committed at the source by then is at the server."""

    def ask(self, clock: Callable[[], datetime]) -> None:
        """`clock` is the source's, and shows its time at some moment of the call."""
        asked = self._monotonic()
        shown = clock()
        self._ahead = shown.timestamp() - (asked + self._monotonic()) / 2

    def silent_since(self, at: float) -> datetime:
        """The source had nothing more to say by then. What the server is to be told."""
        self.served = max(self.served, at)
        return self.told()

    def told(self) -> datetime:
        """`served` as the server is told; long ago where it is not known."""
        return by_our_clock(self.served) if self.served > -math.inf else datetime.fromtimestamp(0, UTC)

    def at(self, moment: datetime) -> float:
        """When the source's clock showed the moment; at the latest now, whatever it says: a session may set its own
        time, and whoever has heard of a commit comes after it."""
        now = self._monotonic()
        return now if self._ahead is None else min(moment.timestamp() - self._ahead, now)


def by_our_clock(at: float, monotonic: Callable[[], float] = time.monotonic) -> datetime:
    """A reading of the monotonic clock as our clock, as it is set now, tells it."""
    return datetime.now(UTC) - timedelta(seconds=monotonic() - at)
