"""The sessions that this process has open at sources, so that another thread can end what they run there.

Only a process that answers one question about a source (`apart`) watches them. A driver that waits for its server can't
be interrupted from within, and a server does not notice that its client went away before it has something to send.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

_lock = threading.Lock()
_watching = False
_ends: list[Callable[[], object]] = []


def watch() -> None:
    """From now on sessions are remembered, for the life of the process."""
    global _watching
    _watching = True


def opened(end: Callable[[], object]) -> None:
    """A session was opened; `end` makes the server give up what it runs, from any thread, and returns soon."""
    if _watching:
        with _lock:
            _ends.append(end)


def end_all() -> None:
    """Make the servers give up what the sessions run; those that have ended are no trouble."""
    with _lock:
        ends = tuple(_ends)
    for end in ends:
        with suppress(Exception):  # whatever a driver raises: the process ends next
            end()
