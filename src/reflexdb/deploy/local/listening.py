"""Listening sockets: bound once per database, handed from server to server, kept through a server's crash.

The deployer holds a duplicate, so that connections wait in the kernel's queue instead of being refused while a server
is replaced or started again.
"""

from __future__ import annotations

import contextlib
import errno
import socket

BACKLOG = 4096
PORTS = range(18400, 20400)
"""Where a free port is looked for: below what systems hand out to outgoing connections, so that it stays free."""


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


def bind_free(host: str, ports: range, taken: set[int]) -> socket.socket:
    """Listen on the first port that is free and not promised to another database. Raises OSError."""
    for port in ports:
        if port in taken:
            continue
        with contextlib.suppress(OSError):
            return bind(host, port)
    raise OSError(errno.EADDRINUSE, f"no free port from {ports.start} to {ports.stop - 1} on {host}")


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])
