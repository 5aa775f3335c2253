"""Keeps the changes of XA transactions between their prepare and their commit, within a limit.

The log has a prepared transaction's rows when it is prepared, and its commit may come much later or never. Beyond the
limit only the tables are remembered, which then are stale at the commit. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from reflexdb.sources.changes import Event, Rows, Stale, StaleRows

CHANGES = 50_000
"""Row changes of one prepared transaction that are kept."""
PREPARED = 1_000
"""Prepared transactions that are kept; the oldest gives way, and what it changed is read again at its commit."""


class Prepared:
    """One XA transaction that is not decided yet."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changes = 0
        self._tables: set[int] = set()

    def keep(self, event: Event) -> None:
        """Remember a change."""
        if isinstance(event, Rows | StaleRows):
            self._changes += len(event.keys)
            self._tables.add(event.table)
            if self._changes > CHANGES:
                self._events = [kept for kept in self._events if not isinstance(kept, Rows | StaleRows)]
                return
        self._events.append(event)

    def events(self) -> Iterator[Event]:
        """What the transaction changed, now that it is committed."""
        yield from self._events
        if self._changes > CHANGES:
            for table in sorted(self._tables):
                yield Stale(table, f"an XA transaction changed more than {CHANGES:,} rows")

    @staticmethod
    def limit(prepared: dict[str, Prepared]) -> None:
        """Make room for one more."""
        while len(prepared) >= PREPARED:
            del prepared[next(iter(prepared))]
