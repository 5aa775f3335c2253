"""Puts a server under load with keep-alive connections: wrk where it is installed, a small generator of our own
elsewhere; answers of many megabytes are asked for one by one.

Called by the contenders. All ask the same prepared requests in turn and report rate, latencies and failures. Our own
generator is limited by Python long before the servers are, so its rates compare nothing; CPU time per request still
does.
"""

from __future__ import annotations

import http.client
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
SLOWEST_S = 60.0
"""A request that takes longer has failed."""
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
    least_ms: float = 0.0

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


def post(path: str, body: str, *headers: str) -> bytes:
    """A whole HTTP request."""
    data = body.encode()
    lines = [f"POST {path} HTTP/1.1", "Host: bench", *headers, f"Content-Length: {len(data)}", "", ""]
    return "\r\n".join(lines).encode() + data


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def port_of(endpoint: str) -> int:
    port = urlsplit(endpoint).port
    assert port is not None, endpoint
    return port


def answers(port: int, prepared: list[bytes]) -> list[bytes]:
    """The bodies, on one connection."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=SLOWEST_S) as connection:
        for request in prepared:
            connection.sendall(request)
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                found.append(response.read())
                assert response.status == 200, (request[:500], response.status, found[-1][:500])
    return found


def one_by_one(port: int, prepared: list[bytes], seconds: float) -> Result:
    """Asks and takes the whole answer, on one connection; at least once."""
    latencies: list[float] = []
    failed, room = 0, memoryview(bytearray(1 << 20))
    begin = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=SLOWEST_S) as connection:
        while not latencies or time.perf_counter() - begin < seconds:
            sent = time.perf_counter()
            connection.sendall(prepared[len(latencies) % len(prepared)])
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                while response.readinto(room):
                    pass
            latencies.append((time.perf_counter() - sent) * 1000)
            failed += response.status != 200
    return of_latencies("one connection", latencies, time.perf_counter() - begin, failed)


def of_latencies(tool: str, latencies: list[float], seconds: float, failed: int = 0) -> Result:
    """Latencies are in ms."""
    assert latencies, "no request was answered"
    ordered = sorted(latencies)
    half, most = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.50, 0.99))
    return Result(tool, len(ordered), seconds, half, most, failed, ordered[0])


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
        command = [wrk, "-t1", f"-c{connections}", f"-d{whole}s", "--latency", "--timeout", f"{SLOWEST_S:.0f}s"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}/"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=whole + 2 * SLOWEST_S).stdout
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
    return of_latencies("the bundled generator", latencies, took, failed)
