"""A TCP proxy before a server, which can be cut and mended: the server goes away and comes back, to whoever uses it.

It can also stall (connections stay open and nothing comes), be cut in the middle of what the server sends, and repeat
some of it.
"""

from __future__ import annotations

import contextlib
import socket
import threading


class Cut:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._left: int | None = None
        self._repeated: int | None = None
        self.port = 0
        self.mend()

    def lead_to(self, host: str, port: int) -> None:
        """From the next connection on, another server answers."""
        self._target = (host, port)

    def stall(self) -> None:
        """Nothing passes until `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    def cut_after(self, size: int) -> None:
        """Cut once the server has sent so many bytes more."""
        self._left = size

    def repeat(self, size: int) -> None:
        """Once, the last so many bytes of what the server sends come a second time."""
        self._repeated = size

    def heal(self) -> None:
        """Nothing fails from here on; what was connected is not any more."""
        self._left = self._repeated = None
        self._flows.set()
        self.cut()
        self.mend()

    @property
    def is_cut(self) -> bool:
        return self._listener is None

    def mend(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Every connection is reset, and new ones are refused."""
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for each in pairs:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._pairs += [client, server]
            for one, other in ((client, server), (server, client)):
                from_server = one is server
                threading.Thread(target=self._copy, args=(one, other, from_server), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket, from_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self._flows.wait(60)
                other.sendall(self._harmed(data) if from_server else data)
                if self._left == 0:
                    self._left = None
                    self.cut()
        _shut(other)

    def _harmed(self, data: bytes) -> bytes:
        repeated, self._repeated = self._repeated, None
        if repeated is not None:
            data += data[-repeated:]
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data


def _shut(other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
