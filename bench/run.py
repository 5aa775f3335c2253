"""Point and nested queries, scans and a whole table of a generated blog, beside nginx answering a fixed body of the
same size: one run, one machine, ratios.

`make bench`, or `python -m bench.run --scale 0.1 --seconds 3`. Everything goes over loopback; the server under test has
one core, the load generator another where there is one. CPU time is what the server's processes used, user and system,
by the kernel's account. Writes bench/out/report.md and prints it. Decides what is measured; how is in the modules
beside it.
"""

from __future__ import annotations

import argparse
import csv
import random
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load, processes, report
from bench.nginx import nginx
from reflexdb.cli.demo.blog import Scale
from reflexdb.cli.demo.plane import processes_in, running
from reflexdb.cli.demo.steps import Served, make_source, serve_source
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.progress import progress
from reflexdb.client import ClientError, QueryClient

OUT = Path(__file__).parent / "out"
REQUESTS = 1_000
"""Different queries of a case, asked in turn, so that no answer is the last one's."""
WARM_UP_S = 1.0
LONGEST_CASE_S = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    query: str
    """With {id} where a random user's id goes."""
    alone: bool = False
    """Not beside nginx: its answer is larger than nginx's configuration holds."""


CASES = (
    Case("one row by key", "users(id = {id}) {{ id name email plan }}"),
    Case(
        "a row with two levels of relations",
        "users(id = {id}) {{ id name posts {{ id title comments {{ id body approved }} }} }}",
    ),
    Case("an integer without an index, every post", "posts(views = 2000000) {{ id }}"),
    Case("a float without an index, every post", "posts(rating > 5.5) {{ id }}"),
    Case("a filter two relations away, every comment", 'comments(post.author.name = "nobody") {{ id }}'),
    Case("a whole table", "comments {{ * }}", alone=True),
)


def main() -> int:
    options = parse()
    scale = Scale(
        users=max(1_000, int(20_000 * options.scale)),
        posts=max(5_000, int(100_000 * options.scale)),
        comments=max(10_000, int(300_000 * options.scale)),
        tags=200,
    )
    try:
        with served(scale) as instance:
            memory = memory_line(instance)
            measured = [beside_nginx(case, instance, scale, options) for case in CASES]
    except (ClientError, CommandFailed) as error:
        print(f"bench: {error.message}", file=sys.stderr)
        return 1
    text = report.page(measured, scale, options.seconds, options.connections, memory)
    OUT.mkdir(exist_ok=True)
    (OUT / "report.md").write_text(text)
    print(text)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Point and nested queries beside nginx.")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 20,000 users and 100,000 posts")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one measurement, at most 10")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections of the clients")
    options = parser.parse_args()
    if not 0 < options.seconds <= LONGEST_CASE_S or not 0 < options.scale <= 100 or not 0 < options.connections <= 1000:
        parser.error("--seconds must be at most 10, --scale at most 100, --connections at most 1000")
    return options


@contextmanager
def served(scale: Scale) -> Iterator[Served]:
    """The blog of this scale, behind a control plane of its own, on an instance with one core."""
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder, progress() as show:
        data = Path(folder) / "data"
        show.phase("control plane")
        with running(data) as plane:
            source = data / "blog.sqlite"
            make_source(source, scale, show)
            instance = serve_source(plane, source, show, size="medium")
            show.phase("measuring")
            yield instance


def beside_nginx(case: Case, instance: Served, scale: Scale, options: argparse.Namespace) -> report.Pair:
    """The case on both servers, one after the other, with the same requests."""
    dice = random.Random(7)
    count = REQUESTS if "{id}" in case.query else 1
    queries = [case.query.format(id=dice.randint(1, scale.users)) for _ in range(count)]
    size = mean_size(instance, queries)
    requests = load.requests(queries, instance.key)
    if case.alone:  # every connection waits with a whole answer
        options = argparse.Namespace(**{**vars(options), "connections": 2})

    ours = servers(instance)
    port = load.port_of(instance.endpoint)
    reflex = measure("reflexdb", ours, port, requests, options)
    program = None if case.alone else processes.find("nginx")
    if not program:
        return report.Pair(case.name, case.query, size, reflex, None)
    with nginx(program, body_bytes=size) as (pids, nginx_port):
        return report.Pair(case.name, case.query, size, reflex, measure("nginx", pids, nginx_port, requests, options))


def servers(instance: Served) -> list[int]:
    return [pid for pid in processes_in(instance.plane.data) if processes.name(pid).startswith("reflex-server")]


def memory_line(instance: Served) -> str:
    """What the server holds beside the size of the same rows as CSV."""
    held, as_csv = processes.resident_bytes(servers(instance)), csv_bytes(instance.source)
    return (
        f"memory: {held / 1e6:.1f} MB resident, {held / as_csv:.2f} times the same rows as CSV ({as_csv / 1e6:.1f} MB)"
    )


class Counted:
    """A file that only counts what is written to it."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, text: str) -> int:
        self.size += len(text.encode())
        return len(text)


def csv_bytes(source: Path) -> int:
    """Size of every table as CSV."""
    counted = Counted()
    with closing(sqlite3.connect(source)) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            csv.writer(counted).writerows(db.execute(f'SELECT * FROM "{table}"'))
    return counted.size


def mean_size(instance: Served, queries: list[str]) -> int:
    """Of the answers' bodies; also the proof that every query is answered."""
    with QueryClient(instance.endpoint, instance.key) as client:
        sizes = [len(client.query_bytes(query)) for query in queries]
    return sum(sizes) // len(sizes)


def measure(
    name: str, pids: list[int], port: int, requests: list[bytes], options: argparse.Namespace
) -> report.Measured:
    assert pids, f"no process of {name}"
    with processes.on_core(pids, 0):
        load.run(port, requests, WARM_UP_S, options.connections)
        before = processes.cpu_seconds(pids)
        result = load.run(port, requests, options.seconds, options.connections)
        cpu = processes.cpu_seconds(pids) - before
    if result.failed:
        raise CommandFailed(
            Exit.FAILED, f"{name} failed {result.failed} of {result.answered} requests; a rate of errors is no rate"
        )
    return report.Measured(name, result, cpu)


if __name__ == "__main__":
    sys.exit(main())
