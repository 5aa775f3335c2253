"""How many transactions go into one group: a few where they come slowly, so that none waits; many where they pile up,
so that making them visible does not cost more than taking them in.

One thread's. Knows no transactions, only times and numbers of rows.
"""

from __future__ import annotations

import time

BATCH_S = 0.004
"""How long the first transaction of a group waits for others."""
BACKLOG_S = 0.1
"""Of transactions that have come already, a group takes more for as long as the last one took to become visible, and at
most this."""
BATCH_ROWS = 5_000
"""A group with so many rows takes no more."""


class Pace:
    """`begin` at a group's first transaction, `committing` around its end."""

    def __init__(self) -> None:
        self._deadline = 0.0
        self._commit_s = 0.0

    def begin(self) -> None:
        self._deadline = time.monotonic() + BATCH_S

    def wait_s(self) -> float:
        """How long to wait for another transaction; after the deadline, only what is there already is taken."""
        return max(self._deadline - time.monotonic(), 0.0)

    def is_full(self, rows: int) -> bool:
        return rows >= BATCH_ROWS or time.monotonic() >= self._deadline + self._commit_s

    def committed(self, began: float) -> None:
        """The group's end was ordered at this time of the monotonic clock, and has come."""
        self._commit_s = min(time.monotonic() - began, BACKLOG_S)
