"""The control plane with a thousand databases and a hundred thousand builds: how long its answers take, and what an
idle look of the reconciler costs.

`make bench-control`, or `python -m bench.control_plane`. The records are written through the records' own modules; the
control plane is a process of its own, asked over loopback on one connection, one request at a time. Each kind of
request is asked twice: while nothing else happens, which gives the CPU time of a request and nothing else; and while
builds wait in the queue and one is carried out, where the CPU time holds whatever the control plane did meanwhile.
Builds that were carried out are asked for again before each kind, so that as many are queued for all of them. Prints
a table; the numbers that were kept are in docs/explain/performance.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import processes
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings, new_id
from reflexdb.records import builds, connections, databases

LIMIT_S = 60.0
LARGE = 10
"""Databases with a history of its own order."""
LARGE_BUILDS = 5_000
DIGESTS = 8
"""Different images of a database: the same schema gives the same one."""


@dataclass(frozen=True, slots=True)
class Made:
    key: str
    databases: list[str]
    large: list[str]
    small: list[str]


@dataclass(frozen=True, slots=True)
class Timing:
    what: str
    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    """The first of a long history after a start, mostly: it is read once."""
    cpu_ms: float
    """Of the control plane's process, by the kernel, with whatever else it did meanwhile."""
    size: int


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-control-") as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        made = fill(data, options)
        print(f"{processes.machine()}, load {os.getloadavg()[0]:.1f}", flush=True)
        with served(data) as (process, port):
            measure(Asker(port, made.key), made, process.pid, options)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The control plane's answers among many databases and builds.")
    parser.add_argument("--databases", type=int, default=1_000)
    parser.add_argument("--builds", type=int, default=100_000)
    parser.add_argument("--queued", type=int, default=50)
    parser.add_argument("--requests", type=int, default=1_000, help="of each kind")
    options = parser.parse_args()
    if options.databases < LARGE + options.queued or options.builds < LARGE * LARGE_BUILDS:
        parser.error(f"at least {LARGE} databases more than queued ones, and {LARGE * LARGE_BUILDS} builds")
    return options


def fill(data: Path, options: argparse.Namespace) -> Made:
    """Connections, databases and their builds, as years of use would leave them."""
    source = data.parent / "source.db"
    with sqlite3.connect(source) as db:
        db.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    db.close()
    (data / "logs" / "builds").mkdir(parents=True)
    control = open_control(data, Settings(base_url="http://127.0.0.1:8400"), "127.0.0.1")
    first = control.accounts.ensure_first()
    assert first is not None
    (data / "admin.key").write_text(first.key)
    ids = [new_id() for _ in range(options.databases)]
    each = (options.builds - LARGE * LARGE_BUILDS) // (options.databases - LARGE)
    write_databases(control, first.row.customer_id, ids, source)
    with control.rooms.store.write() as tx:
        for place, database_id in enumerate(ids):
            count = LARGE_BUILDS if place < LARGE else each
            builds.add_many(tx, database_id, [build(number, place) for number in range(count)])
    control.rooms.store.close()
    return Made(first.key, ids, ids[:LARGE], ids[LARGE:])


def write_databases(control: Control, customer_id: str, ids: list[str], source: Path) -> None:
    connection_id, now = new_id(), datetime.now(UTC)
    with control.rooms.store.write() as tx:
        connections.add(
            tx, id=connection_id, customer_id=customer_id, name="source", backend="sqlite", host=str(source), port=3306,
            user="", available_schemas=["main"], sync_mode="poll", sync_interval_s=30, created_at=now, updated_at=now,
        )  # fmt: skip
        for place, database_id in enumerate(ids):
            databases.add(
                tx, id=database_id, customer_id=customer_id, connection_id=connection_id, name=f"database {place}",
                schema_name="main", instance_size="nano", log_level="info", status="registered", region="local",
                tags=[{"label": "bench", "color": "#123456"}], created_at=now, updated_at=now,
                config_text=f"sync:\n  interval: {30 + place}\n" if place % 2 else None,
                pause_schedule={"pauseAt": "22:00", "resumeAt": "06:00", "days": []} if place % 10 == 0 else None,
                schedule_checked_at=now if place % 10 == 0 else None,
            )  # fmt: skip
    control.rooms.secrets.put_all({f"database/{each}/hmac": bytes(32) for each in ids})


