"""What an error that ended a group of changes means: whose trouble it is, and whether the stream keeps its place.

One stream's. The steps of `stream.py` after a failure that need no connection.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from reflexdb.model.errors import MemoryCapExceeded, PositionLost, SourceData
from reflexdb.sync import feed
from reflexdb.sync.troubles import REFUSALS, Troubles


class Recovery:
    def __init__(self, troubles: Troubles, leave: Callable[[], None], counts: dict[str, int]) -> None:
        """`leave` sees to it that the tables in trouble are left as they are; `counts` has the differences."""
        self._troubles = troubles
        self._leave = leave
        self._counts = counts
        self._stuck: str | None = None
        """The position after which the stream had something that could not be decoded."""
        self._log = structlog.get_logger()

    def is_of_table(self, exc: BaseException, serving: int, took_s: float) -> bool:
        """Whether the server, which serves this version, refused rows of one table. That table is left as it is from
        now on. `took_s` to read them."""
        if not isinstance(exc, REFUSALS) or not serving or not self._troubles.refused(exc, took_s):
            return False
        self._leave()
        return True

    def loses_place(self, exc: BaseException, position: str | None) -> bool:
        """Whether everything must be read again, since the stream can't lead on from the position. So it is where
        something that is no table's can't be decoded, and could not be before."""
        before, self._stuck = self._stuck, position if isinstance(exc, SourceData) else None
        if before is not None and before == self._stuck:
            return True
        if isinstance(exc, feed.InstanceRefused) and exc.code == "out_of_step":
            self._log.error("out_of_step", reason=exc.message)
            self._counts["differences"] += 1
            return True
        return isinstance(exc, PositionLost | MemoryCapExceeded)
