"""Runs the real server, compiled for PLAN with sanitizers, and speaks to it as clients, sync and deployer would.

`compile_server` shares its objects with the query driver's through pytest's cache. A `Server` owns its directory, its
listening socket and its process; leaving it as context manager drains it and checks that it ended well.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reflexdb.build.emit import emit
from reflexdb.model.plan import Plan
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from tests.engine import harness
from tests.engine.plans import PLAN

SECRET = bytes(range(32))
LIMIT_S = 30.0
ROWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "users": [{"id": i, "name": f"u{i}", "plan": "pro" if i % 2 else "free"} for i in range(1, 101)],
    "posts": [{"id": i, "user_id": i % 100 + 1, "title": f"p{i}"} for i in range(1, 501)],
}
THREAD_FLAGS = [flag.replace("address,undefined", "thread") for flag in harness.FLAGS]


def compile_server(cache: Path, flags: Sequence[str] = tuple(harness.FLAGS), plan: Plan = PLAN) -> Path:
    """The server for the plan."""
    units = [*sorted(harness.ENGINE.glob("*.cc")), generated_unit(plan, cache)]
    return link("reflex-server", units, cache, flags)


def generated_unit(plan: Plan, cache: Path) -> Path:
    """The source that a build would generate."""
    unit = emit(plan).encode()
    generated = cache / f"plan-{_digest(unit)}.cc"
    generated.write_bytes(unit)
    return generated


def compile_units(cache: Path) -> Path:
    """net_units: the server's parts that need no network."""
    parts = ("feed_frames", "http_parser", "json_doc", "position", "sha256")
    sources = [Path(__file__).with_name("net_units.cc"), *(harness.ENGINE / f"{part}.cc" for part in parts)]
    return link("net-units", sources, cache, harness.FLAGS)


def link(name: str, sources: Sequence[Path], cache: Path, flags: Sequence[str]) -> Path:
    """Compiled objects are kept under a key of sources and flags, as the harness names them."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        headers = b"".join(path.read_bytes() for path in sorted(harness.ENGINE.glob("*.h")))
        text = " ".join(flags).encode()
        objects = {s: cache / f"{s.stem}-{_digest(headers, text, s.read_bytes())}.o" for s in sources}
        missing = [source for source, target in objects.items() if not target.exists()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda source: _compile(source, objects[source], flags), missing))
        target = cache / f"{name}-{_digest(*(path.name.encode() for path in objects.values()))}"
        if not target.exists():
            subprocess.run(["g++", *flags, "-pthread", *map(str, objects.values()), "-o", str(target)], check=True)
    return target


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _compile(source: Path, target: Path, flags: Sequence[str]) -> None:
    command = ["g++", *flags, "-I", str(harness.ENGINE), "-c", str(source), "-o", str(target)]
    outcome = subprocess.run(command, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def api_key(key_id: str = "k1", secret: bytes = SECRET) -> str:
    return f"rxk_{key_id}." + hmac.new(secret, key_id.encode(), hashlib.sha256).hexdigest()


def listening_socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    return listener


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A raw connection: bytes out, answers in."""

    def __init__(self, port: int, limit_s: float = LIMIT_S) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=limit_s)
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _until(self, done: Callable[[bytearray], bool]) -> None:
        while not done(self._received):
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError(bytes(self._received[-200:]))
            self._received += more

    def answer(self, head_only: bool = False) -> Answer:
        self._until(lambda data: b"\r\n\r\n" in data)
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if head_only else int(headers.get("content-length", "0"))
        self._until(lambda data: len(data) >= size)
        body = bytes(self._received[:size])
        del self._received[:size]
        return Answer(int(first.split()[1]), headers, body)

    def chunk(self) -> bytes:
        """The next piece of a chunked body; nothing for the last."""
        self._until(lambda data: b"\r\n" in data)
        size = bytes(self._received).partition(b"\r\n")[0]
        begin, end = len(size) + 2, len(size) + 2 + int(size, 16)
        self._until(lambda data: len(data) >= end + 2)
        piece = bytes(self._received[begin:end])
        del self._received[: end + 2]
        return piece

    def rest(self) -> bytes:
        """Everything up to the connection's end."""
        with contextlib.suppress(EOFError):
            self._until(lambda _: False)
        return bytes(self._received)

    def ask(self, data: bytes) -> Answer:
        self.send(data)
        return self.answer()

    def is_closed(self) -> bool:
        """Waits for the server to close; False where it sent more instead."""
        try:
            return not self._received and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def post(query: str | bytes, key: str | None = None, extra: str = "") -> bytes:
    body = query.encode() if isinstance(query, str) else query
    bearer = f"Authorization: Bearer {api_key() if key is None else key}\r\n" if key != "" else ""
    return f"POST /query HTTP/1.1\r\nHost: x\r\n{bearer}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str, extra: str = "", key: str | None = None) -> bytes:
    bearer = f"Authorization: Bearer {api_key() if key is None else key}\r\n" if key != "" else ""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{bearer}{extra}\r\n".encode()


