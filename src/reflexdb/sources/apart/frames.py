"""How a question and what comes of it travel between two processes of ours: pickled values, each behind its length.

Both ends are the same version of the same program, started one by the other, and only they hold the pipes.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any

LENGTH = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class At:
    """The answer has come so far: the deadline counts from here."""

    doing: str


@dataclass(frozen=True, slots=True)
class Answer:
    value: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of ours that was raised."""

    kind: str
    """The name of its class in model.errors."""
    message: str


@dataclass(frozen=True, slots=True)
class Crash:
    """Any other exception; the process's standard error has the traceback."""

    name: str


Frame = At | Answer | Refusal | Crash


def put(file: IO[bytes], value: object) -> None:
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    file.write(LENGTH.pack(len(content)))
    file.write(content)
    file.flush()


def take(file: IO[bytes]) -> Any:
    """The next value. Raises EOFError where the other end has gone."""
    (length,) = LENGTH.unpack(_exactly(file, LENGTH.size))
    return pickle.loads(_exactly(file, length))  # noqa: S301 - written by our own process


class Incoming:
    """Frames out of pieces, as they arrive."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, piece: bytes) -> list[Frame]:
        """The frames that are whole now."""
        self._bytes += piece
        found: list[Frame] = []
        while len(self._bytes) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._bytes)
            end = LENGTH.size + length
            if len(self._bytes) < end:
                break
            found.append(pickle.loads(memoryview(self._bytes)[LENGTH.size : end].tobytes()))  # noqa: S301 - ours
            del self._bytes[:end]
        return found


def _exactly(file: IO[bytes], length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise EOFError
    return content
