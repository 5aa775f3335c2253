"""What the threads beside the loop fail at: looks at definitions, views, the safety net, and the guard of the source.

Each of them waits and tries again by itself. The status tells their failures until they succeed, so that nothing
stands still in silence. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from reflexdb.model.errors import ReflexError

REASON_MAX = 300
LASTING = 2
"""A part that failed so often in a row is a problem: a source that was away for a moment is met by the mode too."""


@dataclass(frozen=True, slots=True)
class _Failure:
    since: datetime
    error: ReflexError
    times: int


class Failures:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Failure] = {}
        self._log = structlog.get_logger()

    @contextmanager
    def of(self, part: str, *passing: type[Exception]) -> Iterator[None]:
        """Whatever is raised within is told as the part's failure, and raised on as a ReflexError; `passing` are no
        failures. Without an exception the part is well again."""
        try:
            yield
        except passing:
            raise
        except ReflexError as exc:
            self._met(part, exc)
            raise
        except Exception as exc:
            self._log.exception(f"{part}_failed")
            told = unexpected(part, exc)
            self._met(part, told)
            raise told from exc
        else:
            self._over(part)

    def _met(self, part: str, error: ReflexError) -> None:
        with self._lock:
            before = self._known.get(part)
            since, times = (before.since, before.times + 1) if before else (datetime.now(UTC), 1)
            self._known[part] = _Failure(since, error, times)
        if before is None or before.error.message != error.message:
            self._log.warning(f"{part}_failing", error=error.code, reason=error.message)

    def _over(self, part: str) -> None:
        with self._lock:
            self._known.pop(part, None)

    def told(self) -> list[dict[str, Any]]:
        """For the status."""
        with self._lock:
            known = sorted(self._known.items())
        return [
            {
                "part": part,
                "since": failure.since.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "reason": f"{failure.error.code}: {failure.error.message}"[:REASON_MAX],
            }
            for part, failure in known
        ]

    def problem(self) -> ReflexError | None:
        """The first of those that last."""
        with self._lock:
            known = sorted(self._known.items())
        for part, failure in known:
            if failure.times >= LASTING:
                problem = ReflexError(f"{part}: {failure.error.message}")
                problem.code = failure.error.code
                return problem
        return None


def unexpected(part: str, exc: Exception) -> ReflexError:
    """An exception that no part of sync expects, in words: its own may quote values of the source."""
    return ReflexError(f"{part} met {type(exc).__name__}, which it does not expect; sync's log has more.")
