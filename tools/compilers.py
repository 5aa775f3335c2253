"""Compiles the engine with every C++ compiler that is installed, so that a release works with each of them.

Called by `make check`. It looks for g++ and clang++ in PATH, with and without a version behind the name, and treats
warnings as errors. A compiler that has passed is not run again until the engine or the compiler changes. Compilers
older than those of Debian 12 are named and left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "src" / "reflexdb" / "engine"
PASSED = ROOT / "build" / "compilers"
NAME = re.compile(r"(g|clang)\+\+(-\d+)?")
OLDEST = {"g": 12, "clang": 14}
"""The compilers of Debian 12."""
FLAGS = ("-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
SHOWN_LINES = 40


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler in PATH."""

    program: Path
    family: str
    version: str
    """The first line that `--version` prints."""
    major: int


def main() -> int:
    digest = engine_digest()
    compilers = list(installed())
    if not compilers:
        print("compilers: no g++ or clang++ is in PATH, so the engine was not compiled", file=sys.stderr)
    return 1 if [each for each in compilers if not passes(each, digest)] else 0


def installed() -> Iterator[Compiler]:
    """Every compiler in PATH, each version once."""
    seen: set[str] = set()
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        for program in sorted(Path(directory).glob("*++*")) if directory else []:
            name = NAME.fullmatch(program.name)
            if name is None or not os.access(program, os.X_OK):
                continue
            compiler = described(program, name[1])
            if compiler is not None and compiler.version not in seen:
                seen.add(compiler.version)
                yield compiler


def described(program: Path, family: str) -> Compiler | None:
    """None for a program that does not say its version."""
    version, major = ask(program, "--version"), ask(program, "-dumpversion").partition(".")[0]
    # Two names of one compiler differ in the first word alone: `g++` and `g++-12`.
    return Compiler(program, family, version.partition(" ")[2], int(major)) if version and major.isdigit() else None


def ask(program: Path, question: str) -> str:
    said = subprocess.run([program, question], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0].strip()


def passes(compiler: Compiler, digest: str) -> bool:
    """Whether the whole engine compiles; says what does not."""
    if compiler.major < OLDEST[compiler.family]:
        print(f"compilers: {compiler.program} is older than {compiler.family}++ {OLDEST[compiler.family]}, left out")
        return True
    stamp = PASSED / hashlib.sha256("\n".join((digest, compiler.version, *FLAGS)).encode()).hexdigest()
    if stamp.exists():
        return True
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        complaints = [said for said in pool.map(lambda unit: complaint(compiler, unit), units()) if said]
    if complaints:
        lines = "\n".join(complaints).splitlines()[:SHOWN_LINES]
        print(f"compilers: {len(complaints)} files do not compile with {compiler.program} ({compiler.version})")
        print("\n".join(lines))
        return False
    PASSED.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    return True


def complaint(compiler: Compiler, unit: Path) -> str:
    """What the compiler prints of a file that it refuses; empty where it takes the file."""
    command = [str(compiler.program), *FLAGS, f"-I{ENGINE}", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stderr.strip() or f"{unit}: exit status {said.returncode}" if said.returncode else ""


def units() -> list[Path]:
    return sorted(ENGINE.rglob("*.cc"))


def engine_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted([*units(), *ENGINE.rglob("*.h")]):
        digest.update(f"{path.relative_to(ENGINE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
