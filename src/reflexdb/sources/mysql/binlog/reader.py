"""Takes little-endian integers, length-encoded integers and byte strings off the front of an event's body.

For events that are small or rare; rows are decoded in cells.py without it. Reading past the end raises Truncated,
which is a ValueError: callers turn it into SourceData where they know what they were reading.
"""

from __future__ import annotations


class Truncated(ValueError):
    """The bytes end before what they promise."""


class Reader:
    """A position in some bytes."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise Truncated(f"{count} bytes are promised, {self.left} are there")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(self.left)

    def integer(self, size: int) -> int:
        """An unsigned little-endian integer of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def packed(self) -> int:
        """A length-encoded integer."""
        first = self.integer(1)
        if first < 251:
            return first
        if first in (251, 255):
            raise Truncated(f"a length cannot begin with {first}")
        return self.integer({252: 2, 253: 3, 254: 8}[first])

    def variable(self) -> int:
        """An integer of one to nine bytes: the ones at the end of the first byte count those that follow."""
        first = self.integer(1)
        following = (~first & (first + 1)).bit_length() - 1
        rest = self.integer(following) if following else 0
        return first >> following + 1 | rest << max(7 - following, 0)

    def string(self) -> bytes:
        """A byte string with a length-encoded length."""
        return self.take(self.packed())
