"""Processes that belong to an instance: held by descriptor, found again through /proc, never confused with others.

A process is ours where the program it runs lies in the instance directory (the server), or where it was started as
`-m reflexdb.sync --dir <that directory>`. No process id is kept on disk: a reused one can't be mistaken, and one that
was started just before the control plane died can't be missed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from enum import Enum
from pathlib import Path

SYNC_ARGUMENTS = ("-m", "reflexdb.sync", "--dir")


class Role(Enum):
    """Which of an instance's two processes."""

    SERVER = "server"
    SYNC = "sync"


class Process:
    """One process, alive or dead. Descriptor-based: a signal never reaches another process with the same number."""

    def __init__(self, pid: int, role: Role, child: subprocess.Popen[bytes] | None = None) -> None:
        """Raises ProcessLookupError where there is no such process."""
        self.pid = pid
        self.role = role
        self.descriptor = os.pidfd_open(pid)
        self._child = child

    def alive(self) -> bool:
        return self.descriptor >= 0 and not self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Whether the process has ended, after waiting for that up to `seconds`."""
        if self.descriptor < 0:
            return True
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        ended = bool(poller.poll(seconds * 1000))
        if ended and self._child is not None:
            self._child.wait()
        return ended

    def exit_status(self) -> int | None:
        """Negative for a signal; None while alive, or where the process is no child of ours."""
        return self._child.poll() if self._child is not None else None

    def signal(self, number: signal.Signals) -> None:
        if self.descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, number)

    def stop(self, grace_s: float) -> None:
        """End it: SIGTERM, then SIGKILL after `grace_s`. Returns when it is gone."""
        if self.alive():
            self.signal(signal.SIGTERM)
            if not self.wait(grace_s):
                self.kill()
        self.close()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait(10)

    def close(self) -> None:
        """Let go of the descriptor; the process, if it lives, goes on."""
        if self.descriptor >= 0:
            self.wait(0)
            os.close(self.descriptor)
            self.descriptor = -1


def find(directory: Path) -> list[Process]:
    """Every live process of the instance in `directory`, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (role := _role(entry, directory)) is None:
                continue
            process = Process(int(entry.name), role)
            # Asked again with the descriptor in hand: the number may have changed owners between the two.
            if process.alive() and _role(entry, directory) is role:
                found.append((_start_ticks(entry), process))
            else:
                process.close()
    return [process for _, process in sorted(found, key=lambda pair: pair[0])]


def _role(entry: Path, directory: Path) -> Role | None:
    program = str(entry.joinpath("exe").readlink()).removesuffix(" (deleted)")
    if Path(program).parent == directory:
        return Role.SERVER
    arguments = (entry / "cmdline").read_bytes().split(b"\0")
    wanted = [os.fsencode(argument) for argument in (*SYNC_ARGUMENTS, str(directory))]
    return Role.SYNC if arguments[2:6] == wanted else None


def _start_ticks(entry: Path) -> int:
    """When it was started, in the kernel's ticks; the name in front may hold any byte but ends at the last bracket."""
    return int((entry / "stat").read_bytes().rpartition(b")")[2].split()[19])
