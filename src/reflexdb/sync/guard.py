"""Sees to it that the source goes on accepting the application's statements, at a pace of seconds.

A thread with a connection of its own: it works while the stream is paused, while tables are read, and while the server
is away. What has to be taken back at the source, the follower knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from reflexdb.model.errors import ReflexError
from reflexdb.sources.changes import Follower
from reflexdb.sync.backoff import Backoff
from reflexdb.sync.failures import Failures

LOOK_EVERY_S = 2.0
REST_FACTOR = 20
"""A look that took long is followed by so many times its length of rest: at most 5% of the time is spent looking."""
LONGEST_WAIT_S = 10.0
"""Between two tries at a source that does not answer."""


class Guard:
    """`start` once."""

    def __init__(self, open_follower: Callable[[], Follower], failures: Failures | None = None) -> None:
        self._failures = failures or Failures()
        self._open_follower = open_follower
        self._follower: Follower | None = None
        self._backoff = Backoff(LOOK_EVERY_S, LONGEST_WAIT_S)
        self._log = structlog.get_logger()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    def _watch(self) -> None:
        while True:
            began = time.monotonic()
            wait = self._backoff.next()
            try:
                with self._failures.of("guard of the source"):
                    self._look()
                self._backoff.reset()
                wait = max(LOOK_EVERY_S, (time.monotonic() - began) * REST_FACTOR)
            except ReflexError:
                self._close()
            time.sleep(wait)

    def _look(self) -> None:
        if self._follower is None:
            self._follower = self._open_follower()
        for sentence in self._follower.withdraw():
            self._log.warning("table_withdrawn", reason=sentence)

    def _close(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            with suppress(Exception):
                follower.close()
