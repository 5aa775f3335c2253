"""Listening sockets: bound once per database, handed from server to server, kept through a server's crash.

The deployer holds a duplicate, so that connections wait in the kernel's queue instead of being refused while a server
is replaced or started again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import socket
from collections.abc import Sequence
from pathlib import Path

BACKLOG = 4096
PORTS = range(18400, 20400)
"""Where a free port is looked for: below what systems hand out to outgoing connections, so that it stays free."""


def ports_for(data_dir: Path) -> list[int]:
    """PORTS, begun at a place of the directory's own.

    A database keeps its port while it is paused and nobody listens there; where several control planes share a
    machine, none should find just that one free.
    """
    start = int.from_bytes(hashlib.sha256(str(data_dir).encode()).digest()[:4]) % len(PORTS)
    return [*PORTS[start:], *PORTS[:start]]


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def bind_free(host: str, ports: Sequence[int], taken: set[int]) -> socket.socket:
    """Listen on the first port that is free and not promised to another database. Raises OSError."""
    for port in ports:
        if port in taken:
            continue
        with contextlib.suppress(OSError):
            return bind(host, port)
    raise OSError(errno.EADDRINUSE, f"no free port from {min(ports)} to {max(ports)} on {host}")


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])
