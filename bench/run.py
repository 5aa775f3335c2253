"""Five questions about a generated blog, asked of ReflexDB and of others that answer them: one run, ratios.

`make bench`, or `python -m bench.run --size small --seconds 2`. Everyone has the same rows and is asked the same; that
they answer the same is checked before anything is timed. Everything goes over loopback with keep-alive connections; the
contender has one core, the load generator another where there is one. What is not installed is left out by name. Writes
bench/out/report.md and report.svg, and prints the page. Decides what is measured; how is in the modules beside it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bench import plot, processes, report
from bench.cases import CASES, Case
from bench.contenders.base import Contender, Measured, MissingError, Options
from bench.contenders.embedded import embedded
from bench.contenders.nginx import nginx
from bench.contenders.postgres import Database, database, endpoint, postgraphile
from bench.contenders.redis import redis
from bench.contenders.reflex import Reflex, reflex
from bench.contenders.roapi import roapi
from bench.data import SIZES, Blog, blog
from reflexdb.cli.exits import CommandFailed
from reflexdb.client import ClientError

OUT = Path(__file__).parent / "out"
LONGEST_CASE_S = 30.0
MOST_TOLD = 300
TURNS = 5
"""That ReflexDB and one of those beside it take, each as long as a measurement, where a request takes little: the
machine's speed changes from one moment to the next, and of each the middle one counts."""
LITTLE_US = 1_000
FAILURES = (RuntimeError, OSError, ValueError, AssertionError, subprocess.SubprocessError)
"""Of one contender, which others do not suffer for."""
Start = Callable[["Run"], AbstractContextManager[Contender]]


