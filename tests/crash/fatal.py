"""The n-th step of a process is its last: it ends itself with SIGKILL just before the step would take effect.

Or, where the order says `full` or `read-only`, from the n-th step on the disk is, until the order is taken away.

Installed in a control plane before it starts. A step is whatever outlives the process: a file made, written, renamed
or removed, a process started or signalled, a socket bound or connected, a transaction committed. Between two steps
nothing durable happens, so being killed before a step is being killed after the one before it.

Counting begins once the order, a file with the number, exists: nobody has to be told, and nothing is counted of what
came before. Threads that only look (health, keepers, leases) do not count: they would make the numbers differ from run
to run.
"""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from tests.contract.site.answers_seen import VARIABLE

ORDER = "order"
TRAIL = "trail"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_ELSEWHERE = (os.devnull, "/proc/", os.environ.get(VARIABLE, "/proc/"))
"""Neither are files of the data directory, nor are the answers that the tests write down."""
_LOOKING = ("health", "keeper-", "leases")
_NEEDS_SPACE = ("open ", "os.mkdir ", "os.symlink ", "COMMIT")
_REFUSED = {
    "full": (errno.ENOSPC, "database or disk is full", _NEEDS_SPACE),
    "read-only": (
        errno.EROFS,
        "attempt to write a readonly database",
        (*_NEEDS_SPACE, "os.rename ", "os.remove ", "os.rmdir ", "os.truncate ", "os.chmod "),
    ),
}
_FILES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_OTHERS = {"subprocess.Popen", "socket.bind", "socket.connect"}


class Fate:
    """Counts the steps of this process. `place` holds the order and the trail of the steps that were counted."""

    def __init__(self, place: Path) -> None:
        self._order = str(place / ORDER)
        self._trail = str(place / TRAIL)
        self._lock = threading.Lock()
        self._last: int | None = None
        self._disk = ""
        self._descriptor = -1
        self._count = 0
        self._before = ""
        self._inside = threading.local()

    def install(self) -> None:
        sys.addaudithook(self._audit)
        sqlalchemy.event.listen(Engine, "before_cursor_execute", self._statement)
        sqlalchemy.event.listen(Engine, "after_cursor_execute", self._done)
        signal.pidfd_send_signal = self._before_calling("signal", signal.pidfd_send_signal)  # type: ignore[assignment]

    def step(self, name: str) -> None:
        """One more; the last, where it is the one that was ordered. Asking one socket again and again is one step."""
        if getattr(self._inside, "busy", False) or threading.current_thread().name.startswith(_LOOKING):
            return
        self._inside.busy = True
        try:
            with self._lock:
                if self._ordered() and not (name == self._before and name.startswith("socket.connect")):
                    self._count_one(name)
        finally:
            self._inside.busy = False

    def _count_one(self, name: str) -> None:
        self._count += 1
        self._before = name
        os.write(self._descriptor, f"{self._count} {threading.current_thread().name} {name}\n".encode())
        if self._disk:
            self._refuse(name)
        elif self._count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()  # no other thread gets past here either: it waits for the lock

    def _refuse(self, name: str) -> None:
        """As such a disk does; what it can still do goes on."""
        number, of_sqlite, refused = _REFUSED[self._disk]
        if self._count < (self._last or 0) or not name.startswith(refused) or not Path(self._order).exists():
            return
        if name == "COMMIT":
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError(of_sqlite))
        raise OSError(number, os.strerror(number))

    def _ordered(self) -> bool:
        if self._last is None:
            try:
                descriptor = os.open(self._order, os.O_RDONLY)
            except FileNotFoundError:
                return False
            number, _, kind = os.read(descriptor, 40).decode().partition(" ")
            self._last, self._disk = int(number), kind
            os.close(descriptor)
            self._descriptor = os.open(self._trail, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        return True

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & _WRITES and not str(path).startswith(_ELSEWHERE) and not isinstance(path, int):
                self.step(f"open {path}")
        elif event in _FILES or event in _OTHERS:
            self.step(f"{event} {_brief(event, arguments)}")

    def _statement(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "COMMIT":  # on PostgreSQL it needs no space of ours
            self.step("COMMIT" if connection.dialect.name == "sqlite" else "commit")

    def _done(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "COMMIT":
            self.step("committed")

    def _before_calling(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.step(f"{name} {arguments[1:]}")
            return function(*arguments)

        return counted


def _brief(event: str, arguments: tuple[Any, ...]) -> str:
    if event == "subprocess.Popen":
        return " ".join(map(str, arguments[1]))[-200:]
    if event.startswith("socket."):
        return str(arguments[1])
    return " ".join(str(each) for each in arguments if isinstance(each, str | bytes | os.PathLike))
