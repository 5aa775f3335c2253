"""Decodes the rows of a text-protocol result: bytes in, columns of bytes out. Knows no socket (stream.py has it).

It is the hot loop of reading MySQL, in place of PyMySQL's row by row: bytes come in large pieces, whole packets in
them become one list per column. A packet of 16 MiB less one byte goes on in the next. The end is an EOF packet; an
error packet is handed out as it is.
"""

from __future__ import annotations

_HEADER = 4
_FULL = 0xFFFFFF
_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF


class RowDecoder:
    """Feed it bytes; take columns. After the end nothing more may be fed."""

    def __init__(self, columns: int) -> None:
        self._width = columns
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0
        """Bytes without which the packet in `_parts` cannot be whole; until then nothing is joined, so that large
        values cost once.
        """
        self.columns: list[list[bytes | None]] = [[] for _ in range(columns)]
        self.size = 0
        """Bytes of packets in `columns`."""
        self.ended = False
        self.error: bytes | None = None

    def take(self) -> list[list[bytes | None]]:
        """The columns so far; begins new ones."""
        taken = self.columns
        self.columns = [[] for _ in range(self._width)]
        self.size = 0
        return taken

    def feed(self, data: bytes) -> None:
        """Decode every whole packet; keep what is left for the next call."""
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need:
            return
        data = b"".join(self._parts) if len(self._parts) > 1 else data
        need = _HEADER
        appends = [column.append for column in self.columns]
        start, available = 0, len(data)
        while start + _HEADER <= available:
            length = data[start] | data[start + 1] << 8 | data[start + 2] << 16
            at, end = start + _HEADER, start + _HEADER + length
            if length == _FULL:
                joined = self._join(data, start)
                if isinstance(joined, int):
                    need = joined
                    break
                packet, following = joined
                self._row(packet, 0, appends)
                self.size += len(packet)
                start = following
                continue
            if end > available:
                need = end - start
                break
            first = data[at] if length else 0
            if first == _ERROR or (first == _EIGHT and length < 9):
                self.ended = True
                self.error = data[at:end] if first == _ERROR else None
                return
            self._row(data, at, appends)
            self.size += length
            start = end
        self._parts = [data[start:]]
        self._have = available - start
        self._need = need

    @staticmethod
    def _join(data: bytes, start: int) -> tuple[bytes, int] | int:
        """The payload of a row over several packets and where the next row begins; if it is not all there, the
        bytes that are needed.
        """
        first, parts = start, []
        while True:
            if start + _HEADER > len(data):
                return start + _HEADER - first
            length = int.from_bytes(data[start : start + 3], "little")
            end = start + _HEADER + length
            if end > len(data):
                return end - first
            parts.append(data[start + _HEADER : end])
            start = end
            if length < _FULL:
                return b"".join(parts), start

    @staticmethod
    def _row(data: bytes, at: int, appends: list) -> None:  # type: ignore[type-arg] # hot: bound methods of lists
        for append in appends:
            length = data[at]
            at += 1
            if length >= _NULL:
                if length == _NULL:
                    append(None)
                    continue
                width = 2 if length == _TWO else 3 if length == _THREE else 8
                length = int.from_bytes(data[at : at + width], "little")
                at += width
            append(data[at : at + length])
            at += length
