"""What control says of its own work while it does it: a piece of work begins, ends, took so long, failed or not.

Control is handed one `Watcher` and tells it; what becomes of that (log lines, metrics, traces) is the watcher's, and
without one nothing becomes of it. Kinds and names are words of the code, never of users, so that they may be labels;
`ids` are for lines and spans alone. A watcher must not raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import Protocol


class Kind(StrEnum):
    JOB = "job"
    """A walk of a worker with a job; a job that waits for a build slot is walked with twice."""
    STEP = "step"
    """A step of a job, by the lifecycle's table."""
    PHASE = "phase"
    """A phase of a build."""
    DEPLOYMENT = "deployment"
    """A step of putting an instance in place."""
    BUILD = "build"
    """A build, from its start to its end."""
    ACTION = "action"
    """An accepted action, from when it was asked for to its end."""
    TICK = "tick"
    """One look of the reconciler."""
    POLL = "poll"
    """One round of looking at instances."""


@dataclass(frozen=True, slots=True)
class Work:
    kind: Kind
    name: str
    ids: Mapping[str, str | None] = field(default_factory=dict)
    cause: str | None = None
    """What `Watcher.cause` said where this was asked for."""


class Watcher(Protocol):
    def doing(self, work: Work) -> AbstractContextManager[None]:
        """Around work of this thread; an exception that leaves it is its failure."""
        ...

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None:
        """Of work that has just ended and took so long."""
        ...

    def cause(self) -> str | None:
        """What is done now, as a W3C traceparent, so that later work can refer to it."""
        ...


class Nobody:
    """Watches nothing."""

    def doing(self, work: Work) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None: ...

    def cause(self) -> str | None:
        return None


class Timed:
    """A base for watchers that only care how long work took: `doing` becomes `done`."""

    @contextmanager
    def doing(self, work: Work) -> Iterator[None]:
        started = monotonic()
        try:
            yield
        except BaseException:
            self.done(work, monotonic() - started, failed=True)
            raise
        self.done(work, monotonic() - started)

    def done(self, work: Work, seconds: float, *, failed: bool = False) -> None:
        raise NotImplementedError

    def cause(self) -> str | None:
        return None
