"""A server of the private socket in Python, so that what sync sends can be looked at: rows, swaps, states.

Keeps to engine/doc/feed.md; tests/deploy runs the same against the real server. It can be told to refuse commits.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reflexdb.model.plan import Plan
from reflexdb.sync import feed
from tests.sync.decoding import decode_rows


class FeedServer:
    """Listens from construction to `close`; what is public may be read at any time."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.plan = plan
        self.process = secrets.token_hex(6)
        self.version = 0
        self.tables: dict[int, list[tuple[Any, ...]]] = {}
        self.confirms = 0
        self.kept: list[list[int]] = []
        """Of each commit, the tables that were not sent."""
        self.statuses: list[dict[str, Any]] = []
        self.refuse_commit: tuple[str, str] | None = None
        self._path = directory / "server.sock"
        self._path.unlink(missing_ok=True)
        descriptor = os.open(directory, os.O_PATH)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(f"/proc/self/fd/{descriptor}/server.sock")
        os.close(descriptor)
        self._listening.listen()
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for connection in [self._listening, *self._connections]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(10)
        self._path.unlink(missing_ok=True)

    def drop_connections(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def status(self) -> dict[str, Any]:
        return self.statuses[-1] if self.statuses else {}

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as stream:
            for answer in self._converse(stream):
                connection.sendall(answer)

    def _converse(self, stream: Any) -> Iterator[bytes]:
        coming: dict[int, list[tuple[Any, ...]]] = {}
        kept: list[int] = []
        while len(head := stream.read(5)) == 5:
            length, kind = struct.unpack("<IB", head)
            body = stream.read(length - 1)
            match kind:
                case feed.Kind.HELLO:
                    assert body[3:35] == self.plan.fingerprint()
                    yield _ok(
                        {
                            "process": self.process,
                            "version": self.version,
                            "position": "",
                            "mode": "",
                            "restored": False,
                        }
                    )
                case feed.Kind.SNAPSHOT_BEGIN:
                    coming, kept = {}, []
                    yield _ok({})
                case feed.Kind.TABLE:
                    (index,) = struct.unpack("<I", body)
                    coming.pop(index, None)
                    coming[index] = []
                case feed.Kind.TABLE_KEEP:
                    (index,) = struct.unpack("<I", body)
                    coming[index] = self.tables[index]
                    kept.append(index)
                case feed.Kind.ROWS:
                    (index,) = struct.unpack_from("<I", body)
                    assert list(coming)[-1] == index
                    coming[index] += decode_rows(self.plan.tables[index], body)
                case feed.Kind.SNAPSHOT_COMMIT if self.refuse_commit:
                    code, message = self.refuse_commit
                    yield _answer(feed.Kind.ERROR, {"error": code, "message": message})
                case feed.Kind.SNAPSHOT_COMMIT:
                    assert sorted(coming) == list(range(len(self.plan.tables)))
                    self.tables, self.version = coming, self.version + 1
                    self.kept.append(kept)
                    yield _ok({"version": self.version})
                case feed.Kind.CHANGES_BEGIN:
                    coming = dict(self.tables)
                case feed.Kind.TABLE_PART:  # of all keys: sync sends no other here
                    (index,) = struct.unpack_from("<I", body)
                    coming.pop(index, None)
                    coming[index] = []
                case feed.Kind.CHANGES_COMMIT if self.refuse_commit:
                    code, message = self.refuse_commit
                    yield _answer(feed.Kind.ERROR, {"error": code, "message": message})
                case feed.Kind.CHANGES_COMMIT:
                    self.tables, self.version = coming, self.version + 1
                    yield _ok({"version": self.version})
                case feed.Kind.CONFIRM:
                    self.confirms += 1
                    yield _ok({})
                case feed.Kind.SYNC_STATUS:
                    self.statuses.append(json.loads(body))
                    yield _ok({})
                case _:
                    yield _ok({})


def _ok(document: dict[str, Any]) -> bytes:
    return _answer(feed.Kind.OK, document)


def _answer(kind: int, document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    return struct.pack("<IB", 1 + len(body), kind) + body
