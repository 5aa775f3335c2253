"""Following MariaDB and PostgreSQL: from a commit until it is answered, at a steady rate; how many changes a second are
taken in when there is a backlog; and what queries and processors notice of it.

`make bench-following`, or `python -m bench.following --seconds 10`. Private servers, one instance behind a control
plane of its own, everything over loopback. The writer and the client that asks are processes of their own, and read one
clock. CPU time is the kernel's account of the processes: server, sync and source apart. Writes bench/out/following.md
and prints it. Decides what is measured; the writer is in `writing`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import processes, sources, writing
from reflexdb.cli.demo.plane import Plane, processes_in, running
from reflexdb.cli.demo.steps import act, endpoint_of
from reflexdb.cli.progress import progress

OUT = Path(__file__).parent / "out"
ASK_EVERY_S = 0.001
CLIENT_NICENESS = -10
"""Of the client, where we may: it stands for another machine, and measures its own wait for a processor else."""
LIMIT_S = 300.0
REST_S = 2.0
"""After a deployment, whose first checkpoint is then written."""
BACKLOG = ((200, 1_000), (4_000, 10))
"""Transactions, and rows in each."""


@dataclass
class Probe:
    """Asks for the marker's row again and again."""

    host: str
    port: int
    key: str
    took: list[float] = field(default_factory=list)
    seen: list[tuple[float, int]] = field(default_factory=list)
    """When an answer came, and the marker in it."""

    def ask(self, connection: http.client.HTTPConnection) -> int:
        began = time.monotonic()
        connection.request("POST", "/query", "items(id = 0) { n }", {"Authorization": f"Bearer {self.key}"})
        response = connection.getresponse()
        body = response.read()
        ended = time.monotonic()
        assert response.status == 200, body
        marker = int(json.loads(body)[0]["n"])
        self.took.append(ended - began)
        self.seen.append((ended, marker))
        return marker

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    @contextmanager
    def asking(self) -> Iterator[None]:
        ended = threading.Event()
        connection = self.connect()

        def loop() -> None:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), CLIENT_NICENESS)
            while not ended.wait(ASK_EVERY_S):
                self.ask(connection)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            connection.close()

    def took_between(self, begin: float, end: float) -> list[float]:
        """Of the answers that came then: not while the writer's process was started."""
        return [took for took, (at, _) in zip(self.took, self.seen, strict=True) if begin <= at <= end]

    def until(self, marker: int) -> float:
        """When the marker was answered."""
        connection, end = self.connect(), time.monotonic() + LIMIT_S
        while self.ask(connection) < marker:
            assert time.monotonic() < end, f"marker {marker} did not come within {LIMIT_S:.0f} s"
            time.sleep(ASK_EVERY_S)
        connection.close()
        return self.seen[-1][0]


@dataclass(frozen=True, slots=True)
class Cpu:
    server: float
    sync: float
    source: float

    def since(self, former: Cpu) -> Cpu:
        return Cpu(self.server - former.server, self.sync - former.sync, self.source - former.source)


