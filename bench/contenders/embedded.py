"""DuckDB and SQLite, in a process of their own and without a network: scans, as a yardstick for the engine.

The program at the end is that process: it takes orders on standard input, one JSON object a line. Rows come as values
of Python; the dump as JSON, made by the database: DuckDB writes it to a file, SQLite gives it as one text.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench import load, processes
from bench.cases import CHECKED, Case
from bench.contenders.base import Contender, Measured, MissingError, Options, digest, with_t
from bench.data import Blog

STATEMENTS = {
    "filter": "SELECT id, title FROM posts WHERE views = ? ORDER BY id",
    "top": "SELECT id, title, views FROM posts ORDER BY views DESC, id LIMIT 100",
}
COLUMNS = ("id", "post_id", "user_id", "body", "approved", "created_at")
PAIRS = ", ".join(f"'{name}', {name}" for name in COLUMNS)
SQLITE_DUMP = f"SELECT json_group_array(json_object({PAIRS})) FROM comments"
DUCKDB_DUMP = f"COPY (SELECT {', '.join(COLUMNS)} FROM comments ORDER BY id) TO '{{file}}' (FORMAT json, ARRAY true)"
NAMES = {"filter": ("id", "title"), "top": ("id", "title", "views")}


class Embedded(Contender):
    left_out = MappingProxyType(dict.fromkeys(("point", "nested"), "asked for scans only"))

    def __init__(self, name: str, about: str, process: subprocess.Popen[str]) -> None:
        self.name, self.about, self._process = name, about, process

    def _order(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def digests(self, case: Case, arguments: list[int]) -> list[str]:
        found: list[str] = self._order(do="check", case=case.key, arguments=arguments[:CHECKED])
        return found

    def measure(self, case: Case, arguments: list[int], options: Options) -> Measured:
        pids = [self._process.pid]
        with processes.on_core(pids, 0):
            before = processes.cpu_seconds(pids)
            said = self._order(do="measure", case=case.key, arguments=arguments, seconds=options.seconds)
            cpu = processes.cpu_seconds(pids) - before
        result = load.of_latencies("one after the other, in its process", said["latencies"], said["seconds"])
        return Measured(self.name, result, cpu, 1, processes.held_bytes(pids), 0, network=False)


@contextlib.contextmanager
def embedded(name: str, blog: Blog, folder: Path) -> Iterator[Embedded]:
    if name == "DuckDB" and importlib.util.find_spec("duckdb") is None:
        raise MissingError("make bench-setup")
    about = "in its own process, without a network; rows as Python values, the dump as JSON"
    command = [sys.executable, "-m", "bench.contenders.embedded", name, str(blog.sqlite.parent), str(folder)]
    folder.mkdir()
    here = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here) as process:
        try:
            yield Embedded(name, f"{about}; {VERSIONS[name]()}", process)
        finally:
            process.kill()


def _duckdb_version() -> str:
    from importlib.metadata import version

    return f"version {version('duckdb')}, one thread, tables in its memory"


VERSIONS: dict[str, Callable[[], str]] = {
    "DuckDB": _duckdb_version,
    "SQLite": lambda: f"version {sqlite3.sqlite_version}, a file in the system's cache, mapped",
}

# The process.


class InSqlite:
    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(f"file:{folder}/blog.sqlite?mode=ro", uri=True)
        self._db.execute(f"PRAGMA mmap_size = {1 << 32}")

    def rows(self, key: str, argument: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._db.execute(STATEMENTS[key], values(key, argument)).fetchall()
        return found

    def dump(self) -> str:
        text: str = self._db.execute(SQLITE_DUMP).fetchone()[0]
        return text


class InDuckdb:
    def __init__(self, folder: Path, work: Path) -> None:
        import duckdb

        self._db = duckdb.connect(config={"threads": 1})
        for table in ("posts", "comments"):
            self._db.execute(f"CREATE TABLE {table} AS SELECT * FROM read_csv('{folder}/{table}.csv', header = true)")
        self._file = work / "dump"

    def rows(self, key: str, argument: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._db.execute(STATEMENTS[key], values(key, argument)).fetchall()
        return found

    def dump(self) -> str:
        self._db.execute(DUCKDB_DUMP.replace("{file}", str(self._file)))
        return str(self._file)


def values(key: str, argument: int) -> list[int]:
    return [argument] if key == "filter" else []


def check(db: InSqlite | InDuckdb, key: str, arguments: list[int]) -> list[str]:
    if key != "dump":
        return [digest([dict(zip(NAMES[key], row, strict=True)) for row in db.rows(key, n)]) for n in arguments]
    text = db.dump()
    rows = json.loads(Path(text).read_text() if isinstance(db, InDuckdb) else text)
    return [digest([with_t({**row, "approved": bool(row["approved"])}) for row in rows])]


def measure(db: InSqlite | InDuckdb, key: str, arguments: list[int], seconds: float) -> dict[str, Any]:
    latencies: list[float] = []
    begin = time.perf_counter()
    while not latencies or time.perf_counter() - begin < seconds:
        one = time.perf_counter()
        db.dump() if key == "dump" else db.rows(key, arguments[len(latencies) % len(arguments)])
        latencies.append((time.perf_counter() - one) * 1000)
    return {"latencies": latencies, "seconds": time.perf_counter() - begin}


def main() -> None:
    name, folder, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    db = InDuckdb(folder, work) if name == "DuckDB" else InSqlite(folder)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "check":
            said: Any = check(db, order["case"], order["arguments"])
        else:
            said = measure(db, order["case"], order["arguments"], order["seconds"])
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