def build(number: int, place: int) -> dict[str, object]:
    """One of a long history: mostly succeeded, with an image that is not kept any more."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    failed = number % 7 == 3
    digest = f"sha256:{place:032x}{number % DIGESTS:032x}"
    phases = [{"name": name, "startedAt": stamp(at), "finishedAt": stamp(at)} for name in ("plan", "emit", "compile")]
    return {
        "id": new_id(),
        "status": "failed" if failed else "succeeded",
        "image_digest": None if failed else digest,
        "image_uri": None if failed else f"oci:/data/images@{digest}",
        "config_text": "sync:\n  interval: 30\n",
        "compute_type": "small",
        "cost_cents": 1,
        "duration_s": 9,
        "error": "build (compile): it did not compile" if failed else None,
        "created_at": at,
        "started_at": at,
        "finished_at": at,
        "phases": phases,
    }


def stamp(time_: datetime) -> str:
    return time_.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextmanager
def served(data: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "reflexdb", "serve", "--data", str(data), "--port", "0", "--ephemeral",
         "--rate-limit", "100000"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + LIMIT_S
        while not (data / "control.json").exists():
            assert process.poll() is None, "the control plane does not start"
            assert time.monotonic() < deadline, "the control plane takes too long to start"
            time.sleep(0.05)
        yield process, int(json.loads((data / "control.json").read_text())["url"].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(LIMIT_S)


class Asker:
    """One keep-alive connection with one request in flight."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self._headers = {"Authorization": f"Bearer {key}"}

    def __call__(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        self._connection.request(method, f"/v1{path}", headers=self._headers)
        reply = self._connection.getresponse()
        return reply.status, reply.read()


def measure(ask: Asker, made: Made, pid: int, options: argparse.Namespace) -> None:
    time.sleep(3)
    print(f"idle: {idle(pid):.2f} % of a core, {memory(pid)}", flush=True)
    table("nothing is queued", ask, made, pid, options, lambda: None)
    before, began = processes.cpu_seconds([pid]), time.monotonic()
    table(f"{options.queued} builds are queued", ask, made, pid, options, lambda: fill_queue(ask, made, options.queued))
    share = (processes.cpu_seconds([pid]) - before) / (time.monotonic() - began) * 100
    print(f"\n{waiting(ask, made):,} builds still wait or run; {share:.0f} % of a core meanwhile; {memory(pid)}")


def table(
    when: str, ask: Asker, made: Made, pid: int, options: argparse.Namespace, prepare: Callable[[], None]
) -> None:
    dice = random.Random(7)
    kinds: tuple[tuple[str, Callable[[], str]], ...] = (
        (f"list {options.databases} databases", lambda: "/databases"),
        ("instance status", lambda: f"/databases/{dice.choice(made.databases)}/instance"),
        ("build history, any database", lambda: f"/databases/{dice.choice(made.databases)}/builds"),
        ("build history of 5,000", lambda: f"/databases/{dice.choice(made.large)}/builds"),
        ("build history, 100 of 5,000", lambda: f"/databases/{dice.choice(made.large)}/builds?limit=100"),
    )
    print(f"\nwhile {when}, load {os.getloadavg()[0]:.1f}:\n")
    print(
        "| request | answers | p50 ms | p99 ms | most ms | CPU ms | mean bytes |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for what, path in kinds:
        prepare()
        found = timing(ask, pid, what, path, options.requests)
        took = f"{found.p50_ms:.1f} | {found.p99_ms:.1f} | {found.most_ms:.1f} | {found.cpu_ms:.1f}"
        print(f"| {found.what} | {found.count} | {took} | {found.size:,} |", flush=True)


def fill_queue(ask: Asker, made: Made, queued: int) -> None:
    """Ask for builds of databases that have none under way until so many are."""
    missing = queued - waiting(ask, made)
    for each in json.loads(ask("/databases")[1]):
        action = {"registered": "provision", "running": "rebuild"}.get(each["status"])
        if missing > 0 and action is not None and each["id"] not in made.large:
            status, body = ask(f"/databases/{each['id']}/{action}", "POST")
            assert status == 202, body
            missing -= 1


def waiting(ask: Asker, made: Made) -> int:
    large = set(made.large)
    return sum(each["status"] == "building" and each["id"] not in large for each in json.loads(ask("/databases")[1]))


def memory(pid: int) -> str:
    return f"{processes.resident_bytes([pid]) / 1e6:.0f} MB resident"


def idle(pid: int) -> float:
    """What the control plane uses while nobody asks and nothing changes, in percent of a core."""
    before, began = processes.cpu_seconds([pid]), time.monotonic()
    time.sleep(10)
    return (processes.cpu_seconds([pid]) - before) / (time.monotonic() - began) * 100


def timing(ask: Asker, pid: int, what: str, path: Callable[[], str], count: int) -> Timing:
    for _ in range(20):
        ask(path())
    took, sizes, before = [], 0, processes.cpu_seconds([pid])
    for _ in range(count):
        where = path()
        began = time.perf_counter()
        status, body = ask(where)
        took.append((time.perf_counter() - began) * 1000)
        assert status == 200, body
        sizes += len(body)
    cpu_ms = (processes.cpu_seconds([pid]) - before) / count * 1000
    took.sort()
    return Timing(
        what, count, took[count // 2], took[min(count - 1, int(count * 0.99))], took[-1], cpu_ms, sizes // count
    )


if __name__ == "__main__":
    sys.exit(main())
