"""How often views are read where they are read with the tables: a slow one seldom, and none for nothing.

One thread's. Knows tables by their index only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from reflexdb.sync.views import REST_FACTOR, UNCHANGED_S


@dataclass(frozen=True, slots=True)
class _Read:
    position: str
    """Of the source; empty where it tells none."""
    at: float
    not_before: float


class ViewPace:
    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._known: dict[int, _Read] = {}
        self._waiting: dict[int, float] = {}
        """Views that may have changed and rest yet, and until when."""

    def rests(self, view: int, position: str) -> bool:
        """Whether the view is left as it is this time."""
        known, now = self._known.get(view), self._monotonic()
        self._waiting.pop(view, None)
        if known is None:
            return False
        if position and position == known.position and now < known.at + UNCHANGED_S:
            return True
        if now < known.not_before:
            self._waiting[view] = known.not_before
            return True
        return False

    def read(self, view: int, position: str, took_s: float) -> None:
        """The view was read at the position."""
        now = self._monotonic()
        self._known[view] = _Read(position, now, now + took_s * REST_FACTOR)

    def is_due(self) -> bool:
        """Whether a view that had to rest can be read now."""
        now = self._monotonic()
        return any(now >= until for until in self._waiting.values())

    def forget(self) -> None:
        self._known.clear()
        self._waiting.clear()
