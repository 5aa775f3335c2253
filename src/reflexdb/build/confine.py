"""A program run within limits, as a process of its own: `confine.py CPU_S MEMORY FILE NETWORK PARENT PROGRAM ARG...`.

build/process.py starts this file, not the module, so it imports the standard library alone. It stands between the
control plane and the compiler because a compiler driver starts children of its own: when the parent dies, even by
SIGKILL, this process is told and kills the whole group, so that no compiler outlives the build that wanted it. It
refuses to know what it runs.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
STATUS_NOT_STARTED = 127
NICENESS = 10
"""Whoever asks the control plane or queries an instance goes first."""


def main(argv: list[str]) -> int:
    cpu_s, memory_bytes, file_bytes, network, parent = (int(argument) for argument in argv[:5])
    signal.signal(signal.SIGTERM, _kill_group)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return STATUS_NOT_STARTED
    os.nice(NICENESS)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    if not network:
        _leave_network()
    try:
        status = subprocess.call(argv[5:], stdin=subprocess.DEVNULL)
    except OSError as exc:
        sys.stderr.write(f"cannot start {argv[5]}: {exc.strerror}\n")
        return STATUS_NOT_STARTED
    return 128 - status if status < 0 else status


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    bounded = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (bounded, bounded))


def _leave_network() -> None:
    """Into a network of its own that leads nowhere, where the kernel grants one: to root, or together with a user
    namespace. Elsewhere it goes on without: what is run then is known to open no connection by itself."""
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(CLONE_NEWNET) != 0:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)


def _kill_group(_signal: int, _frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
