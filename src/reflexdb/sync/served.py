"""What a server holds, as the server itself tells it in its answer to HELLO.

Nothing that a sync process remembers of a server replaces this: the server may have been killed and started again with
an older checkpoint, under the same version number. What sync knows beside it is good only for the same process of the
server with the same version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Content(NamedTuple):
    """One state of one process of a server: no two states have the same."""

    process: str
    """Random, made by the server's process at its start."""
    version: int


NOTHING = Content("", 0)
"""Of no server."""


@dataclass(frozen=True, slots=True)
class Served:
    content: Content
    position: str
    """In the source's history; exact only where a stream committed it."""
    mode: str
    """Of the sync that committed or confirmed the rows there; empty where that is not known."""
    restored: bool
    """The rows come from a checkpoint, and the server has not heard of the source since."""

    @classmethod
    def told(cls, answer: Mapping[str, Any]) -> Served:
        """Raises KeyError or ValueError for an answer that is none."""
        return cls(
            Content(str(answer["process"]), int(answer["version"])),
            str(answer["position"]),
            str(answer["mode"]),
            answer["restored"] is True,
        )

    @property
    def is_loaded(self) -> bool:
        """Whether there is a snapshot at all."""
        return self.content.version > 0