class Run:
    """What contenders are made from, and what has been measured."""

    def __init__(self, of: Blog, options: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
        self.blog, self.folder = of, folder
        self.options = Options(options.seconds, options.connections)
        self.cases = [case for case in CASES if not options.case or case.key in options.case]
        self.only: list[str] = options.only
        self.outcome = report.Outcome(of, options.size, options.seconds)
        self.digests: dict[str, list[str]] = {}
        self.ours: Reflex | None = None
        self.mine: dict[str, list[Measured]] = {}
        """All that was measured of ours, by case."""
        self.failed = False
        self._stack = stack
        self._database: Database | None = None

    def arguments(self, case: Case) -> list[int]:
        return case.arguments(self.blog.scale)

    def database(self) -> Database:
        """One for all that stand in front of it, until the end."""
        if self._database is None:
            self._database = self._stack.enter_context(database(self.blog, self.folder / "postgres"))
        return self._database

    def wants(self, name: str) -> bool:
        return not self.only or any(word.lower() in name.lower() for word in self.only)

    def measure(self, who: Contender) -> None:
        self.outcome.about[who.name] = who.about
        for case in self.cases:
            if reason := who.left_out.get(case.key):
                self.outcome.left_out.append(f"{who.name}, {case.name}: {reason}")
                continue
            print(f"bench: {who.name}, {case.name}", file=sys.stderr, flush=True)
            self.compare(who, case)
            self.outcome.measured.setdefault(case.key, []).append(self.measured(who, case))

    def measured(self, who: Contender, case: Case) -> Measured:
        """In turns with ours, where that is still there and the case is a short one."""
        theirs = [who.measure(case, self.arguments(case), self.options)]
        mine = self.mine.setdefault(case.key, theirs if self.ours is who else [])
        if self.ours is not None and self.ours is not who and mine and mine[0].cpu_us < LITTLE_US:
            for _ in range(TURNS):
                mine.append(self.ours.measure(case, self.arguments(case), self.options))
                theirs.append(who.measure(case, self.arguments(case), self.options))
            self.outcome.measured[case.key][0] = middle(mine)
        return middle(theirs)

    def compare(self, who: Contender, case: Case) -> None:
        found = who.digests(case, self.arguments(case))
        expected = self.digests.setdefault(case.key, found)
        if not found:
            return
        if found != expected:
            raise RuntimeError(f"{who.name} does not answer '{case.name}' as {Reflex.name} does; nothing is compared")
        if who.name != Reflex.name:
            self.outcome.checked.append(f"{who.name}, {case.name}: {len(found)} answers equal")


def middle(measured: list[Measured]) -> Measured:
    """By CPU time of a request."""
    return sorted(measured, key=lambda each: each.cpu_us)[len(measured) // 2]


def main() -> int:
    options = parse()
    try:
        of = blog(options.size, OUT / "data")
        with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder, ExitStack() as stack:
            Path(folder).chmod(0o755)  # servers that give up root read their files
            run = Run(of, options, Path(folder), stack)
            with reflex(of, Path(folder)) as ours:
                run.ours = ours
                run.measure(ours)
                others(run, IN_SIGHT)
            run.ours = None
            others(run, ALONE)
    except (ClientError, CommandFailed, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    write(run)
    return 1 if run.failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="ReflexDB beside others that answer the same.")
    parser.add_argument(
        "--size", choices=sorted(SIZES), default="medium", help="of the blog: full has 2,000,000 comments"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement, at most 30")
    parser.add_argument("--connections", type=int, default=32, help="keep-alive connections of the clients")
    parser.add_argument("--case", action="append", choices=[case.key for case in CASES], help="these cases only")
    parser.add_argument(
        "--only", action="append", default=[], help="beside ReflexDB only those with this in their name"
    )
    options = parser.parse_args()
    if not 1 <= options.seconds <= LONGEST_CASE_S or not 0 < options.connections <= 1000:
        parser.error("--seconds must be from 1 to 30, --connections at most 1000")
    return options


@contextmanager
def fixed_bodies(run: Run) -> Iterator[Contender]:
    sizes = {key: measured[0].body_bytes for key, measured in run.outcome.measured.items()}
    with nginx(sizes, run.folder / "nginx") as who:
        yield who


@contextmanager
def ready_answers(run: Run) -> Iterator[Contender]:
    with redis(run.folder / "redis") as who:
        for case in run.cases:
            if case.key not in who.left_out:
                assert run.ours is not None
                who.fill(run.ours, case, run.arguments(case))
        yield who


@contextmanager
def hand_written(run: Run) -> Iterator[Contender]:
    with endpoint(run.database(), run.folder / "endpoint") as who:
        yield who


@contextmanager
def generated(run: Run) -> Iterator[Contender]:
    with postgraphile(run.database(), run.folder / "node") as who:
        yield who


IN_SIGHT: dict[str, Start] = {"nginx": fixed_bodies, "Redis": ready_answers}
"""That take what ReflexDB answers."""
ALONE: dict[str, Start] = {
    "FastAPI and asyncpg": hand_written,
    "PostGraphile": generated,
    "ROAPI": lambda run: roapi(run.blog, run.folder / "roapi"),
    "DuckDB": lambda run: embedded("DuckDB", run.blog, run.folder / "duckdb"),
    "SQLite": lambda run: embedded("SQLite", run.blog, run.folder / "sqlite"),
}


def others(run: Run, which: dict[str, Start]) -> None:
    for name, start in which.items():
        if not run.wants(name):
            continue
        try:
            with start(run) as who:
                run.measure(who)
        except MissingError as error:
            run.outcome.left_out.append(f"{name} is not installed: {error}")
        except FAILURES as error:
            run.failed = True
            said = " ".join(str(error).split())[:MOST_TOLD]
            run.outcome.left_out.append(f"{name} gave up, and what is said of it is not whole: {said}")
            print(f"bench: {run.outcome.left_out[-1]}", file=sys.stderr, flush=True)


def write(run: Run) -> None:
    of = run.blog.scale
    footer = f"{processes.machine()}; {of.users:,} users, {of.posts:,} posts, {of.comments:,} comments"
    OUT.mkdir(exist_ok=True)
    (OUT / "report.svg").write_text(plot.svg(run.outcome.measured, run.cases, footer))
    text = report.page(run.outcome, run.cases, "report.svg")
    (OUT / "report.md").write_text(text)
    print(text)
    print(f"bench: written to {os.path.relpath(OUT)}/report.md and report.svg", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
