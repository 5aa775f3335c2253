"""Values held in memory up to a number of bytes; what nobody asked for longest goes first.

Used for answers that are long in the making. Whether a value still holds is for the caller to know.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Held(Generic[Value]):
    """Safe to use from any thread."""

    def __init__(self, most_bytes: int, size: Callable[[Value], int]) -> None:
        self._most = most_bytes
        self._size = size
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: str) -> Value | None:
        with self._lock:
            value = self._values.get(name)
            if value is not None:
                self._values.move_to_end(name)
            return value

    def put(self, name: str, value: Value) -> None:
        with self._lock:
            self._drop(name)
            self._values[name] = value
            self._bytes += self._size(value)
            while self._bytes > self._most:
                self._drop(next(iter(self._values)))

    def _drop(self, name: str) -> None:
        if name in self._values:
            self._bytes -= self._size(self._values.pop(name))
