"""The phases of a build, written down as they pass: testing the connection, introspecting, each pass, deploying.

Used by the worker. A phase is written when it begins, so that one which a kill cut short is still to be seen, without
an end; the passes inside the builder are known when they end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from reflexdb.control.rooms import Rooms
from reflexdb.control.watching import Kind, Work
from reflexdb.records import builds


class Journal:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @contextmanager
    def phase(self, build_id: str, name: str) -> Iterator[None]:
        started = self._rooms.now()
        self._note(build_id, name, started, None)
        try:
            with self._rooms.watcher.doing(_work(build_id, name)):
                yield
        finally:
            self._note(build_id, name, started, self._rooms.now())

    def passed(self, build_id: str, name: str, seconds: float, failed: bool) -> None:
        """A pass of the builder that has just ended, well or not."""
        finished = self._rooms.now()
        self._note(build_id, name, finished - timedelta(seconds=seconds), finished)
        self._rooms.watcher.done(_work(build_id, name), seconds, failed=failed)

    def _note(self, build_id: str, name: str, started: datetime, finished: datetime | None) -> None:
        with self._rooms.store.write() as tx:
            builds.note_phase(tx, build_id, name, started, finished)


def _work(build_id: str, name: str) -> Work:
    return Work(Kind.PHASE, name, {"build": build_id})
