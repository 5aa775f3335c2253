"""One server of a kind for the whole test run, however many workers it has.

The first worker that needs a server starts a keeper (keeper.py), which starts the server. Every user holds a shared
lock on one file; the keeper waits for the exclusive lock, which the kernel grants when the last user has let go or
died, and then ends the server and removes its directory. So nothing is counted and nothing can be left behind by a
crash.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

START_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach a running test server as its administrator."""

    host: str
    port: int
    user: str
    password: str
    socket: str
    """Path of its unix socket (for PostgreSQL, the directory)."""


def _lock(path: Path, how: int, limit_s: float) -> IO[bytes]:
    file = path.open("ab")
    give_up = time.monotonic() + limit_s
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                file.close()
                raise TimeoutError(f"{path} stayed locked for {limit_s:.0f} s") from None
            time.sleep(0.05)
        else:
            return file


def _start_keeper(kind: str, shared: Path) -> None:
    log = (shared / f"{kind}.log").open("ab")
    subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("keeper.py")), kind, str(shared)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        cwd="/",
    )
    log.close()


def _wait_for_state(kind: str, shared: Path) -> Server:
    state, failed = shared / f"{kind}.json", shared / f"{kind}.failed"
    give_up = time.monotonic() + START_LIMIT_S
    while time.monotonic() < give_up:
        if state.exists():
            return Server(**json.loads(state.read_text()))
        if failed.exists():
            raise RuntimeError(f"the test server {kind} did not start: {failed.read_text()[-4000:]}")
        time.sleep(0.05)
    raise TimeoutError(f"the test server {kind} did not start within {START_LIMIT_S:.0f} s; see {shared}/{kind}.log")


@contextmanager
def running(kind: str, shared: Path) -> Iterator[Server]:
    """The server of this kind for as long as the context lasts, started if no worker has it running."""
    starting = _lock(shared / f"{kind}.start", fcntl.LOCK_EX, START_LIMIT_S)
    try:
        using = _lock(shared / f"{kind}.users", fcntl.LOCK_SH, STOP_LIMIT_S)
        if not (shared / f"{kind}.json").exists():
            _start_keeper(kind, shared)
        server = _wait_for_state(kind, shared)
    finally:
        starting.close()
    try:
        yield server
    finally:
        using.close()


def wait_until_stopped(shared: Path) -> None:
    """Return once no keeper that was started under this directory is alive any more (at most STOP_LIMIT_S)."""
    give_up = time.monotonic() + STOP_LIMIT_S
    for keeper in shared.glob("*.keeper"):
        while time.monotonic() < give_up and keeper.exists() and _alive(int(keeper.read_text() or "0")):
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