class Server:
    def __init__(
        self, program: Path, *options: str, listener: socket.socket | None = None, directory: Path | None = None
    ) -> None:
        """`directory`: another's, which outlives this one."""
        self._temporary = tempfile.TemporaryDirectory(prefix="engine")
        self.directory = directory or Path(self._temporary.name)
        self.listener = listening_socket() if listener is None else listener.dup()
        self.port: int = self.listener.getsockname()[1]
        self.log_path = self.directory / "log"
        fd = self.listener.fileno()
        (self.directory / "server.sock").unlink(missing_ok=True)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [str(program), "--dir", str(self.directory), "--listen-fd", str(fd), "--threads", "2", *options],
                pass_fds=[fd],
                stderr=log,
            )
        try:
            until(lambda: (self.directory / "server.sock").exists() or self.process.poll() is not None)
            assert self.process.poll() is None, self.log_path.read_text()
            self.orders = self.channel()
            self.orders.hello(feed.Role.DEPLOYER, None)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def channel(self) -> PrivateChannel:
        return PrivateChannel(self.directory, LIMIT_S)

    def raw_channel(self) -> socket.socket:
        private = socket.socket(socket.AF_UNIX)
        private.settimeout(LIMIT_S)
        private.connect(str(self.directory / "server.sock"))
        return private

    def sync(self, mode: str = "poll") -> PrivateChannel:
        """A connection of a sync that works in this mode."""
        channel = self.channel()
        channel.hello(feed.Role.SYNC, PLAN.fingerprint(), mode)
        return channel

    @property
    def version(self) -> int:
        """Of the snapshot that serves."""
        return int(self.orders.request(feed.status())["version"])

    def load(self, rows: Mapping[str, Sequence[Mapping[str, Any]]] = ROWS, sync: PrivateChannel | None = None) -> int:
        """A whole snapshot; answers its version."""
        if sync is None:
            with self.sync() as own:
                return self.load(rows, own)
        sync.request(feed.snapshot_begin(datetime.now(UTC), "here"))
        for index, table in enumerate(PLAN.tables):
            sync.send(feed.table(index))
            if table.name in rows:
                for body in harness.bodies(PLAN, index, rows[table.name]):
                    sync.send(feed.Frame(feed.Kind.ROWS, (body,)))
        version: int = sync.request(feed.snapshot_commit())["version"]
        return version

    def ready(self, rows: Mapping[str, Sequence[Mapping[str, Any]]] = ROWS) -> Self:
        self.load(rows)
        self.orders.request(feed.keys(SECRET, {"k1": None}))
        self.orders.request(feed.serve())
        return self

    def kill(self) -> None:
        """As a crash would end it."""
        self.orders.close()
        self.listener.close()
        self.process.kill()
        self.process.wait()

    def client(self) -> Client:
        return Client(self.port)

    def ask(self, data: bytes) -> Answer:
        with self.client() as client:
            return client.ask(data)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.orders.close()
        self.listener.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        # A second signal ends what tests left open.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(LIMIT_S)
        finally:
            self.process.kill()
            self.process.wait()
        text = self.log_path.read_text(errors="replace")
        self._temporary.cleanup()
        if kind is None:
            assert code == 0, f"status {code}: {text[-4000:]}"
            assert "Sanitizer" not in text, text[-8000:]
            assert "runtime error" not in text, text[-8000:]


def metric(server: Server, name: str) -> int:
    """A total of the server's, without labels."""
    lines = server.ask(get("/metrics")).body.decode().splitlines()
    return int(float(next(line for line in lines if line.startswith(f"reflexdb_{name} ")).split()[1]))


def wait_readable(connection: socket.socket, limit_s: float) -> bool:
    return bool(select.select([connection], [], [], limit_s)[0])


def open_descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json()["error"]) == (status, code)
    assert answer.json()["message"].endswith(".")
    assert answer.headers["content-type"] == "application/json"
