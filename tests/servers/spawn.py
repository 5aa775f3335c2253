"""What the servers' starters share: free ports, the unprivileged user, and a child that dies with its parent."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

RUN_LIMIT_S = 60.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unprivileged(*candidates: str) -> tuple[int, int] | None:
    """User and group ids to run a server as where we are root; None where we are not."""
    if os.geteuid() != 0:
        return None
    for name in (*candidates, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise RuntimeError(f"running as root, and there is none of the users {candidates} to run the test server as")


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def spawn(
    command: list[str], log: Path, owner: tuple[int, int] | None, home: Path, given: Path = Path(os.devnull)
) -> subprocess.Popen[bytes]:
    """`given` is the file that the program reads as its standard input."""
    identity: dict[str, Any] = {} if owner is None else {"user": owner[0], "group": owner[1], "extra_groups": []}
    with log.open("ab") as output, given.open("rb") as standard_input:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=standard_input,
            stdout=output,
            stderr=output,
            cwd=home,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC", "HOME": str(home)},
            preexec_fn=_die_with_parent,  # runs after the change of user, at which the kernel forgets the wish
            **identity,
        )
        return process


def run(
    command: list[str], log: Path, owner: tuple[int, int] | None, home: Path, given: Path = Path(os.devnull)
) -> None:
    process = spawn(command, log, owner, home, given)
    if process.wait(RUN_LIMIT_S) != 0:
        raise RuntimeError(f"{command[0]} failed: {log.read_text(errors='replace')[-3000:]}")
