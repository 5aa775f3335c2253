"""What the safety net costs: a table read whole, one that nobody has changed, and one with some changes.

`make bench-verify`, or `python -m bench.verifying --rows 100000`. Private MariaDB and PostgreSQL, one after the other;
one instance behind a control plane of its own, whose safety net begins again a few seconds after it has ended. Time is
sync's own account in its log, rests included; CPU time the kernel's, of the server, sync and the source, from one
verification's end to the next one's. Writes bench/out/verifying.md and prints it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import processes, sources, writing
from reflexdb.cli.demo.plane import Plane, processes_in, running
from reflexdb.cli.demo.steps import act
from reflexdb.cli.progress import progress

OUT = Path(__file__).parent / "out"
SAFETY_NET_S = 5
LIMIT_S = 900.0
TOUCHED = 1_000
"""Rows in ten places."""


def fill(login: writing.Login, rows: int) -> None:
    numbers, text = f"seq_1_to_{rows}", "seq"
    if login.backend == "postgres":
        numbers, text = f"generate_series(1, {rows}) AS made(seq)", "seq::text"
    writing.create(login)
    with writing.connected(login, "bench") as (connection, cursor):
        cursor.execute("CREATE TABLE items (id int PRIMARY KEY, n int, price decimal(12, 2), body varchar(200))")
        cursor.execute(
            f"INSERT INTO items SELECT seq, mod(seq, 1000), seq / 7.0, repeat(md5({text}), 3) FROM {numbers}"
        )
        connection.commit()


class Bench:
    def __init__(self, plane: Plane, login: writing.Login, source_pid: int) -> None:
        self.plane, self.login, self.source_pid = plane, login, source_pid
        with plane.client() as client, progress() as show:
            name = f"bench-{login.backend}"
            connection = client.create_connection(name=name, backend=login.backend, **sources.reached(login))
            self.database = client.register_database(
                connectionId=connection["connection"]["id"], name=name, mysqlDb="bench", instanceSize="medium"
            )["id"]
            client.put_config(self.database, f"version: 1\nsync:\n  safety_net: {SAFETY_NET_S}\n")
            act(plane, client, self.database, "provision", show)
        self.log = plane.data / "instances" / self.database / "current" / "sync.log"
        self.seen = 0
        self.before = self.cpu()

    def cpu(self) -> list[float]:
        ours = processes_in(self.plane.data)
        server = [pid for pid in ours if processes.name(pid).startswith("reflex-server")]
        sync = [pid for pid in ours if b"reflexdb.sync" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        source = [self.source_pid, *processes.children(self.source_pid)]
        return [*map(processes.cpu_seconds, (server, sync)), processes.cpu_seconds(source, ended=True)]

    def row(self, what: str, read: str | None = None) -> str:
        """The next verification, or the next that read so much."""
        while True:
            entry = self._next()
            now = self.cpu()
            took, self.before = [after - before for after, before in zip(now, self.before, strict=True)], now
            if read in (None, entry["read"]):
                cells = " | ".join(f"{each:.2f} s" for each in took)
                name = sources.NAMES[self.login.backend]
                return f"| {name} | {what} | {entry['read']} | {entry['duration_ms'] / 1000:.1f} s | {cells} |"

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
            found = [entry for entry in lines if entry["action"] == "verified"][self.seen :]
            if found:
                self.seen += 1
                return dict(found[0])
            time.sleep(0.05)
        raise TimeoutError(f"nothing was verified within {LIMIT_S:.0f} s; see {self.log}")

    def touch(self, rows: int) -> None:
        with writing.connected(self.login, "bench") as (connection, cursor):
            for place in range(10):
                first = 1 + place * rows // 10
                cursor.execute(
                    "UPDATE items SET n = n + 1 WHERE id BETWEEN %s AND %s", (first, first + TOUCHED // 10 - 1)
                )
            connection.commit()


def page(rows: list[str], options: argparse.Namespace) -> str:
    lines = [
        "# The safety net",
        "",
        f"- {processes.machine()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- one table of {options.rows:,} rows of about 120 bytes; {TOUCHED:,} rows are changed in ten places",
        f"- again: `make bench-verify BENCH_ARGS='--rows {options.rows}'`",
        "",
        "| source | since the last time | read | it took | CPU, server | sync | source |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="What the safety net costs.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    if not 10_000 <= options.rows <= 5_000_000:
        parser.error("--rows must be from 10,000 to 5,000,000")
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder, running(Path(folder) / "data") as plane:
        for backend in sorted(sources.STARTERS):
            with sources.started(backend) as (source_pid, login):
                fill(login, options.rows)
                bench = Bench(plane, login, source_pid)
                rows += [bench.row("never verified"), bench.row("nothing changed")]
                bench.touch(options.rows)
                rows.append(bench.row(f"{TOUCHED:,} rows changed", "10 ranges"))
                with plane.client() as client, progress() as show:
                    act(plane, client, bench.database, "terminate", show)
    text = page(rows, options)
    OUT.mkdir(exist_ok=True)
    (OUT / "verifying.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