class Bench:
    """One source, one instance."""

    def __init__(self, backend: str, login: writing.Login, plane: Plane, source_pid: int, options: Any) -> None:
        self.backend, self.login, self.plane, self.source_pid = backend, login, plane, source_pid
        self.options = options
        with plane.client() as client, progress() as show:
            name = f"bench-{backend}"
            connection = client.create_connection(
                name=name,
                backend=backend,
                **sources.reached(login),
            )["connection"]
            database = client.register_database(
                connectionId=connection["id"], name=name, mysqlDb="bench", instanceSize="medium"
            )
            status = act(plane, client, database["id"], "provision", show)
            self.database = database["id"]
            self.key = client.create_api_key(self.database, "bench")["key"]
            self.mode = client.freshness(self.database)["mode"]
            place = urlsplit(endpoint_of(status))
        self.host, self.port = str(place.hostname), int(place.port or 0)

    def probe(self) -> Probe:
        return Probe(self.host, self.port, self.key)

    def cpu(self) -> Cpu:
        ours = processes_in(self.plane.data)
        server = [pid for pid in ours if processes.name(pid).startswith("reflex-server")]
        sync = [pid for pid in ours if b"reflexdb.sync" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        source = [self.source_pid, *processes.children(self.source_pid)]
        return Cpu(*(processes.cpu_seconds(pids) for pids in (server, sync, source)))

    def steady(self) -> tuple[str, str]:
        """Rows of the two tables: latency at the rate asked for, and queries without and with the stream."""
        idle = self.probe()
        time.sleep(REST_S)
        with idle.asking():
            time.sleep(self.options.seconds)
        busy, before = self.probe(), self.cpu()
        with busy.asking():
            written = self.write("steady", self.options.seconds, self.options.rate)
            busy_cpu = self.cpu().since(before)
            time.sleep(2.0)
        late = sorted(latencies(written, busy.seen))
        rate = len(written) * writing.STEADY_ROWS / self.options.seconds
        share = [100 * each / self.options.seconds for each in (busy_cpu.server, busy_cpu.sync, busy_cpu.source)]
        first = f"| {sources.NAMES[self.backend]} | {rate:,.0f} | {ms(late, 0.5)} | {ms(late, 0.99)} | " + " | ".join(
            f"{each:.0f} %" for each in share
        )
        quiet, loud = sorted(idle.took), sorted(busy.took_between(written[0][0], written[-1][0]))
        ratio = at(loud, 0.99) / at(quiet, 0.99)
        queries = [ms(quiet, 0.5), ms(loud, 0.5), ms(quiet, 0.99), ms(loud, 0.99)]
        return first + " |", f"| {sources.NAMES[self.backend]} | " + " | ".join(queries) + f" | {ratio:.1f} |"

    def backlog(self, transactions: int, rows: int) -> str:
        """A row: how fast what has piled up is taken in."""
        with self.plane.client() as client:
            client.pause_replication(self.database)
            marker = self.write("backlog", transactions, rows)[-1][1]
            before, began = self.cpu(), time.monotonic()
            client.resume_replication(self.database)
        seconds = self.probe().until(marker) - began
        cpu = self.cpu().since(before)
        changes = transactions * (rows + 1)
        each = [1e6 * part / changes for part in (cpu.server, cpu.sync)]
        return (
            f"| {sources.NAMES[self.backend]} | {transactions:,} of {rows + 1:,} | {changes / seconds:,.0f} "
            f"| {changes / (cpu.server + cpu.sync):,.0f} | {each[0]:.1f} µs | {each[1]:.1f} µs |"
        )

    def write(self, what: str, *arguments: float) -> list[tuple[float, int]]:
        """When each transaction was committed, and its marker."""
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            return pool.apply(writing.write, (self.login, what, arguments))


def latencies(written: list[tuple[float, int]], seen: list[tuple[float, int]]) -> Iterator[float]:
    """Seconds from each commit until the first answer that has it."""
    answers = iter(seen)
    at, marker = next(answers)
    for committed, wanted in written:
        while marker < wanted:
            at, marker = next(answers, (float("inf"), wanted))
        yield max(0.0, at - committed)


def at(ordered: list[float], part: float) -> float:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def ms(ordered: list[float], part: float) -> str:
    return f"{at(ordered, part) * 1e3:.1f} ms"


def page(steady: list[str], queries: list[str], backlog: list[str], options: argparse.Namespace) -> str:
    lines = [
        "# Following",
        "",
        f"- {processes.machine()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- {writing.ROWS:,} rows of five columns; {writing.STEADY_ROWS} row changes a transaction; "
        f"one client asks every {ASK_EVERY_S * 1e3:g} ms",
        f"- again: `make bench-following BENCH_ARGS='--seconds {options.seconds:g} --rate {options.rate}'`",
        "",
        "| source | row changes/s | commit until visible, p50 | p99 | CPU, server | sync | source |",
        "|---|---|---|---|---|---|---|",
        *steady,
        "",
        "| source | query p50, idle | with the stream | p99, idle | with the stream | ratio of p99 |",
        "|---|---|---|---|---|---|",
        *queries,
        "",
        "| source | backlog | row changes/s | a CPU second of server and sync | server, a change | sync, a change |",
        "|---|---|---|---|---|---|",
        *backlog,
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def bench(backend: str, plane: Plane, options: argparse.Namespace) -> Iterator[Bench]:
    with sources.started(backend) as (source_pid, login):
        writing.write(login, "prepare", ())
        found = Bench(backend, login, plane, source_pid, options)
        yield found
        with plane.client() as client, progress() as show:
            act(plane, client, found.database, "terminate", show)


def main() -> int:
    parser = argparse.ArgumentParser(description="Following MariaDB and PostgreSQL.")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measurement, at most 60")
    parser.add_argument("--rate", type=int, default=2_000, help="row changes a second")
    parser.add_argument("--source", choices=sorted(sources.STARTERS), help="only this one")
    options = parser.parse_args()
    if not 0 < options.seconds <= 60 or not 10 <= options.rate <= 100_000:
        parser.error("--seconds must be at most 60, --rate from 10 to 100,000")
    steady, queries, backlog = list[str](), list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder, running(Path(folder) / "data") as plane:
        for backend in [options.source] if options.source else sorted(sources.STARTERS):
            with bench(backend, plane, options) as one:
                assert one.mode != "poll", "the source can't be followed"
                first, second = one.steady()
                steady.append(first)
                queries.append(second)
                backlog += [one.backlog(*each) for each in BACKLOG]
    text = page(steady, queries, backlog, options)
    OUT.mkdir(exist_ok=True)
    (OUT / "following.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
