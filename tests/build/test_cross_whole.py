"""The whole engine compiled for arm64 answers, emulated, byte for byte what it answers on this machine.

Compiling takes minutes, so this runs where REFLEXDB_CROSS is `whole`, as `make cross` sets it; it needs the package
ziglang and Debian's qemu-user-static. What differs between the two: the processor (bytes without a sign, no AVX2), the
C library and the C++ library.
"""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.build import cross
from reflexdb.build.compile import EngineCompiler
from reflexdb.build.emit import emit
from reflexdb.model.storage import Storage
from tests.engine.kinds import VALUES
from tests.engine.plans import PLAN
from tests.engine.serving import ROWS, Server, compile_server, get, post

PLATFORM = "linux/arm64"
WANTED = os.environ.get("REFLEXDB_CROSS") == "whole"
SKIP = "needs REFLEXDB_CROSS=whole, ziglang and qemu-user-static: `make cross`"
TEXTS = ["", "a", 'say "so"\n', "tab\tand \\", "é", "Ünïcode", "日本語", "😀", "\x7f", "x" * 300]
KINDS = 3_000
CONDITIONS = {
    Storage.I16: ["i16 < 0", "i16 IN (7, -1)", "i16 BETWEEN -1 AND 7"],
    Storage.I64: ["i64 >= 7", "i64 != -1"],
    Storage.U64: ["u64 > 7"],
    Storage.F64: ["f64 < 0.2", "f64 >= 0.1"],
    Storage.DECIMAL: ["decimal > -9.6", "decimal = 0.1"],
    Storage.TEXT: ['text LIKE "%ü%"', 'text LIKE "_"', 'text = "é"', 'text > "a"', "text IS NULL"],
}


@pytest.fixture(scope="module")
def emulated(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that runs the server for the other platform."""
    runs = cross.emulator(PLATFORM)
    if not WANTED or runs is None or importlib.util.find_spec("ziglang") is None:
        pytest.skip(SKIP)
    assert pytestconfig.cache is not None
    cache, directory = pytestconfig.cache.mkdir("zig-whole"), tmp_path_factory.mktemp("arm64")
    engine = EngineCompiler(cross.cross_toolchain(PLATFORM, cache), cache / "engine")
    objects, _ = engine.objects()
    server = engine.link(engine.compile_unit(emit(PLAN), directory), objects, directory)
    cross.check_elf(server, PLATFORM)
    wrapper = directory / "run"
    wrapper.write_text(f'#!/bin/sh\nexec {runs} {server} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture(scope="module")
def both(emulated: Path, pytestconfig: pytest.Config) -> Iterator[tuple[Server, Server]]:
    """Two servers with the same rows: the emulated one, and one for this machine."""
    assert pytestconfig.cache is not None
    dice = random.Random(4)
    kinds = [
        {"id": f"k{number:04}", "text": dice.choice(TEXTS)}
        | {each.name.lower(): dice.choice([*VALUES[each], None]) for each in VALUES if each is not Storage.TEXT}
        for number in range(KINDS)
    ]
    rows = {**ROWS, "kinds": kinds}
    with Server(emulated) as there, Server(compile_server(pytestconfig.cache.mkdir("engine"))) as here:
        yield there.ready(rows), here.ready(rows)


def queries() -> list[str]:
    made = ["users { id name posts { id title } }", "users { count() }", "posts { user { name } }", "kinds { * }"]
    for storage in VALUES:
        name = storage.name.lower()
        made += [f"kinds(ORDER BY {name}{how} LIMIT 20) {{ id {name} }}" for how in ("", " DESC", " NULLS FIRST")]
        made += [f"kinds(GROUP BY {name}) {{ {name} count() }}"]
        made += [f"kinds({each}) {{ id {name} }}" for each in CONDITIONS.get(storage, ())]
    return [*made, "kinds { sum(i64) }", "kinds { avg(f64) min(text) max(decimal) }", "users(id = oops) { id }"]


def test_a_server_for_another_machine_answers_the_same_bytes(both: tuple[Server, Server]) -> None:
    there, here = both
    refused = []
    for query in queries():
        answers = [each.ask(post(query)) for each in (there, here)]
        assert (answers[0].status, answers[0].body) == (answers[1].status, answers[1].body), query
        if answers[0].status != 200:
            refused.append(query)

    assert refused == ["users(id = oops) { id }"]
    assert len(there.ask(post("kinds { id }")).json()) == KINDS
    assert there.ask(get("/health", key="")).status == 200
