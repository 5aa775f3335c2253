"""Each minute: what could not be removed when it should have been, and what need not be kept any longer.

Called by control, on a thread of its own. A disk that was read-only for a while, or failed, keeps what a build, a
deployment or a write wanted to take away; nobody waits for that, and it goes here. It refuses to know what the files
mean: their owners say so.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from reflexdb.build.files import forget_scratch, forget_temporary
from reflexdb.control.retention import Retention
from reflexdb.control.rooms import Rooms
from reflexdb.records.secrets import sweep_private

log = structlog.get_logger()


class Tidying:
    def __init__(self, rooms: Rooms, retention: Retention) -> None:
        self._rooms = rooms
        self._retention = retention

    def sweep(self) -> None:
        """Where the disk refuses one part, the others go on, and the next sweep tries again. Raises
        RecordsUnavailable."""
        cache = self._rooms.data_dir / "cache"
        self._tried("scratch", lambda: forget_scratch(cache / "work"))
        self._tried("scratch", lambda: forget_scratch(cache / "verify"))
        self._tried("cache", lambda: forget_temporary(cache / "images", cache / "images.lock"))
        self._tried("secrets", lambda: sweep_private(self._rooms.data_dir))
        self._tried("images", self._rooms.images.tidy)
        self._tried("instances", self._rooms.deployer.tidy)
        self._tried("retention", self._retention.sweep)

    def _tried(self, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except OSError as exc:
            log.warning("not_tidied", what=what, error=str(exc))
