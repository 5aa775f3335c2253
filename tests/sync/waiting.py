"""Waiting for a condition, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT_S = 100.0


def until(condition: Callable[[], T], what: str = "", limit_s: float = LIMIT_S) -> T:
    """The first truthy answer."""
    deadline = time.monotonic() + limit_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what or condition}"
        time.sleep(0.01)
    return answer
