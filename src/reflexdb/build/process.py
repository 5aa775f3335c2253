"""Running one program of the toolchain: in its own directory and process group, with limits, its output bounded.

Called by toolchain.py and compile.py, and for a server that is tried out. The environment is made from nothing, so that
no secret of the control plane reaches a compiler and no setting of its owner changes what is built. It refuses to know
what the output means.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from reflexdb.build.base import Check, unchecked

MAX_OUTPUT_BYTES = 65_536
CPU_S = 300
MEMORY_BYTES = 6 << 30
FILE_BYTES = 1 << 30
WALL_S = 300.0
CHECK_S = 0.2
"""How long a program may run on after its build was called off."""

_CONFINE = Path(__file__).with_name("confine.py")


@dataclass(frozen=True, slots=True)
class Limits:
    wall_s: float = WALL_S
    cpu_s: int = CPU_S
    memory_bytes: int = MEMORY_BYTES
    file_bytes: int = FILE_BYTES
    network: bool = True
    """False: as far as the kernel grants it, nothing but what is in its own directory can be reached."""


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    """The exit status; 128 and the signal's number where a signal ended it."""
    output: str
    """Standard output and error together, the first 64 KiB."""
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and not self.timed_out

    def lines(self) -> list[str]:
        return self.output.splitlines()


def run(
    command: Sequence[str],
    directory: Path,
    limits: Limits | None = None,
    check: Check = unchecked,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Run to the end or to the limit; nothing of it runs when this returns. Raises OSError where it cannot start, and
    what `check` raises. `environment` is added to what every program gets."""
    bounds = limits or Limits()
    process = _start(command, directory, bounds, subprocess.PIPE, environment)
    assert process.stdout is not None
    try:
        output, timed_out = _drain(process.stdout, time.monotonic() + bounds.wall_s, check)
        if not timed_out:
            process.wait()
    finally:
        _kill_group(process)
        process.stdout.close()
    return Outcome(process.returncode, output.decode("utf-8", "replace"), timed_out)


@contextmanager
def started(command: Sequence[str], directory: Path, limits: Limits, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run beside the caller, for as long as it is in here; then nothing of it runs. What it prints goes into the file
    `output`, within the limit of files. Of `limits`, the time is the caller's to watch. Raises OSError."""
    with output.open("wb") as file:
        process = _start(command, directory, limits, file)
    try:
        yield process
    finally:
        _kill_group(process)


def _start(
    command: Sequence[str],
    directory: Path,
    bounds: Limits,
    output: int | IO[bytes],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    numbers = (bounds.cpu_s, bounds.memory_bytes, bounds.file_bytes, int(bounds.network), os.getpid())
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_CONFINE), *map(str, numbers), *command],
        cwd=directory,
        env=_environment(directory) | dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,  # not a session: with one the kernel gives it a share of its own, whatever its niceness
    )


def _environment(directory: Path) -> dict[str, str]:
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    return {"PATH": path, "LC_ALL": "C", "TMPDIR": str(directory), "HOME": str(directory), "SOURCE_DATE_EPOCH": "0"}


def _drain(stream: IO[bytes], deadline: float, check: Check) -> tuple[bytes, bool]:
    """What was written until the end or the deadline; the rest is thrown away, so that the writer goes on."""
    kept = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            check()
            if not selector.select(min(left, CHECK_S)):
                continue
            chunk = os.read(stream.fileno(), 65_536)
            if not chunk:
                return bytes(kept), False
            kept += chunk[: MAX_OUTPUT_BYTES - len(kept)]
    return bytes(kept), True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
