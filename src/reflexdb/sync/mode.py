"""What a way of keeping a snapshot fresh has to offer. `poll` is one, `stream` the other.

The loop calls these from its one thread, with a channel on which HELLO was answered. Source errors, MemoryCapExceeded
and InstanceUnreachable pass through; the mode leaves no snapshot and no group of changes half-sent on a channel that
goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from reflexdb.model.errors import ReflexError
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.served import Served

GoOn = Callable[[], bool]
"""Asked between batches and before a commit; on False the mode gives up with Interrupted."""


class Interrupted(Exception):
    """The work was given up because of an order, or for another one; nothing of it is visible."""


class Mode(Protocol):
    """One way of keeping a server's snapshot equal to the source."""

    name: str

    @property
    def follows(self) -> bool:
        """Whether `follow` is to be called while nothing else is due."""
        ...

    def found(self, server: Served) -> bool:
        """A server answered HELLO with this. What is known of another content is to be forgotten. Whether to refresh at
        once."""
        ...

    def forget(self) -> None:
        """Nothing is known of what the server holds: the next load starts from nothing."""
        ...

    def load(self, channel: PrivateChannel, go_on: GoOn) -> int:
        """Read the whole source and send every table. Returns the snapshot's version at the server."""
        ...

    def refresh(self, channel: PrivateChannel, go_on: GoOn, thorough: bool) -> int | None:
        """Bring the snapshot up to date; `thorough` trusts no shortcut. The new version, None where nothing changed."""
        ...

    def follow(self, channel: PrivateChannel, go_on: GoOn, seconds: float) -> None:
        """Apply changes as they come, for about so long; ends sooner where `go_on` says so. Raises Interrupted where
        there is something that `refresh` should bring in now."""
        ...

    def known(self) -> dict[str, Any] | None:
        """What the sync process of an instance that begins with this one's checkpoint may use; None where there is
        nothing. From any thread."""
        ...

    def status(self) -> dict[str, Any]:
        """What SYNC_STATUS says besides state and last error."""
        ...

    def definitions(self) -> str | None:
        """Another text once a definition at the source may have changed; None where that is not known. From any
        thread."""
        ...

    def suspect(self) -> None:
        """A definition at the source changed, or a right: planned tables may not be what they were. From any thread."""
        ...

    def problem(self) -> ReflexError | None:
        """What people should know of although everything else goes on."""
        ...

    def pause(self) -> None:
        """Nothing will be applied for a while: hold nothing at the source that needs attention."""
        ...

    def close(self) -> None: ...
