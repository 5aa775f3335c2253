"""Source transactions out of a stream of events: what belongs together, and when it is too large to be kept.

`Inbox` collects the events up to a Commit. A transaction that grows beyond a limit is handed over in parts, so that its
rows are never all in memory. Knows neither server nor source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reflexdb.sources.changes import Commit, Event, Redefined, Rows, Stale, Truncated

ROWS_KEPT_MAX = 10_000
"""Changes of one transaction that are kept until its end; of a larger one parts are sent before."""


@dataclass(slots=True)
class Part:
    """Events in their order. `end` is set where they are a transaction's last."""

    events: list[Rows | Truncated | Stale | Redefined] = field(default_factory=list)
    end: Commit | None = None


class Inbox:
    """Of one stream."""

    def __init__(self, rows_max: int = ROWS_KEPT_MAX) -> None:
        self._rows_max = rows_max
        self._part = Part()
        self._rows = 0

    @property
    def is_within(self) -> bool:
        """Whether a transaction has begun and not ended, of which nothing was handed over."""
        return bool(self._part.events)

    def add(self, event: Event) -> Part | None:
        """What is to be applied now, if anything."""
        if isinstance(event, Commit):
            self._part.end = event
            return self._take()
        self._part.events.append(event)
        if isinstance(event, Rows):
            self._rows += len(event.ops)
        return self._take() if self._rows >= self._rows_max else None

    def _take(self) -> Part:
        part, self._part, self._rows = self._part, Part(), 0
        return part
