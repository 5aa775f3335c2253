"""What one writer did to the source, and what a server may show of it.

A writer owns its rows and makes one transaction after the other, so what is shown of them is the state after some
number of its transactions: at least those that were acknowledged before it was asked, at most those that were begun.
Pure; any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


class Inconsistent(AssertionError):
    """The server showed what the source never was, or less than it had promised."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """The pair `number` is inserted in both tables; older ones are updated or deleted."""

    number: int
    value: int
    updated: Mapping[int, int] = field(default_factory=dict)
    deleted: frozenset[int] = frozenset()


class History:
    """One writer's."""

    def __init__(self, writer: int) -> None:
        self.writer = writer
        self._lock = threading.Lock()
        self._made: list[Transaction] = []
        self._acknowledged = 0
        self._position = ""
        self._at = 0
        self._rows: dict[int, int] = {}
        """After `_at` transactions."""

    @property
    def begun(self) -> int:
        with self._lock:
            return len(self._made)

    def begin(self, transaction: Transaction) -> None:
        with self._lock:
            assert transaction.number == len(self._made) + 1
            self._made.append(transaction)

    def undo(self) -> None:
        """The last did not come to the source."""
        with self._lock:
            self._made.pop()
            self._at, self._rows = 0, {}

    def acknowledge(self, position: str) -> None:
        """All that were begun are at the source, at this position."""
        with self._lock:
            self._acknowledged, self._position = len(self._made), position

    def acknowledged(self) -> tuple[int, str]:
        """How many transactions a snapshot with the position must have."""
        with self._lock:
            return self._acknowledged, self._position

    def rows(self, count: int) -> dict[int, int]:
        """The values by number after so many transactions."""
        with self._lock:
            if count < self._at:
                self._at, self._rows = 0, {}
            for made in self._made[self._at : count]:
                self._rows |= {made.number: made.value} | made.updated
                for number in made.deleted:
                    del self._rows[number]
            self._at = count
            return dict(self._rows)

    def judge(self, least: int, shown: Mapping[str, Mapping[int, int]]) -> int:
        """How many transactions are shown. Raises Inconsistent."""
        one, other = shown.values()
        if one != other:
            raise Inconsistent(f"writer {self.writer}: half a transaction is shown: {_difference(one, other)}")
        count = max(one, default=0)
        if count < least:
            raise Inconsistent(f"writer {self.writer}: {count} transactions are shown, {least} were promised")
        if count > self.begun:
            raise Inconsistent(f"writer {self.writer}: {count} transactions are shown, {self.begun} were made")
        expected = self.rows(count)
        if one != expected:
            raise Inconsistent(f"writer {self.writer}, {count} transactions: {_difference(one, expected)}")
        return count


def _difference(shown: Mapping[int, int], expected: Mapping[int, int]) -> str:
    has = sorted(shown.items() - expected.items())[:5]
    lacks = sorted(expected.items() - shown.items())[:5]
    return f"(number, value) that should not be there {has}, that are missing {lacks}"
