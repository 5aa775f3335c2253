"""Requests go first: work that nobody waits for begins its next transaction when no request is being answered.

Jobs, looks and requests are threads of one interpreter, and a request is made of a dozen short turns of it: among
three busy threads it would wait at each of them. So the application says when it answers, and whoever works in the
background asks to be let through before each transaction, which is where it holds nothing that a request could be
waiting for. The wait is short and bounded: however many requests there are, the background goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LONGEST_S = 0.02
"""What a transaction of the background is held up by at most."""
_PAUSE_S = 0.002
"""Whoever was answered just now asks again at once, as programs do, or not at all."""


class Precedence:
    """Requests come and go on one thread, the event loop's; the background asks from any."""

    def __init__(self) -> None:
        self._answering = 0
        self._answered_at = float("-inf")
        self._nobody_waits = threading.Event()
        self._nobody_waits.set()

    def came(self) -> Callable[[], None]:
        """A request is being answered until the function that is returned is called; again does nothing."""
        self._answering += 1
        self._nobody_waits.clear()
        left = False

        def gone() -> None:
            nonlocal left
            if not left:
                left = True
                self._answering -= 1
                self._answered_at = time.monotonic()
                if not self._answering:
                    self._nobody_waits.set()

        return gone

    def let_pass(self) -> None:
        """Wait while requests are being answered, but not for long."""
        deadline = time.monotonic() + _LONGEST_S
        while (left := deadline - time.monotonic()) > 0 and self._nobody_waits.wait(left):
            if time.monotonic() - self._answered_at >= _PAUSE_S:
                return
            time.sleep(_PAUSE_S)
