"""The passes of a build as they go by: a line in its log for each, and who listens hears how long it took.

Used by the builders.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager

from reflexdb.build.base import Check, Log, Passed
from reflexdb.model.errors import BuildFailed


class Phases:
    """Log lines around each pass, and the pass's name on whatever the disk refuses in it."""

    def __init__(self, log: Log, passed: Passed | None, check: Check, suffix: str = "") -> None:
        self._log = log
        self._passed = passed
        self.check = check
        self._suffix = suffix

    def of(self, platform: str) -> Phases:
        """The same, with the platform in the name of each pass."""
        return Phases(self._log, self._passed, self.check, f" {platform}")

    @contextmanager
    def run(self, pass_name: str) -> Iterator[None]:
        name = pass_name + self._suffix
        self.check()
        started, failed = time.monotonic(), True
        try:
            yield
            failed = False
        except OSError as exc:
            full = exc.errno in {errno.ENOSPC, errno.EDQUOT}
            reason = "the disk is full; free some space in the data directory" if full else exc.strerror
            if reason is None:  # libraries raise OSError for what no system call said
                raise
            raise BuildFailed(name, f"The build failed in the pass {name}: {reason}.") from exc
        finally:
            self.heard(name, time.monotonic() - started, failed=failed)
        self._log(f"{name}: {time.monotonic() - started:.2f} s")

    def heard(self, name: str, seconds: float, *, failed: bool) -> None:
        """A pass that went by elsewhere."""
        if self._passed is not None:
            self._passed(name, seconds, failed)
