"""What a person or the deployer wants of the sync process now: reload, pause, resume. Wakes the loop out of its sleep.

Shared by the command socket's thread, which orders, and the loop's, which obeys. Pausing is remembered on disk.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from pathlib import Path

from reflexdb.sync.settings import is_paused, set_paused


class Orders:
    """All methods may be called from any thread; `wait` only from the loop's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reload = threading.Event()
        self._refresh = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._resting = threading.Event()
        self.status: dict[str, object] = {}
        """What the loop last said of itself; replaced whole."""

    @property
    def paused(self) -> bool:
        """The file is the truth: the deployer may have made it while this process was already there."""
        return is_paused(self._directory)

    def pause(self) -> None:
        set_paused(self._directory, True)
        self._rouse()

    def resume(self) -> None:
        set_paused(self._directory, False)
        self._rouse()

    def reload(self) -> None:
        self._reload.set()
        self._rouse()

    def refresh(self) -> None:
        """What is due at the interval is due now."""
        self._refresh.set()
        self._rouse()

    def take_refresh(self) -> bool:
        """Whether a refresh was ordered since the last call."""
        ordered = self._refresh.is_set()
        self._refresh.clear()
        return ordered

    def take_reload(self) -> bool:
        """Whether a reload was ordered since the last call."""
        if not self._reload.is_set():
            return False
        self._reload.clear()
        return True

    def pending(self) -> bool:
        """Whether somebody wants something that the loop should look at now."""
        return self._reload.is_set() or self._refresh.is_set() or self.paused

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        """Sleep until an order comes, the descriptor becomes readable or the time is over."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        if descriptor is not None:
            poller.register(descriptor, select.POLLIN)
        self._resting.set()
        poller.poll(max(seconds, 0) * 1000)
        self._resting.clear()
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def await_rest(self, seconds: float) -> bool:
        """Wait until the loop rests: what it was sending when a pause was ordered is then in or thrown away."""
        return self._resting.wait(seconds)

    def _rouse(self) -> None:
        self._resting.clear()
        os.eventfd_write(self._wake, 1)
