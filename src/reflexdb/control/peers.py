"""Other processes of this machine: whether one is still there, and ending one for certain.

Used by the leases. A process is named by its number and the time it started, so that nobody who got a dead one's
number is meant. Knows /proc and process descriptors, nothing of control planes.
"""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

END_S = 5.0
"""How long a killed process may take to be gone."""


def this_host() -> str:
    """The same for processes that see each other in /proc: one boot of one machine, one container of it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def this_process() -> str:
    return f"{os.getpid()}@{_started(os.getpid())}"


def is_gone(process: str) -> bool:
    """Whether a process of this host has ended."""
    number, started = _parts(process)
    return _started(number) != started


def end(process: str) -> bool:
    """Kill a process of this host, also a stopped one; True once it can do nothing any more."""
    number, started = _parts(process)
    if number == os.getpid():
        return False
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    try:
        if _started(number) != started:  # read after the descriptor was opened: it is of this process or of none
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        readable, _, _ = select.select([descriptor], [], [], END_S)
        return bool(readable)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(descriptor)


def _parts(process: str) -> tuple[int, str]:
    number, _, started = process.partition("@")
    return int(number), started


def _started(number: int) -> str | None:
    """In ticks since boot; None for one that is not there, or is dead and only not waited for."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
