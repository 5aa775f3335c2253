"""Whether the source's definitions are still what they were: looked at now and then, beside the stream or the polls.

A rebuild would take in more than what breaks an image: a new column or table too. So all definitions of the schema are
watched, in a thread of its own, because describing a large schema takes longer than a commit may wait. What is found is
one short text in SYNC_STATUS; whether it matters is decided by whoever builds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from reflexdb.model.errors import ReflexError
from reflexdb.sources.base import Source
from reflexdb.sync.backoff import Backoff
from reflexdb.sync.failures import Failures

LOOK_EVERY_S = 5.0
"""A changed definition is noticed within about this time, or at once where the stream tells of it."""
REST_FACTOR = 50
"""A look that took long is followed by so many times its length of rest: at most 2% of the time is spent looking."""
RETRY_S = (5.0, 60.0)
"""First and longest wait after a look that failed."""
RUSH_S = 0.5
"""The shortest time between two looks, however often the stream tells of changes."""


class Definitions:
    """`start` once; `hint` from any thread."""

    def __init__(
        self,
        open_source: Callable[[], Source],
        schema: str,
        may_look: Callable[[], bool],
        state: Callable[[], str | None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
        failures: Failures | None = None,
    ) -> None:
        """`changed` hears that the digest is another one."""
        self._changed = changed
        self._failures = failures or Failures()
        self._retry = Backoff(*RETRY_S)
        self._open_source = open_source
        self._schema = schema
        self._may_look = may_look
        """False while nothing is to be asked of the source."""
        self._state = state
        """What the stream knows of the definitions: while it says the same, nothing has changed. None: not known."""
        self._seen: str | None = None
        """The stream's word before the last look."""
        self._hinted = threading.Event()
        self._source: Source | None = None
        self.digest: str | None = None
        """Of the newest look; None before the first."""

    def start(self) -> None:
        threading.Thread(target=self._watch, name="definitions", daemon=True).start()

    def hint(self) -> None:
        """Something was redefined: look soon."""
        self._hinted.set()

    def look(self) -> None:
        """Ask once. What was known stays where the source does not answer. Raises ReflexError, whatever was met."""
        try:
            with self._failures.of("definitions"):
                self._ask()
        except ReflexError:
            source, self._source = self._source, None
            if source is not None:
                with contextlib.suppress(Exception):
                    source.close()
            raise

    def _ask(self) -> None:
        state = self._state()
        if state is not None and state == self._seen:
            return
        if self._source is None:
            self._source = self._open_source()
        before, self.digest = self.digest, self._source.definitions(self._schema)
        self._seen = state
        if before not in (None, self.digest):
            self._changed()

    def _watch(self) -> None:
        while True:
            began = time.monotonic()
            try:
                if self._may_look():
                    self.look()
                self._retry.reset()
                rest = max(LOOK_EVERY_S, (time.monotonic() - began) * REST_FACTOR)
            except Exception:
                rest = self._retry.next()
            self._hinted.wait(rest)
            if self._hinted.is_set():
                time.sleep(RUSH_S)
                self._hinted.clear()
