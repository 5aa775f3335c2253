"""Fuzzes every target with libFuzzer for a while: `make fuzz FUZZ_S=600`, or `python -m tests.fuzz.run 600 query`.

Needs clang++ with its fuzzer. Starts from the saved corpus; what it learns on the way is kept in build/fuzz, what it
finds is written there and named, and belongs into tests/fuzz/corpus with the change that mends it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reflexdb.build.emit import emit
from tests.engine.harness import ENGINE
from tests.engine.plans import PLAN
from tests.fuzz.corpus import ROWS
from tests.fuzz.targets import HERE, NEEDS_ROWS, TARGETS, sources

PLACE = HERE.parents[1] / "build" / "fuzz"
FLAGS = ("-std=c++20", "-O1", "-g1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all")
MOST_MEMORY_MB = 2_048
LONGEST_INPUT_S = 25


def main() -> int:
    compiler = shutil.which("clang++")
    if compiler is None:
        told = "Debian: apt-get install clang, which brings its runtime, libclang-rt-*-dev, along"
        print(f"fuzz: clang++ with libFuzzer is needed ({told}).", file=sys.stderr)
        return 2
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    chosen = sys.argv[2:] or list(TARGETS)
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "generated.cc").write_text(emit(PLAN))
    return max(fuzz(compiler, target, seconds) for target in chosen)


def fuzz(compiler: str, target: str, seconds: int) -> int:
    learned = PLACE / target
    learned.mkdir(exist_ok=True)
    command = [str(build(compiler, target)), str(learned), str(HERE / "corpus" / target)]
    command += [f"-max_total_time={seconds}", f"-timeout={LONGEST_INPUT_S}", f"-rss_limit_mb={MOST_MEMORY_MB}"]
    command += ["-print_final_stats=1", f"-artifact_prefix={PLACE}/{target}-"]
    print(f"fuzz: {target} for {seconds} s", flush=True)
    return subprocess.run(command, env={**os.environ, "REFLEXDB_FUZZ_ROWS": str(ROWS)}, check=False).returncode


def build(compiler: str, target: str) -> Path:
    units = sources(target)
    if target in NEEDS_ROWS:
        units.append(PLACE / "generated.cc")
    objects = [PLACE / f"{unit.stem}.o" for unit in units]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: compile_unit(compiler, *pair), zip(units, objects, strict=True)))
    program = PLACE / f"fuzz-{target}"
    subprocess.run([compiler, *FLAGS, *map(str, objects), "-o", str(program)], check=True)
    return program


def compile_unit(compiler: str, unit: Path, target: Path) -> None:
    """Unless the object is younger than its source and every header."""
    read = [unit, *ENGINE.glob("*.h"), *HERE.glob("*.h"), Path(__file__)]
    if target.exists() and target.stat().st_mtime > max(path.stat().st_mtime for path in read):
        return
    subprocess.run([compiler, *FLAGS, f"-I{ENGINE}", f"-I{HERE}", "-c", str(unit), "-o", str(target)], check=True)


if __name__ == "__main__":
    sys.exit(main())
