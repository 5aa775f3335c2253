"""What a way of keeping a snapshot fresh has to offer. `poll` is one; following a change stream will be another.

The loop calls these from its one thread, with a channel on which HELLO was answered. Source errors, MemoryCapExceeded
and InstanceUnreachable pass through; the mode leaves no snapshot half-sent on a channel that goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from reflexdb.sync.channel import PrivateChannel

GoOn = Callable[[], bool]
"""Asked between batches and before a commit; on False the mode gives up with Interrupted."""


class Interrupted(Exception):
    """The work was given up because of an order; nothing of it is visible."""


class Mode(Protocol):
    """One way of keeping a server's snapshot equal to the source."""

    name: str

    def forget(self) -> None:
        """The server does not hold what was sent before: the next load starts from nothing."""
        ...

    def load(self, channel: PrivateChannel, go_on: GoOn) -> int:
        """Read the whole source and send every table. Returns the snapshot's version at the server."""
        ...

    def refresh(self, channel: PrivateChannel, go_on: GoOn, thorough: bool) -> int | None:
        """Bring the snapshot up to date; `thorough` trusts no shortcut. The new version, None where nothing changed."""
        ...

    def close(self) -> None: ...
