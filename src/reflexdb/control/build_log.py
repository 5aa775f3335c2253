"""The log of a build, as a file: written line by line while a build and its deployments run, read by the API, live.

One file per build, `logs/builds/<id>.log`; every line begins with the time in UTC. What a line quotes from a source
is data: control characters are written escaped, so that no name can forge a line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

MAX_LINE_CHARS = 4000


def log_path(data_dir: Path, build_id: str) -> Path:
    return data_dir / "logs" / "builds" / f"{build_id}.log"


class BuildLog:
    """Appends to one build's log. Any thread; every line is in the file when the call returns."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._now = now
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        text = "".join(map(_visible, line[:MAX_LINE_CHARS]))
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(f"{stamp}Z {text}\n")


def _visible(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    return character.encode("unicode_escape").decode("ascii")
