"""The log of a build, as a file: written line by line while a build and its deployments run, read by the API, live.

One file per build, `logs/builds/<id>.log`; every line begins with the time in UTC. What a line quotes from a source
is data: control characters are written escaped, so that no name can forge a line. A line that can't be written (a full
disk) fails no build and no deployment: it is left out, and the next one that can be written says how many were.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

MAX_LINE_CHARS = 4000

log = structlog.get_logger()


def log_path(data_dir: Path, build_id: str) -> Path:
    return data_dir / "logs" / "builds" / f"{build_id}.log"


class BuildLog:
    """Appends to one build's log. Any thread; a line is in the file, whole, when the call returns, or left out."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._left_out = 0

    def __call__(self, line: str) -> None:
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        text = "".join(map(_visible, line[:MAX_LINE_CHARS]))
        with self._lock:
            missing = f"{stamp}Z (lines that could not be written: {self._left_out})\n" if self._left_out else ""
            try:
                _append(self._path, f"{missing}{stamp}Z {text}\n".encode())
            except OSError as exc:
                self._left_out += 1
                log.warning("build_log_not_written", build=self._path.stem, error=exc.strerror)
            else:
                self._left_out = 0


def _append(path: Path, line: bytes) -> None:
    """All of it or nothing. It never hangs on to a line before it that has no end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        written = os.write(file, line)
        if written < len(line):
            os.ftruncate(file, os.fstat(file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)


def _visible(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    return character.encode("unicode_escape").decode("ascii")
