"""The command socket `sync.sock`: one JSON object a line in, one out. Mode 0600, in the instance directory.

    {"cmd":"reload"} {"cmd":"refresh"} {"cmd":"pause"} {"cmd":"resume"} {"cmd":"status"} {"cmd":"known"}
    -> {"ok":true,"paused":false,"state":"ok","lastError":null}   or   {"ok":false,"error":"..."}

The server half runs in the sync process's main thread; `command` is the deployer's half. `pause` is answered once
nothing newer can appear, or after `REST_S` where a large commit is under way. `known` is what another sync process asks
(mode.py); its answer has it besides.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from reflexdb.model.errors import InstanceUnreachable
from reflexdb.sync.orders import Orders

SOCKET_NAME = "sync.sock"
LINE_BYTES_MAX = 4096
ANSWER_BYTES_MAX = 8 << 20
CLIENT_S = 2.0
"""A client that sends no whole line in this time is dropped."""
REST_S = 5.0


def listen(directory: Path) -> socket.socket:
    """Bind the socket, in place of one that a predecessor left."""
    (directory / SOCKET_NAME).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _named(directory) as path:
        listening.bind(path)
    (directory / SOCKET_NAME).chmod(0o600)
    listening.listen(8)
    return listening


def serve(listening: socket.socket, orders: Orders, known: Callable[[], dict[str, Any] | None]) -> NoReturn:
    """Answer for ever; a signal's exception ends it."""
    while True:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(CLIENT_S)
            connection.sendall(json.dumps(_answer(_read_line(connection), orders, known)).encode() + b"\n")


def command(directory: Path, name: str, timeout_s: float = REST_S + 2) -> dict[str, Any]:
    """Give one order and return the answer. Raises InstanceUnreachable."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            with _named(directory) as path:
                connection.connect(path)
            connection.sendall(json.dumps({"cmd": name}).encode() + b"\n")
            answer = json.loads(_read_line(connection, ANSWER_BYTES_MAX))
    except (OSError, ValueError) as exc:
        raise InstanceUnreachable(f"the sync process in {directory} does not answer: {exc}") from exc
    if not answer.get("ok"):
        raise InstanceUnreachable(f"the sync process in {directory} refused {name}: {answer.get('error')}")
    return dict(answer)


def _answer(line: bytes, orders: Orders, known: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    try:
        name = json.loads(line)["cmd"]
    except (ValueError, KeyError, TypeError):
        return {"ok": False, "error": 'a command is one line of JSON: {"cmd":"status"}'}
    if name == "pause":
        orders.pause()
        orders.await_rest(REST_S)
    elif name == "resume":
        orders.resume()
    elif name == "reload":
        orders.reload()
    elif name == "refresh":
        orders.refresh()
    elif name == "known":
        return {"ok": True, "known": known()}
    elif name != "status":
        return {"ok": False, "error": "unknown command; there are reload, refresh, pause, resume, status and known"}
    return {"ok": True, "paused": orders.paused, **orders.status}


def _read_line(connection: socket.socket, most: int = LINE_BYTES_MAX) -> bytes:
    """Up to and with the line's end, of at most so many bytes and for at most the socket's time limit in all."""
    limit = connection.gettimeout() or CLIENT_S
    deadline = time.monotonic() + limit
    line = b""
    while not line.endswith(b"\n") and len(line) < most:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        data = connection.recv(most - len(line))
        if not data:
            break
        line += data
    connection.settimeout(limit)
    return line


@contextlib.contextmanager
def _named(directory: Path) -> Any:
    """A short name for the socket, however deep the directory is."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
