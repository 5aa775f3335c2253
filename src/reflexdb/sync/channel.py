"""One connection to a server's private socket: frames out, replies in, every wait with a limit.

Used by sync and by the deployer. Connects through the instance directory's file descriptor, so that a directory deeper
than a unix address can name works as well. Everything that goes wrong on the way is InstanceUnreachable; what the
server refuses is raised by `feed`. Not thread-safe; after an error the connection is closed and a new one is needed.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reflexdb.model.errors import InstanceUnreachable
from reflexdb.sync import feed

SOCKET_NAME = "server.sock"
TIMEOUT_S = 10.0
"""Longest wait for one reply, or for the server to take the next bytes, where the caller names none."""
_PARTS_MAX = 256
"""Buffers per write; the system takes at most 1024."""
_READ_BYTES = 256 * 1024
_ATTACHED_BYTES = socket.CMSG_SPACE(4 * struct.calcsize("i"))


class PrivateChannel:
    """Connected on construction. Raises InstanceUnreachable where nothing listens."""

    def __init__(self, directory: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._directory = directory
        self._decoder = feed.ReplyDecoder()
        self._descriptors: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_s)
            _connect(self._socket, directory)
        except OSError as exc:
            self._socket.close()
            raise self._unreachable(exc) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def fileno(self) -> int:
        return self._socket.fileno()

    def hello(self, role: feed.Role, fingerprint: bytes | None, mode: str = "") -> dict[str, Any]:
        """Open the conversation. Raises InstanceRefused (`wrong_plan`) where the server serves another plan."""
        return self.request(feed.hello(role, fingerprint, mode))

    def send(self, frame: feed.Frame, timeout_s: float | None = None) -> None:
        """Hand the frame to the system; returns once every byte is taken."""
        self._send(frame.buffers(), self._timeout_s if timeout_s is None else timeout_s)

    def send_bytes(self, data: bytes) -> None:
        """A stretch of frames that were encoded before."""
        self._send([data], self._timeout_s)

    def receive(self, timeout_s: float | None = None) -> feed.Reply:
        """The next reply."""
        try:
            return self._receive(self._timeout_s if timeout_s is None else timeout_s)
        except InstanceUnreachable:
            self.close()
            raise

    def request(self, frame: feed.Frame, timeout_s: float | None = None) -> dict[str, Any]:
        """Send and await the answer, as JSON object. Raises what the server refused."""
        self.send(frame, timeout_s)
        return self.receive(timeout_s).document()

    def query(self, text: str, timeout_s: float | None = None) -> bytes:
        """The answer to a query, unparsed. Raises InstanceRefused with the query language's code."""
        self.send(feed.query(text), timeout_s)
        return self.receive(timeout_s).payload()

    def listener(self) -> socket.socket:
        """A duplicate of the server's listening socket."""
        self.request(feed.listener())
        if not self._descriptors:
            raise InstanceUnreachable(f"the server in {self._directory} answered without its listening socket")
        return socket.socket(fileno=self._descriptors.pop())

    def is_closed(self) -> bool:
        """Whether the server has closed the connection; does not wait. Only between requests."""
        if self._socket.fileno() < 0:
            return True
        if not _readable(self._socket):
            return False
        try:
            self._socket.settimeout(0)
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _send(self, parts: list[feed.Part], timeout_s: float) -> None:
        pending = [memoryview(part).cast("B") for part in parts if len(part)]
        try:
            while pending:
                self._socket.settimeout(timeout_s)
                _advance(pending, self._socket.sendmsg(pending[:_PARTS_MAX]))
        except OSError as exc:
            # A server that closes says why first: its reason is worth more than "broken pipe".
            with contextlib.suppress(InstanceUnreachable):
                self._receive(0.2).payload()
            self.close()
            raise self._unreachable(exc) from exc

    def _receive(self, timeout_s: float) -> feed.Reply:
        deadline = time.monotonic() + timeout_s
        try:
            while (reply := self._decoder.next()) is None:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                data, attached, _, _ = self._socket.recvmsg(_READ_BYTES, _ATTACHED_BYTES, socket.MSG_CMSG_CLOEXEC)
                self._descriptors += _descriptors(attached)
                if not data:
                    raise InstanceUnreachable(f"the server in {self._directory} closed its private connection")
                self._decoder.feed(data)
        except OSError as exc:
            raise self._unreachable(exc) from exc
        return reply

    def _unreachable(self, exc: OSError) -> InstanceUnreachable:
        why = (
            "did not answer in time" if isinstance(exc, TimeoutError) else f"cannot be reached ({exc.strerror or exc})"
        )
        return InstanceUnreachable(f"the server in {self._directory} {why}")


def _connect(connection: socket.socket, directory: Path) -> None:
    """Connect by way of the directory's descriptor: a unix address holds 107 bytes, a path may be longer."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
    finally:
        os.close(descriptor)


def _descriptors(attached: list[tuple[int, int, bytes]]) -> list[int]:
    """What SCM_RIGHTS brought. Not socket.recv_fds: that one lets children inherit the descriptors."""
    rights = [data for level, kind, data in attached if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)]
    return [fd for data in rights for (fd,) in struct.iter_unpack("i", data[: len(data) // 4 * 4])]


def _advance(pending: list[memoryview], sent: int) -> None:
    """Drop what was written."""
    done = 0
    while done < len(pending) and sent >= len(pending[done]):
        sent -= len(pending[done])
        done += 1
    del pending[:done]
    if sent:
        pending[0] = pending[0][sent:]


def _readable(connection: socket.socket) -> bool:
    poller = select.poll()  # not select(): descriptors may be over 1023
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))
