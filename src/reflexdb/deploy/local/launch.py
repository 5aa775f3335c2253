"""Starts the two processes of an instance: arguments, environment, descriptors, limits.

Both get a session of their own, so that a Ctrl-C or the control plane's end does not reach them; nothing is inherited
but a log file and, for the server, the listening socket. Secrets go through a pipe, never through arguments or the
environment, and the environment is not handed on.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

from reflexdb.deploy.local.layout import Record
from reflexdb.deploy.local.processes import SYNC_ARGUMENTS, Process, Role
from reflexdb.sources.apart.asking import environment as handed_on
from reflexdb.sync.channel import SOCKET_NAME
from reflexdb.sync.settings import SyncProcessSettings, secret_line

SERVER_LOG = "server.log"
SYNC_LOG = "sync.log"
CHECKPOINT_S = 300
"""Between checkpoints while there are changes: what is streamed again after a crash, and what a source's log is kept
for."""
_CPU_UNITS_A_THREAD = 1024
_SERVERS_LEVELS = {"warn": "warning"}
"""Where the server has another word for a level than the API."""


def start_server(directory: Path, record: Record, listening_fd: int) -> Process:
    """Launch the server on an inherited listening socket. Raises OSError."""
    (directory / "counts.json").unlink(missing_ok=True)  # of one that ended
    (directory / SOCKET_NAME).unlink(missing_ok=True)  # or a wait for the new one would find the dead one's
    threads = max(1, math.ceil(record.cpu_units / _CPU_UNITS_A_THREAD))
    arguments = [str(directory / record.binary), "--dir", str(directory), "--listen-fd", str(listening_fd)]
    arguments += ["--memory-cap-mb", str(record.memory_cap_mb), "--threads", str(threads)]
    arguments += ["--checkpoint-s", str(CHECKPOINT_S)]
    arguments += ["--log-level", _SERVERS_LEVELS.get(record.log_level, record.log_level)]
    return _start(Role.SERVER, arguments, directory, SERVER_LOG, {}, pass_fds=(listening_fd,))


def start_sync(directory: Path, settings: SyncProcessSettings) -> Process:
    """Launch sync; `settings.address` has the password. Raises OSError."""
    settings.save(directory)
    environment = dict(handed_on())
    arguments = [sys.executable, "-P", *SYNC_ARGUMENTS, str(directory)]
    return _start(Role.SYNC, arguments, directory, SYNC_LOG, environment, secret=secret_line(settings.address))


def _start(
    role: Role,
    arguments: list[str],
    directory: Path,
    log_name: str,
    environment: dict[str, str],
    pass_fds: tuple[int, ...] = (),
    secret: bytes | None = None,
) -> Process:
    log = os.open(directory / log_name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            arguments,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL if secret is None else subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    finally:
        os.close(log)
    process = Process(child.pid, role, child)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(child.pid, resource.RLIMIT_CORE, (0, 0))  # a core file would hold rows and keys
    if secret is not None and child.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it has died already; its log says why
            child.stdin.write(secret)
            child.stdin.close()
    return process
