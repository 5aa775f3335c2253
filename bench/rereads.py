"""What it costs to read single rows again: from a commit until it is answered, and processor time meanwhile.

`make bench-rereads`, or `python -m bench.rereads --rows 100000`. Private MariaDB and PostgreSQL, one after the other;
one instance behind a control plane of its own with three tables of a million rows: one with `where`, one with a
generated column, one whose rows go with their parents. CPU time is the kernel's, of the server, sync and the source,
from the statement until half a second after it was answered. Writes bench/out/rereads.md and prints it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from bench import processes, sources, writing
from reflexdb.cli.demo.plane import Plane, processes_in, running
from reflexdb.cli.demo.steps import act, endpoint_of
from reflexdb.cli.progress import progress

OUT = Path(__file__).parent / "out"
CONFIG = """version: 1
sync:
  safety_net: 0
tables:
  - name: filtered
    where: state = 1
  - name: computed
  - name: parents
  - name: children
"""
CHILDREN = 100
"""Of each parent."""
REST_S = 0.5
LIMIT_S = 60.0
TRIES = 3
MADE = (
    "CREATE TABLE filtered (id int PRIMARY KEY, state int NOT NULL, n int, body varchar(80))",
    "CREATE TABLE computed (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, body varchar(80))",
    "CREATE TABLE parents (id int PRIMARY KEY, n int)",
    "CREATE TABLE children (id int PRIMARY KEY, parent_id int, n int, body varchar(80),"
    " FOREIGN KEY (parent_id) REFERENCES parents (id) ON DELETE CASCADE)",
)


@dataclass(frozen=True, slots=True)
class Case:
    """In statement and query, {n} is another number each time."""

    what: str
    statement: str
    query: str
    answer: list[dict[str, int]]


CASES = (
    Case(
        "a row enters `where`",
        "UPDATE filtered SET state = 1 WHERE id = 2 * {n}",
        "filtered(id = {even}) {{ n }}",
        [{"n": 0}],
    ),
    Case(
        "a row leaves `where`",
        "UPDATE filtered SET state = 0 WHERE id = 2 * {n} + 1",
        "filtered(id = {odd}) {{ n }}",
        [],
    ),
    Case(
        "a generated column changes",
        "UPDATE computed SET n = 7 WHERE id = {n}",
        "computed(id = {n}) {{ twice }}",
        [{"twice": 14}],
    ),
    Case(
        f"a parent with {CHILDREN} children is deleted",
        "DELETE FROM parents WHERE id = {n}",
        "children(parent_id = {n} LIMIT 1) {{ n }}",
        [],
    ),
)


def fill(login: writing.Login, rows: int) -> None:
    text = "repeat(md5(concat(seq)), 2)"
    writing.create(login)
    with writing.connected(login, "bench") as (connection, cursor):
        for statement in MADE:
            cursor.execute(statement)
        for target, values, count in (
            ("filtered", f"seq, mod(seq, 2), 0, {text}", rows),
            ("computed (id, n, body)", f"seq, 0, {text}", rows),
            ("parents", "seq, 0", rows // CHILDREN),
            ("children", f"seq, 1 + mod(seq, {rows // CHILDREN}), 0, {text}", rows),
        ):
            numbers = f"seq_1_to_{count}"
            if login.backend == "postgres":
                numbers = f"generate_series(1, {count}) AS made(seq)"
            cursor.execute(f"INSERT INTO {target} SELECT {values} FROM {numbers}")
        if login.backend == "postgres":
            cursor.execute("CREATE INDEX ON children (parent_id)")
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
            client.put_config(self.database, CONFIG)
            place = urlsplit(endpoint_of(act(plane, client, self.database, "provision", show)))
            self.key = client.create_api_key(self.database, "bench")["key"]
        self.connection = http.client.HTTPConnection(str(place.hostname), int(place.port or 0), timeout=60)

    def cpu(self) -> list[float]:
        ours = processes_in(self.plane.data)
        server = [pid for pid in ours if processes.name(pid).startswith("reflex-server")]
        sync = [pid for pid in ours if b"reflexdb.sync" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        source = [self.source_pid, *processes.children(self.source_pid)]
        return [*map(processes.cpu_seconds, (server, sync)), processes.cpu_seconds(source, ended=True)]

    def ask(self, query: str) -> list[dict[str, int]]:
        self.connection.request("POST", "/query", query, {"Authorization": f"Bearer {self.key}"})
        response = self.connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        found: list[dict[str, int]] = json.loads(body)
        return found

    def row(self, case: Case) -> str:
        """The worst of some tries."""
        took = [self._once(case, 10 + number) for number in range(TRIES)]
        seconds, *cpu = (max(each) for each in zip(*took, strict=True))
        cells = " | ".join(f"{each:.2f} s" for each in cpu)
        return f"| {sources.NAMES[self.login.backend]} | {case.what} | {seconds * 1e3:.0f} ms | {cells} |"

    def _once(self, case: Case, n: int) -> tuple[float, ...]:
        numbers = {"n": n, "even": 2 * n, "odd": 2 * n + 1}
        time.sleep(REST_S)
        before = self.cpu()
        with writing.connected(self.login, "bench") as (connection, cursor):
            cursor.execute(case.statement.format(**numbers))
            connection.commit()
        began = time.monotonic()
        while self.ask(case.query.format(**numbers)) != case.answer:
            assert time.monotonic() < began + LIMIT_S, f"{case.what}: not within {LIMIT_S:.0f} s"
            time.sleep(0.005)
        seconds = time.monotonic() - began
        time.sleep(REST_S)
        server, sync, source = (after - earlier for after, earlier in zip(self.cpu(), before, strict=True))
        return seconds, server + sync, server, sync, source


def page(rows: list[str], options: argparse.Namespace) -> str:
    lines = [
        "# Rows that are read again",
        "",
        f"- {processes.machine()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- three tables of {options.rows:,} rows; the worst of {TRIES} tries",
        f"- again: `make bench-rereads BENCH_ARGS='--rows {options.rows}'`",
        "",
        "| source | what | commit until visible | CPU, server and sync | server | sync | source |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="What it costs to read single rows again.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--source", choices=sorted(sources.STARTERS), help="only this one")
    options = parser.parse_args()
    if not 10_000 <= options.rows <= 5_000_000:
        parser.error("--rows must be from 10,000 to 5,000,000")
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder, running(Path(folder) / "data") as plane:
        for backend in [options.source] if options.source else sorted(sources.STARTERS):
            with sources.started(backend) as (source_pid, login):
                fill(login, options.rows)
                bench = Bench(plane, login, source_pid)
                rows += [bench.row(case) for case in CASES]
                with plane.client() as client, progress() as show:
                    act(plane, client, bench.database, "terminate", show)
    text = page(rows, options)
    OUT.mkdir(exist_ok=True)
    (OUT / "rereads.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
