"""What runs on this machine, and waiting until that changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

WAIT_S = 20


def running(marker: str) -> list[int]:
    """Processes with the marker in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
