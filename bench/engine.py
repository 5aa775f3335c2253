"""The query engine alone, in one process and without a network: CPU time a query.

`make bench-engine`, or `python -m bench.engine --scale 0.1`. The engine is compiled with the flags of an image and
linked with engine.cc instead of the server's main; rows come from the sample blog through the same plan, emitter and
feed as always. `--keep DIR` leaves program and rows there, for a profiler.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from reflexdb.build.compile import COMPILE_FLAGS, EngineCompiler
from reflexdb.build.emit import emit
from reflexdb.build.plan import make_plan
from reflexdb.build.toolchain import find_toolchain
from reflexdb.cli.demo.blog import CONFIG, Scale, create
from reflexdb.model.config import parse_config
from reflexdb.model.plan import Plan
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.sqlite.introspect import SCHEMA
from reflexdb.sources.sqlite.source import SQLiteSource
from reflexdb.sync import feed

HERE = Path(__file__).parent
CACHE = HERE / "out" / "engine"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    times: int
    query: str
    """A % stands for a number, another one each time, up to how many users there are."""
    special: str = ""
    """Its name in specialised.h, where a generator's code for this query alone is measured beside the engine's."""


CASES = (
    Case("a row by key", 20_000, "users(id = %) { id name email plan }", "point"),
    Case(
        "a row with two levels of relations",
        10_000,
        "users(id = %) { id name posts { id title comments { id body approved } } }",
        "nested",
    ),
    Case("posts by an unindexed integer", 100, "posts(views = %) { id title }", "filter"),
    Case("a whole table", 1, "comments { * }"),
    Case("the first 100 by an unindexed column", 20, "posts(ORDER BY views DESC LIMIT 100) { id }"),
    Case("the newest 3 posts of a user", 20_000, "users(id = %) { posts(ORDER BY updated_at DESC LIMIT 3) { id } }"),
    Case("count by an unindexed integer", 200, "posts(views > 500000) { count() }"),
    Case("count by an unindexed decimal", 20, "posts(price > 500) { count() }"),
    Case("count by IN", 20, "posts(views IN (1, 2, 3, 5, 8)) { count() }"),
    Case("count by a text's IN", 20, 'users(plan IN ("pro", "team")) { count() }'),
    Case("count by LIKE", 20, 'posts(title LIKE "_____%") { count() }'),
    Case("the first 100 two relations away", 400, 'comments(post.author.plan = "team" LIMIT 100) { id }'),
    Case("all of those two relations away", 10, 'comments(post.author.name = "nobody") { id }'),
)


def main() -> int:
    options = parse()
    scale = Scale(
        users=int(20_000 * options.scale),
        posts=int(100_000 * options.scale),
        comments=int(300_000 * options.scale),
        tags=200,
    )
    with tempfile.TemporaryDirectory(prefix="reflexdb-bench-") as folder:
        work = options.keep or Path(folder)
        plan = write_rows(work, scale)
        program = link(plan, work)
        print(f"{'case':<40}{'bytes':>12}{'CPU us':>12}{'MB/s':>9}")
        with subprocess.Popen(
            [str(program), str(work / "rows"), str(scale.users)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as engine:
            for case in CASES:
                if options.only in case.name:
                    answer = ask(engine, case.times, case.query)
                    print(line(case.name, answer), flush=True)
                    if case.special:
                        other = ask(engine, case.times, f"!{case.special}")
                        assert other[3] == answer[3], f"{case.name}: generated code answers otherwise"
                        print(line("  the same, generated for it alone", other), flush=True)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a query costs in the engine alone.")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 20,000 users and 100,000 posts")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--keep", type=Path, help="an empty directory for the program and its rows")
    options = parser.parse_args()
    if not 0.01 <= options.scale <= 100:
        parser.error("--scale must be from 0.01 to 100")
    return options


def write_rows(work: Path, scale: Scale) -> Plan:
    """The blog's rows as the engine takes them, and its plan."""
    path = work / "blog.sqlite"
    create(path, scale)
    source = SQLiteSource(SourceAddress(Backend.SQLITE, str(path)))
    plan = make_plan(source.introspect(SCHEMA), parse_config(CONFIG)).plan
    with (work / "rows").open("wb") as out, source.snapshot(plan) as snapshot:
        for index, table in enumerate(plan.tables):
            for batch in snapshot.read(table):
                for frame in feed.rows(index, table, batch):
                    body = b"".join(bytes(part) for part in frame.parts)
                    out.write(struct.pack("<II", index, len(body)) + body)
    source.close()
    return plan


def link(plan: Plan, work: Path) -> Path:
    compiler = EngineCompiler(find_toolchain(work / "scratch"), CACHE)
    objects, _ = compiler.objects()
    (work / "schema.gen.cc").write_text(emit(plan))
    program = work / "engine"
    parts = [str(path) for path in objects if path.name != "server.o"]
    command = [
        "g++",
        *COMPILE_FLAGS,
        f"-I{compiler.directory}",
        str(HERE / "engine.cc"),
        str(HERE / "specialised.cc"),
        str(work / "schema.gen.cc"),
    ]
    subprocess.run([*command, *parts, "-o", str(program)], check=True)
    return program


def ask(engine: subprocess.Popen[str], times: int, query: str) -> list[str]:
    assert engine.stdin is not None
    assert engine.stdout is not None
    engine.stdin.write(f"{times} {query}\n")
    engine.stdin.flush()
    answer = engine.stdout.readline().split()
    assert answer[2] == "200", (query, answer)
    return answer


def line(name: str, answer: list[str]) -> str:
    size, nanoseconds = float(answer[0]), float(answer[1])
    return f"{name:<40}{size:>12,.0f}{nanoseconds / 1e3:>12,.2f}{size * 1e3 / nanoseconds:>9,.0f}"


if __name__ == "__main__":
    sys.exit(main())
