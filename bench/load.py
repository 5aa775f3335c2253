"""Puts a server under load with keep-alive connections: wrk where it is installed, a small generator of our own
elsewhere.

Called by run.py. Both ask the same prepared requests in turn and report rate, latencies and failures. Our own is
limited by Python long before the servers are, so its rates compare nothing; CPU time per request still does.
"""

from __future__ import annotations

import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    tool: str
    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


def requests(queries: list[str], key: str) -> list[bytes]:
    """Whole HTTP requests."""
    made = []
    for query in queries:
        body = query.encode()
        head = (
            f"POST /query HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def port_of(endpoint: str) -> int:
    port = urlsplit(endpoint).port
    assert port is not None, endpoint
    return port


def run(port: int, prepared: list[bytes], seconds: float, connections: int) -> Result:
    wrk = shutil.which("wrk")
    return by_wrk(wrk, port, prepared, seconds, connections) if wrk else by_hand(port, prepared, seconds, connections)


def by_wrk(wrk: str, port: int, prepared: list[bytes], seconds: float, connections: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-wrk-") as folder:
        script = Path(folder) / "requests.lua"
        listed = ",\n".join(lua_string(request) for request in prepared)
        script.write_text(
            f"local requests = {{\n{listed}\n}}\nlocal n = 0\n"
            "request = function() n = n % #requests + 1 return requests[n] end\n"
        )
        whole = max(1, round(seconds))
        command = [wrk, "-t1", f"-c{connections}", f"-d{whole}s", "--latency", "-s", str(script)]
        said = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/query"], capture_output=True, text=True, check=True, timeout=whole + 30
        ).stdout
    return parsed(said)


def lua_string(data: bytes) -> str:
    return (
        '"' + "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}" for byte in data) + '"'
    )


def parsed(said: str) -> Result:
    """What wrk printed."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", said)
    assert total, said
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    if errors := re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said):
        failed += sum(int(number) for number in errors.groups())
    seconds = float(total[2]) * UNITS_MS[total[3]] / 1000
    return Result("wrk", int(total[1]), seconds, percentile(said, 50), percentile(said, 99), failed)


def percentile(said: str, which: int) -> float:
    found = re.search(rf"^ +{which}%\s+([\d.]+)(us|ms|s|m)", said, re.MULTILINE)
    assert found, said
    return float(found[1]) * UNITS_MS[found[2]]


class Client:
    """One keep-alive connection with one request in flight."""

    def __init__(self, port: int, prepared: list[bytes], turn: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._prepared, self._turn, self._buffer, self._sent = prepared, turn, b"", 0.0

    def ask(self) -> None:
        self._turn = (self._turn + 1) % len(self._prepared)
        self._buffer, self._sent = b"", time.perf_counter()
        self.socket.sendall(self._prepared[self._turn])

    def read(self) -> tuple[float, bool] | None:
        """Latency in ms and whether it was a 200, once the answer is whole."""
        data = self.socket.recv(1 << 18)
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if data and end < 0:
            return None
        length = LENGTH.search(self._buffer[: end + 4])
        if data and length and len(self._buffer) < end + 4 + int(length[1]):
            return None
        good = bool(data and length and self._buffer.startswith(b"HTTP/1.1 200"))
        return (time.perf_counter() - self._sent) * 1000, good


def by_hand(port: int, prepared: list[bytes], seconds: float, connections: int) -> Result:
    """The same with selectors, for where wrk is missing."""
    latencies: list[float] = []
    failed = 0
    with selectors.DefaultSelector() as ready:
        clients = [Client(port, prepared, turn * 31 % len(prepared)) for turn in range(connections)]
        begin = time.perf_counter()
        for client in clients:
            ready.register(client.socket, selectors.EVENT_READ, client)
            client.ask()
        while time.perf_counter() - begin < seconds:
            for key, _ in ready.select(timeout=1):
                client = key.data
                if (answer := client.read()) is not None:
                    latencies.append(answer[0])
                    failed += not answer[1]
                    client.ask()
        took = time.perf_counter() - begin
        for client in clients:
            client.socket.close()
    latencies.sort()
    assert latencies, "no request was answered"
    half, most = (latencies[min(len(latencies) - 1, int(len(latencies) * share))] for share in (0.50, 0.99))
    return Result("the bundled generator", len(latencies), took, half, most, failed)
