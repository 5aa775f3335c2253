"""ROAPI: read-only APIs of static tables, here loaded from Parquet into its memory and asked in SQL."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from bench import load, processes
from bench.cases import Case
from bench.contenders.base import MissingError, OverHttp, with_t
from bench.data import TABLES, Blog

STATEMENTS = {
    "point": "SELECT id, name, email, plan FROM users WHERE id = {n}",
    "filter": "SELECT id, title FROM posts WHERE views = {n} ORDER BY id",
    "top": "SELECT id, title, views FROM posts ORDER BY views DESC, id LIMIT 100",
    "dump": "SELECT id, post_id, user_id, body, approved, created_at FROM comments ORDER BY id",
}


class Roapi(OverHttp):
    name = "ROAPI"
    about = "tables of Parquet in memory, SQL with every request; it has no indexes"
    left_out = MappingProxyType({"nested": "its SQL gives flat rows"})

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.port = process, port

    def pids(self) -> list[int]:
        return processes.tree(self._process.pid)

    def request(self, case: Case, argument: int) -> bytes:
        return load.post("/api/sql", STATEMENTS[case.key].replace("{n}", str(argument)))

    def rows(self, case: Case, answer: Any) -> Any:
        if case.key == "point":
            return [{"id": None, "name": None, "email": None, "plan": None, **row} for row in answer]
        return [whole(row) for row in answer] if case.key == "dump" else answer


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """With the names that it leaves out where there is no value."""
    names = ("id", "post_id", "user_id", "body", "approved", "created_at")
    return with_t({name: row.get(name) for name in names})


@contextlib.contextmanager
def roapi(blog: Blog, folder: Path) -> Iterator[Roapi]:
    program = processes.find(str(Path(sys.executable).with_name("roapi")))
    if program is None:
        raise MissingError("make bench-setup")
    folder.mkdir()
    port = processes.free_port()
    started = [program, "--addr-http", f"127.0.0.1:{port}", "--addr-postgres", f"127.0.0.1:{processes.free_port()}"]
    for table in TABLES:
        path = folder / f"{table}.parquet"
        parquet.write_table(as_table(blog.csv[table]), path)
        started += ["--table", f"{table}={path}"]
    with processes.program(started, "ROAPI", port, folder) as process:
        yield Roapi(process, port)


def as_table(path: Path) -> pa.Table:
    types = {"id": pa.int32(), "post_id": pa.int32(), "user_id": pa.int32(), "views": pa.int32(), "body": pa.string()}
    options = csv.ConvertOptions(column_types={**types, "created_at": pa.string()}, strings_can_be_null=True)
    return csv.read_csv(path, csv.ReadOptions(), csv.ParseOptions(newlines_in_values=True), options)
