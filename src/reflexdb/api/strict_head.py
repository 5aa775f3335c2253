"""The head of a request, held to the letter before it is parsed: what two parsers might read differently is refused.

h11 takes lines that end in a bare line feed, folded fields, and a length beside an encoding. Behind a proxy that reads
those another way, one caller's request could be taken for two. Instances refuse the same (engine/doc/http.md). Knows
bytes only.
"""

from __future__ import annotations

import re

import h11
from h11._receivebuffer import ReceiveBuffer

_LOOSE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_LENGTH, _CODING = b"content-length", b"transfer-encoding"


def fault(head: bytes) -> str | None:
    """Why the lines of a head, or of a body's trailers, are refused; nothing where they are as the standard says."""
    if _LOOSE_END.search(head):
        return "a line does not end in CR LF"
    first, *rest = head.split(b"\r\n")
    if any(line.startswith((b" ", b"\t")) for line in (first, *rest)):
        return "a field is folded over several lines"
    fields = [line.partition(b":")[::2] for line in rest]
    framing = [(name.lower(), value.strip()) for name, value in fields if name.lower() in {_LENGTH, _CODING}]
    if len(framing) > 1:
        return "the length of the body is told more than once"
    for name, value in framing:
        if name == _LENGTH and not value.isdigit():
            return "Content-Length is not a number"
        if name == _CODING and not first.endswith(b" HTTP/1.1"):
            return "Transfer-Encoding belongs to HTTP/1.1"
    return None


def hold_to_the_letter(connection: h11.Connection) -> None:
    """Make the connection, of which nothing has been read yet, refuse what `fault` finds, as its other faults."""
    connection._receive_buffer = _StrictBuffer()  # h11 offers no place between bytes and fields


class _StrictBuffer(ReceiveBuffer):
    def maybe_extract_lines(self) -> list[bytearray] | None:
        before = bytes(self._data)
        lines = super().maybe_extract_lines()
        if lines is not None and (why := fault(before[: len(before) - len(self._data)])):
            raise h11.LocalProtocolError(why)
        return lines
