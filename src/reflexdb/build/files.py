"""Writing files so that a kill at any instant leaves the old content or the new, and locks between processes.

Called by the engine cache and the image store. It refuses to know what the files mean.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from reflexdb.build.base import Check

TEMPORARY_PREFIX = ".tmp-"
_LOCK_POLL_S = 0.05


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Whole or not at all, and durable on return: temporary file beside it, fsync, rename, fsync of the directory."""
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def newest_first(directory: Path) -> list[Path]:
    """What is in a directory, by time of change. What another process removes meanwhile is left out."""
    times: dict[Path, int] = {}
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            times[path] = path.stat().st_mtime_ns
    return sorted(times, key=lambda path: (-times[path], path.name))


@contextmanager
def locked(path: Path, check: Check | None = None) -> Iterator[None]:
    """Hold the lock file exclusively, against threads and processes; the kernel lets go of it when the holder dies.

    With `check`, whatever that raises ends the waiting.
    """
    with path.open("ab") as file:
        if check is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            _wait_for(file, check)
        yield


def _wait_for(file: IO[bytes], check: Check) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            check()
            time.sleep(_LOCK_POLL_S)


@contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """A new directory, gone afterwards. What others have left is removed too."""
    parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with locked(parent / ".lock"):
            _remove_left(parent)
            directory = Path(tempfile.mkdtemp(dir=parent))
            held.callback(shutil.rmtree, directory, ignore_errors=True)
            held.enter_context(locked(directory / "lock"))
        yield directory


def forget_scratch(parent: Path) -> None:
    """Remove the scratch directories that a killed process left, or one that could not remove them. Fine where there
    are none."""
    if not parent.is_dir() or not any(path.is_dir() for path in parent.iterdir()):
        return
    with locked(parent / ".lock"):
        _remove_left(parent)


def forget_temporary(directory: Path, lock: Path) -> None:
    """Remove the temporary files of writes that broke off; whoever writes here holds the lock."""
    if directory.is_dir() and any(directory.glob(f"{TEMPORARY_PREFIX}*")):
        with locked(lock):
            for left in directory.glob(f"{TEMPORARY_PREFIX}*"):
                left.unlink(missing_ok=True)


def _remove_left(parent: Path) -> None:
    for left in parent.iterdir():
        if left.is_dir() and _is_free(left / "lock"):
            shutil.rmtree(left, ignore_errors=True)


def _is_free(path: Path) -> bool:
    """True where nobody holds the lock file now."""
    try:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
