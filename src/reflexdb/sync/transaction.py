"""Source transactions out of a stream of events: what belongs together, and when it is too large to be kept.

A transaction is handed over as one part, at its Commit; one that grows beyond a limit in several, so that its rows are
never all in memory. Knows neither server nor source.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reflexdb.sources.changes import Cascaded, ChangeStream, Commit, Redefined, Rows, Stale, StaleRows, Truncated

ROWS_KEPT_MAX = 10_000
"""Changes of one transaction that are kept until its end; of a larger one parts are sent before."""
WAKE_S = 0.2
"""Longest wait for the source before anything else is looked at."""
FIRST_WAKE_S = 0.02
"""Of a stream that was just opened: somebody may be waiting for a new instance to say that it is up to date."""


@dataclass(slots=True)
class Part:
    """Events in their order. `end` is set where they are a transaction's last."""

    events: list[Rows | Truncated | Stale | StaleRows | Cascaded | Redefined] = field(default_factory=list)
    end: Commit | None = None


class Incoming:
    """The transactions of one stream, for one thread. Errors of the stream pass through."""

    def __init__(self, stream: ChangeStream, rows_max: int = ROWS_KEPT_MAX) -> None:
        self._stream = stream
        self._rows_max = rows_max
        self._part = Part()
        self._rows = 0
        self._held: Part | None = None

    @property
    def warning(self) -> str | None:
        """The stream's."""
        return self._stream.warning

    @property
    def definitions(self) -> str | None:
        """The stream's."""
        return self._stream.definitions

    @property
    def is_within(self) -> bool:
        """Whether a transaction has begun to come, of which nothing was handed over."""
        return bool(self._part.events)

    def next(self, seconds: float) -> Part | None:
        """What is to be applied next; None where nothing came in time."""
        if self._held is not None:
            part, self._held = self._held, None
            return part
        end = time.monotonic() + seconds
        while True:
            event = self._stream.next(max(end - time.monotonic(), 0.0))
            if event is None:
                if not self.is_within or time.monotonic() >= end:
                    return None
                continue
            if isinstance(event, Commit):
                self._part.end = event
                return self._take()
            self._part.events.append(event)
            self._rows += len(event.keys) if isinstance(event, Rows | StaleRows) else 0
            self._rows += len(event.values) if isinstance(event, Cascaded) else 0
            if self._rows >= self._rows_max:
                return self._take()

    def remainder(self, check: Callable[[], None]) -> Part:
        """The next part of a transaction of which one was handed over. `check` is called while it does not come."""
        while (part := self.next(WAKE_S)) is None:
            check()
        return part

    def hold(self, part: Part) -> None:
        """Give back what came too early: it is the next again."""
        assert self._held is None
        self._held = part

    def confirm(self, position: str) -> None:
        """Everything up to the position is applied."""
        self._stream.confirm(position)

    def close(self) -> None:
        self._stream.close()

    def _take(self) -> Part:
        part, self._part, self._rows = self._part, Part(), 0
        return part
