"""The processes' log files: what they said last, and a cap on their size.

The processes write to the files themselves, so that they go on doing so without the control plane; the cap is kept by
copying and cutting, at the cost of lines written in that very moment.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024
_TAIL_BYTES = 4096


def rotate(path: Path, limit: int = LOG_BYTES_MAX) -> None:
    """Move what is there to `<name>.1` where it is over the limit."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > limit:
            shutil.copyfile(path, path.with_name(path.name + ".1"))
            os.truncate(path, 0)


def last_words(path: Path) -> str:
    """The reason in the last line, or the line itself; for a message to a person."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    last = next((line for line in reversed(lines) if line.strip()), "")
    try:
        event = json.loads(last)
        words = event.get("reason") or event.get("message") or event.get("exception") or event["action"]
        return str(words).strip().splitlines()[-1]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return last or f"{path.name} is empty"
