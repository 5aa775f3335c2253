"""Clients that never stop asking: some keep their connection, some open a new one for every request."""

from __future__ import annotations

import contextlib
import http.client
import threading
from types import TracebackType
from typing import Self

from tests.deploy.site import ask


class Load:
    """Runs from enter to exit. `failures` is what a user would have seen go wrong."""

    def __init__(self, port: int, threads: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i % 2 == 0,)) for i in range(threads)]
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, keep: bool) -> None:
        while not self._stop.is_set():
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
                self._converse(connection, keep)

    def _converse(self, connection: http.client.HTTPConnection, keep: bool) -> None:
        """Ask once, or until the server closes between two answers, which it may: clients then connect again."""
        asked = 0
        while not self._stop.is_set():
            try:
                status, body = ask(connection, "people(id = 1) { name }")
            except (ConnectionError, http.client.HTTPException, OSError) as exc:
                idle_closed = asked and isinstance(
                    exc, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
                )
                if not idle_closed:
                    self.failures.append(repr(exc))
                return
            asked += 1
            if (status, body) != (200, [{"name": "Ada"}]):
                self.failures.append(f"{status} {body}")
            self.answered += 1
            if not keep or connection.sock is None:
                return
