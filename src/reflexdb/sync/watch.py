"""Between two polls of a source that can say cheaply whether anything was committed: look often, so that a commit is
seen within a fraction of a second and an unchanged source costs nothing.

What the source says of its state is compared with what it said before the last reading, whether that went well or not:
a failure is tried again when something changes, or when the schedule says so. Time for reading is kept short of the
whole, because a writer of some sources waits while they are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reflexdb.sources.base import Watchable

CHECK_S = 0.1
"""How often the source is asked for its state."""
REST_FACTOR = 4
"""After a reading, so many times its length of rest: at most a fifth of the time is spent reading."""


class Watch:
    """One thread's."""

    def __init__(self, source: Watchable) -> None:
        self._source = source
        self._state: str | None = None
        self._not_before = 0.0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around one reading of the source."""
        began = time.monotonic()
        self._state = self._source.state() or self._state
        try:
            yield
        finally:
            ended = time.monotonic()
            self._not_before = ended + (ended - began) * REST_FACTOR

    def wait(self, go_on: Callable[[], bool], seconds: float) -> bool:
        """Until something was committed, for about so long; whether it was."""
        end = time.monotonic() + seconds
        while go_on() and (left := end - time.monotonic()) > 0:
            time.sleep(min(CHECK_S, left))
            if time.monotonic() < self._not_before:
                continue
            state = self._source.state()
            if state is not None and state != self._state:
                return True
        return False
