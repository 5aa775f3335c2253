"""What became of the requests to an instance, as its server counts them. Values; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Requests:
    """Since the start of the server's process."""

    answered: int = 0
    failed: int = 0
    """Answered with 500 or 503, or cut off by the end of the process: not those that asked for what there is not."""
    refused: int = 0
    """Answered with 400 or 422: queries that this build does not understand, or that are wrong for any."""
    query_ns: int = 0
    times: tuple[tuple[int | None, int], ...] = ()
    """How many queries took up to so many nanoseconds; None is any longer time."""

    @classmethod
    def read(cls, document: Mapping[str, Any] | None) -> Requests | None:
        """From what a server says, or left behind; None where it says nothing of it (a server of an older version)."""
        if not document:
            return None
        failed = int(document["failed"]) + int(document["cut"])
        times = tuple((None if up_to is None else int(up_to), int(count)) for up_to, count in document["queryTimes"])
        return cls(int(document["answered"]), failed, int(document["refused"]), int(document["queryNs"]), times)

    def since(self, earlier: Requests | None) -> Requests:
        """What came after `earlier`; all of it, where the server was started again in between."""
        if earlier is None or self.answered < earlier.answered:
            return self
        before = dict(earlier.times)
        return Requests(
            self.answered - earlier.answered,
            max(self.failed - earlier.failed, 0),
            max(self.refused - earlier.refused, 0),
            max(self.query_ns - earlier.query_ns, 0),
            tuple((up_to, max(count - before.get(up_to, 0), 0)) for up_to, count in self.times),
        )

    @property
    def error_rate(self) -> float | None:
        """Of all requests, those that failed or were refused; None where there were none."""
        return (self.failed + self.refused) / self.answered if self.answered else None

    def to_json(self) -> dict[str, Any]:
        """As `read` takes it."""
        return {
            "answered": self.answered,
            "failed": self.failed,
            "cut": 0,
            "refused": self.refused,
            "queryNs": self.query_ns,
            "queryTimes": [list(each) for each in self.times],
        }

    def within_ms(self, share: float) -> float | None:
        """The time within which this share of the queries was answered: the bound of their bucket, so never too low.
        None where there were none, or it is longer than the longest bound."""
        wanted, seen = share * sum(count for _, count in self.times), 0
        for up_to, count in self.times:
            seen += count
            if seen and seen >= wanted:
                return None if up_to is None else up_to / 1e6
        return None
