"""A table's frames, kept until it is known whether they differ from what the server has.

Used by `poll` for tables whose source cannot say cheaply whether they changed. Small tables stay in memory, large ones
go to an unnamed file in the instance directory, which vanishes with the process. The digest depends on the order in
which rows were read: a source that gives the same rows in another order costs a needless swap, never a wrong answer.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from reflexdb.sync import feed

MEMORY_BYTES = 64 * 1024 * 1024
"""A table's frames beyond this go to the file."""
_CHUNK_BYTES = 1024 * 1024


class Digest:
    """A digest over frames."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)

    def add(self, frame: feed.Frame) -> None:
        for part in frame.parts:
            self._hash.update(part)

    def value(self) -> bytes:
        return self._hash.digest()


class Spool:
    """Frames in, then the same bytes out."""

    def __init__(self, directory: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bytes, dir=str(directory))  # noqa: SIM115 - closed by close
        self._digest = Digest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """What was added is gone."""
        self._file.close()

    def add(self, frame: feed.Frame) -> None:
        self._digest.add(frame)
        for part in frame.buffers():
            self._file.write(part)

    def digest(self) -> bytes:
        return self._digest.value()

    def chunks(self) -> Iterator[bytes]:
        """Everything added, as it goes over the socket."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk
