"""How long a redeploy of a past build takes: with the checkpoint of the instance that serves, and without one.

`make bench-rollback`, or `python -m bench.rollback --mb 100`. A SQLite file, a MariaDB and a PostgreSQL of about so
much data, one after the other; one instance behind a control plane of its own. Redeploys the active build, as a
rollback to a compatible one does: some with the checkpoint that the serving instance has written, some after it was
taken away, so that the source is read. What is told is the deployment's own `durationMs`, from its start to its end,
and the control plane's account of its steps. Writes bench/out/rollback.md and prints it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import processes, sources, writing
from reflexdb.cli.demo.plane import Plane, running
from reflexdb.cli.demo.steps import act
from reflexdb.cli.progress import progress
from reflexdb.client import ReflexClient

OUT = Path(__file__).parent / "out"
ROW_BYTES = 1_000
CHECKPOINT_LIMIT_S = 900.0
STEPS = ("unpack", "launch", "load", "probe", "handover")
SIZES = ((400, "small"), (800, "medium"), (1_600, "large"))
"""Megabytes that fit, with what a snapshot needs, by size of instance."""


@contextmanager
def source(backend: str, megabytes: int) -> Iterator[dict[str, Any]]:
    """A source with so much data; what a connection to it is made with."""
    rows = megabytes * 1_000_000 // ROW_BYTES
    if backend == "sqlite":
        with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as home:
            file = Path(home) / "source.db"
            _fill_sqlite(file, rows)
            yield {"mysqlHost": str(file), "availableSchemas": ["main"]}
        return
    with sources.started(backend) as (_, login):
        _fill(login, rows)
        yield sources.reached(login)


def _fill(login: writing.Login, rows: int) -> None:
    numbers, text = f"seq_1_to_{rows}", "seq"
    if login.backend == "postgres":
        numbers, text = f"generate_series(1, {rows}) AS made(seq)", "seq::text"
    writing.create(login)
    with writing.connected(login, "bench") as (connection, cursor):
        cursor.execute("CREATE TABLE items (id integer PRIMARY KEY, n integer, body varchar(1000))")
        cursor.execute(f"INSERT INTO items SELECT seq, mod(seq, 1000), repeat(md5({text}), 30) FROM {numbers}")
        connection.commit()
        if login.backend == "mysql":  # a position is looked for from the beginning of its file
            cursor.execute("FLUSH BINARY LOGS")


def _fill_sqlite(path: Path, rows: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE items(id INTEGER PRIMARY KEY, n INTEGER, body TEXT)")
        connection.execute(
            "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < ?) "
            "INSERT INTO items SELECT n, n % 1000, hex(randomblob(?)) FROM i",
            (rows, (ROW_BYTES - 20) // 2),
        )


def checkpoint(plane: Plane, database: str) -> Path:
    return plane.data / "instances" / database / "current" / "checkpoint"


def await_checkpoint(plane: Plane, database: str) -> int:
    """Bytes of the checkpoint, once there is one."""
    end = time.monotonic() + CHECKPOINT_LIMIT_S
    while not (path := checkpoint(plane, database)).exists():
        if time.monotonic() > end:
            raise TimeoutError("no checkpoint was written in time")
        time.sleep(0.1)
    return path.stat().st_size


def redeploy(plane: Plane, client: ReflexClient, database: str, build: str) -> dict[str, Any]:
    with progress(quiet=True) as show:
        act(plane, client, database, "redeploy", show, build)
    record = client.list_deployments(database, limit=1)["deployments"][0]
    return {"ms": record["durationMs"], "failed": record["requestsFailed"], "steps": steps_of(plane, record["id"])}


def steps_of(plane: Plane, job: str) -> dict[str, float]:
    """Seconds by step, as the control plane's log says."""
    found: dict[str, float] = {}
    for line in (plane.data / "logs" / "control.log").read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("job") == job and entry.get("name") in STEPS:
                found[entry["name"]] = entry["seconds"]
    return found


def row(what: list[str], runs: list[dict[str, Any]]) -> str:
    times = sorted(run["ms"] for run in runs)
    steps = [f"{statistics.median(run['steps'].get(step, float('nan')) for run in runs):.2f}" for step in STEPS]
    failed = {run["failed"] for run in runs}
    cells = [*what, f"{statistics.median(times):.0f}", f"{times[0]}", f"{times[-1]}", *steps]
    return "| " + " | ".join([*cells, ", ".join(map(str, sorted(failed, key=str)))]) + " |"


def page(rows: list[str], options: argparse.Namespace) -> str:
    again = f"--mb {options.mb} --times {options.times}"
    lines = [
        "# Redeploying",
        "",
        f"- {processes.machine()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- {options.mb:,} MB of rows in one table; {options.times} times each",
        f"- again: `make bench-rollback BENCH_ARGS='{again}'`",
        "",
        "| source | begins with | ms, median | least | most | s: " + " | ".join(STEPS) + " | requests failed |",
        "|---" * (6 + len(STEPS)) + "|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def measure(
    name: str, plane: Plane, client: ReflexClient, database: str, build: str, options: argparse.Namespace
) -> list[str]:
    size = await_checkpoint(plane, database)
    kept, without = list[dict[str, Any]](), list[dict[str, Any]]()
    for _ in range(options.times):
        await_checkpoint(plane, database)
        kept.append(redeploy(plane, client, database, build))
    for _ in range(options.times):
        await_checkpoint(plane, database)
        checkpoint(plane, database).unlink()
        without.append(redeploy(plane, client, database, build))
    return [
        row([name, f"a checkpoint of {size / 1e6:,.0f} MB"], kept),
        row([name, "nothing: the source is read"], without),
    ]


def one(backend: str, plane: Plane, size: str, options: argparse.Namespace) -> list[str]:
    """The rows of one source."""
    with source(backend, options.mb) as reached, plane.client() as client, progress() as show:
        connection = client.create_connection(name=f"bench-{backend}", backend=backend, **reached)["connection"]
        schema = reached["availableSchemas"][0]
        made = client.register_database(
            connectionId=connection["id"], name=f"bench-{backend}", mysqlDb=schema, instanceSize=size
        )
        act(plane, client, made["id"], "provision", show)
        name = f"{sources.NAMES[backend]}, {client.freshness(made['id'])['mode']}"
        build = client.list_builds(made["id"])["builds"][0]["id"]
        rows = measure(name, plane, client, made["id"], build, options)
        act(plane, client, made["id"], "terminate", show)
        return rows


def main() -> int:
    parser = argparse.ArgumentParser(description="How long a redeploy takes.")
    parser.add_argument("--mb", type=int, default=1_000, help="megabytes of rows in the source")
    parser.add_argument("--times", type=int, default=5, help="how often each")
    parser.add_argument("--source", choices=sorted(sources.NAMES), help="only this one")
    options = parser.parse_args()
    size = next((name for most, name in SIZES if options.mb <= most), None)
    if options.mb < 1 or size is None or options.times < 1:
        parser.error(f"--mb must be from 1 to {SIZES[-1][0]}, --times at least 1")
    rows = list[str]()
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder, running(Path(folder) / "data") as plane:
        for backend in [options.source] if options.source else sorted(sources.NAMES):
            rows += one(backend, plane, size, options)
    text = page(rows, options)
    OUT.mkdir(exist_ok=True)
    (OUT / "rollback.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
