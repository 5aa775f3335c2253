"""Redis with ReflexDB's answers as values: GET, from redis-benchmark, without pipelining."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench import load, processes
from bench.cases import CHECKED, Case
from bench.contenders.base import Contender, Measured, MissingError, Options, digest
from bench.contenders.reflex import Reflex
from bench.load import Result

PROBE = 20_000


class Redis(Contender):
    name = "Redis"
    about = "GET of the ready-made answer by a key; redis-benchmark, no pipelining"
    left_out = MappingProxyType(dict.fromkeys(("filter", "top", "dump"), "it has no queries, only keys"))

    def __init__(self, process: subprocess.Popen[bytes], port: int, tool: str) -> None:
        self._process, self.port, self._tool = process, port, tool
        self._sizes: dict[str, int] = {}

    def pids(self) -> list[int]:
        return processes.tree(self._process.pid)

    def fill(self, ours: Reflex, case: Case, arguments: list[int]) -> None:
        bodies = load.answers(ours.port, [ours.request(case, argument) for argument in arguments])
        self._sizes[case.key] = sum(map(len, bodies)) // len(bodies)
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            for n, body in enumerate(bodies):
                key = f"{case.key}:{n:012d}".encode()
                connection.sendall(command(b"SET", key, body))
                assert connection.recv(64) == b"+OK\r\n"

    def digests(self, case: Case, arguments: list[int]) -> list[str]:
        found: list[str] = []
        with socket.create_connection(("127.0.0.1", self.port)) as connection, connection.makefile("rb") as file:
            for n in range(min(CHECKED, len(arguments))):
                connection.sendall(command(b"GET", f"{case.key}:{n:012d}".encode()))
                size = int(file.readline()[1:])
                answer: Any = json.loads(file.read(size + 2))
                found.append(digest(answer))
        return found

    def measure(self, case: Case, arguments: list[int], options: Options) -> Measured:
        with processes.on_core(self.pids(), 0):
            rate = self._run(case, len(arguments), PROBE, options.connections).rate
            before = processes.cpu_seconds(self.pids())
            count = max(PROBE, int(rate * options.seconds))
            result = self._run(case, len(arguments), count, options.connections)
            cpu = processes.cpu_seconds(self.pids()) - before
        held = processes.held_bytes(self.pids())
        return Measured(self.name, result, cpu, options.connections, held, self._sizes[case.key])

    def _run(self, case: Case, keys: int, count: int, connections: int) -> Result:
        asked = [self._tool, "-h", "127.0.0.1", "-p", str(self.port), "-c", str(connections), "-n", str(count)]
        asked += ["-r", str(keys), "--csv", "--precision", "3", "GET", f"{case.key}:__rand_int__"]
        begin = time.perf_counter()
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120).stdout
        took = time.perf_counter() - begin
        (row,) = list(csv.DictReader(io.StringIO(said)))
        seconds = count / float(row["rps"]) if float(row["rps"]) else took
        return Result("redis-benchmark", count, seconds, float(row["p50_latency_ms"]), float(row["p99_latency_ms"]), 0)


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    server, tool = processes.find("redis-server"), processes.find("redis-benchmark")
    if server is None or tool is None:
        raise MissingError("apt-get install redis-server redis-tools")
    folder.mkdir()
    port = processes.free_port()
    started = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with processes.program([*started, "--dir", str(folder)], "redis", port, folder) as process:
        yield Redis(process, port, tool)
