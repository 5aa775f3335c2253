"""Who is behind what happens now: a request with its key and address, the schedule, or the control plane itself.

Set around a request by the API and around a scheduled action by the reconciler; read where something is written down.
It travels beside the calls, in the context, because every action has one and none decides anything by it. Without any
it is the reconciler that acts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    trigger: str
    """api, schedule, schema_change, reconcile or stripe."""
    key_id: str | None = None
    key_name: str | None = None
    address: str | None = None
    """Where the request came from."""
    request_id: str | None = None
    reason: str | None = None
    """Why, where nobody asked: one sentence."""

    def stamp(self) -> dict[str, str | None]:
        """The columns that builds and jobs keep of it."""
        return {"trigger": self.trigger, "key_id": self.key_id, "key_name": self.key_name, "reason": self.reason}


_RECONCILER = Origin("reconcile")
_present: ContextVar[Origin | None] = ContextVar("origin", default=None)


def origin() -> Origin:
    """Whoever is behind the present call."""
    return _present.get() or _RECONCILER


@contextmanager
def acting(for_: Origin) -> Iterator[None]:
    """Everything inside is done for this origin."""
    token = _present.set(for_)
    try:
        yield
    finally:
        _present.reset(token)
