"""How long to wait before the next try: exponential, with jitter, bounded. Randomness is an argument."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits of `first_s`, twice that, and so on up to `longest_s`; each shortened by up to a half at random."""

    def __init__(
        self, first_s: float, longest_s: float, uniform: Callable[[float, float], float] | None = None
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s
        self._uniform = uniform or random.uniform

    def next(self) -> float:
        wait = self._next_s
        self._next_s = min(wait * 2, self._longest_s)
        return wait * self._uniform(0.5, 1.0)

    def reset(self) -> None:
        self._next_s = self._first_s
