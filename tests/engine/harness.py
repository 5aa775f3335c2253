"""Compiles the store and the query language for a test's plan, with sanitizers, and talks to the result.

The engine's objects are compiled once and kept in pytest's cache under a key of sources and flags; per plan only the
generated unit is compiled. A `Cli` is one process that holds one snapshot; tests load it from plain Python rows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import struct
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

import reflexdb
from reflexdb.build.emit import emit
from reflexdb.model.plan import Plan
from reflexdb.sources.base import ARROW_TYPES
from reflexdb.sync import feed

ENGINE = Path(reflexdb.__file__).parent / "engine"
DRIVER = Path(__file__).with_name("query_cli.cc")
UNITS_WITHOUT_HEADER = ("loader", "casefold")
"""Units that implement a header of another name."""
FLAGS = ["-std=c++20", "-O1", "-g1", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"]
FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-D_GLIBCXX_ASSERTIONS"]


def _sources() -> list[Path]:
    """The units that the driver needs, following its includes."""
    files = [DRIVER, *(ENGINE / f"{unit}.cc" for unit in UNITS_WITHOUT_HEADER)]
    for file in files:  # grows while it is walked
        for unit in re.findall(r'^#include "(\w+)\.h"', file.read_text(), re.MULTILINE):
            found = [path for path in (ENGINE / f"{unit}.h", ENGINE / f"{unit}.cc") if path.exists()]
            files += [path for path in found if path not in files]
    return sorted(file for file in files if file.suffix == ".cc")


def _compile(source: Path, target: Path) -> None:
    command = ["g++", *FLAGS, "-I", str(ENGINE), "-c", str(source), "-o", str(target)]
    outcome = subprocess.run(command, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def build(plan: Plan, cache: Path) -> Path:
    """The executable for `plan`; compiled only where the cache has none for these sources."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        headers = b"".join(path.read_bytes() for path in sorted(ENGINE.glob("*.h")))
        flags = " ".join(FLAGS).encode()
        sources = _sources()
        objects = {s: cache / f"{s.stem}-{_digest(headers, flags, s.read_bytes())}.o" for s in sources}
        missing = [source for source, target in objects.items() if not target.exists()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda source: _compile(source, objects[source]), missing))
        unit = emit(plan).encode()
        key = _digest(unit, *(path.name.encode() for path in objects.values()))
        target = cache / f"cli-{key}"
        if not target.exists():
            generated = cache / f"{key}.gen.cc"
            generated.write_bytes(unit)
            _compile(generated, cache / f"{key}.gen.o")
            linked = ["g++", *FLAGS, *map(str, objects.values()), str(cache / f"{key}.gen.o"), "-o", str(target)]
            subprocess.run(linked, check=True)
    return target


class Cli:
    """One process of the driver."""

    def __init__(self, program: Path, plan: Plan) -> None:
        self.plan = plan
        self._process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert code == 0, f"the driver ended with status {code}"

    def order(self, kind: str, body: bytes = b"") -> tuple[int, bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(kind.encode() + struct.pack("<I", len(body)) + body)
        stdin.flush()
        head = stdout.read(8)
        assert len(head) == 8, "the driver died"
        status, size = struct.unpack("<II", head)
        return status, stdout.read(size)

    def do(self, kind: str, body: bytes = b"") -> None:
        status, answer = self.order(kind, body)
        assert status == 0, answer.decode()

    def refused(self, kind: str, body: bytes = b"") -> str:
        status, answer = self.order(kind, body)
        assert status == 1
        return answer.decode()

    def begin(self, cap: int = 0) -> None:
        self.do("B", struct.pack("<Q", cap))

    def send(self, index: int, rows: Sequence[Mapping[str, Any]], frame_bytes: int = 4 << 20) -> None:
        self.do("T", struct.pack("<I", index))
        for body in bodies(self.plan, index, rows, frame_bytes):
            self.do("R", body)

    def load(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], frame_bytes: int = 4 << 20) -> None:
        self.begin()
        for index, table in enumerate(self.plan.tables):
            self.send(index, rows.get(table.name, ()), frame_bytes)
        self.do("C")

    def ask(self, query: str | bytes) -> tuple[int, Any]:
        status, text = self.raw(query)
        return status, json.loads(text)

    def ask_with(self, query: str, *pairs: tuple[str, str | bytes]) -> tuple[int, Any]:
        """The answer to a query with parameters; the pairs are as they stand in the URL, decoded."""
        parts: list[bytes] = [query.encode()]
        for name, value in pairs:
            parts += [name.encode(), value if isinstance(value, bytes) else value.encode()]
        status, answer = self.order("A", b"".join(part + b"\0" for part in parts))
        return status, json.loads(answer)

    def next_page(self) -> str:
        """The cursor after the last answer, or nothing."""
        return self.order("N")[1].decode().partition("=")[2]

    def raw(self, query: str | bytes) -> tuple[int, str]:
        status, answer = self.order("Q", query.encode() if isinstance(query, str) else query)
        return status, answer.decode()

    def rows(self, query: str) -> Any:
        status, answer = self.ask(query)
        assert status == 200, (query, answer)
        return answer

    def facts(self) -> dict[str, Any]:
        status, answer = self.order("I")
        assert status == 0
        facts: dict[str, Any] = json.loads(answer)
        return facts

    def limits(
        self,
        query_bytes: int = 1 << 20,
        depth: int = 64,
        rows: int = 10_000_000,
        answer_bytes: int = 1 << 30,
        milliseconds: int = 30_000,
    ) -> None:
        self.do("L", struct.pack("<5Q", query_bytes, depth, rows, answer_bytes, milliseconds))


def bodies(plan: Plan, index: int, rows: Sequence[Mapping[str, Any]], frame_bytes: int = 4 << 20) -> list[bytes]:
    """Bodies of ROWS frames for rows given as dictionaries; a missing key is null."""
    table = plan.tables[index]
    arrays = [pa.array([row.get(c.name) for row in rows], ARROW_TYPES[c.storage]) for c in table.columns]
    batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in table.columns])
    return [b"".join(bytes(part) for part in frame.parts) for frame in feed.rows(index, table, batch, frame_bytes)]
