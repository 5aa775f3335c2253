"""The C++ compiler of this machine, and everything about it that can change a binary.

Called by compile.py and local.py. `$CXX` is preferred, then c++, g++ and clang++ in this order. The identity is part
of every cache key: a new compiler or C library makes new binaries. It refuses to know what is compiled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from reflexdb.build.files import scratch_directory
from reflexdb.build.process import Limits, Outcome, run
from reflexdb.model.errors import BuildFailed

CANDIDATES = ("c++", "g++", "clang++")
STATIC_LIBRARIES = ("libc.a", "libstdc++.a", "libgcc.a", "libgcc_eh.a", "libpthread.a")
ADVICE = (
    "install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++ glibc-static libstdc++-static), "
    "or set CXX"
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    command: tuple[str, ...]
    """Program and fixed arguments; `CXX` may hold some."""
    version: str
    """First line of `--version`: goes into the image's manifest."""
    machine: str
    """The target, as `-dumpmachine` says it: `x86_64-linux-gnu`."""
    libraries: str
    """Digest over the static libraries that become part of every binary."""
    runtime: tuple[tuple[str, str], ...] = ()
    """The C and C++ libraries by name and version, as their headers say them."""
    archives: tuple[tuple[str, str], ...] = ()
    """The static libraries by name, with their SHA-256."""

    environment: tuple[tuple[str, str], ...] = ()
    """What it is started with besides; nothing of it enters what it makes."""

    @property
    def architecture(self) -> str:
        """In OCI's words."""
        name = self.machine.partition("-")[0]
        return {"x86_64": "amd64", "aarch64": "arm64"}.get(name, name)

    def identity(self) -> str:
        return "\n".join((self.version, self.machine, self.libraries, *self.command[1:]))


_Description = tuple[str, str, tuple[Path, ...], tuple[tuple[str, str], ...]]
"""Version, machine, libraries and their versions."""
_KNOWN: dict[tuple[tuple[str, ...], tuple[int, ...]], _Description] = {}


def find_toolchain(scratch: Path) -> Toolchain:
    """`scratch` is where the compiler is asked, below which nothing stays. Raises BuildFailed("compile") where there is
    none or it does not run."""
    command = _command()
    version, machine, libraries, runtime = _described(command, scratch)
    sums = {path.name: _sum(path) for path in libraries}
    combined = hashlib.sha256(b"".join((each or hashlib.sha256()).digest() for each in sums.values())).hexdigest()
    linked = tuple((name, each.hexdigest()) for name, each in sums.items() if each is not None)
    return Toolchain(command, version, machine, combined, runtime, linked)


def _signature(program: Path) -> tuple[int, ...]:
    status = program.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _described(command: tuple[str, ...], scratch: Path) -> _Description:
    """Asked once for a compiler that stays the same: each question is a process."""
    key = (command, _signature(Path(command[0])))
    known = _KNOWN.get(key)
    if known is None:
        known = _KNOWN[key] = _describe(command, scratch)
    return known


def _describe(command: tuple[str, ...], scratch: Path) -> _Description:
    with scratch_directory(scratch) as directory:
        version = _ask(command, "--version", directory)
        machine = _ask(command, "-dumpmachine", directory)
        answers = [_run(command, f"-print-file-name={name}", directory).output.strip() for name in STATIC_LIBRARIES]
        runtime = _versions(command, directory)
    return version, machine, tuple(Path(answer) for answer in answers), runtime


def _versions(command: tuple[str, ...], directory: Path) -> tuple[tuple[str, str], ...]:
    """What the headers define; left out where they define nothing of the kind."""
    (directory / "versions.cc").write_text("#include <cstddef>\n#include <features.h>\n", encoding="ascii")
    said = run([*command, "-dM", "-E", "versions.cc"], directory, Limits(wall_s=20, cpu_s=20))
    defined = dict(re.findall(r"^#define (\w+) (\S+)$", said.output, re.MULTILINE))
    forms = {
        "glibc": ("__GLIBC__", "__GLIBC_MINOR__"),
        "libstdc++": ("_GLIBCXX_RELEASE", "__GLIBCXX__"),
        "libgcc": ("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__"),
    }
    return tuple(
        (name, ".".join(defined[each] for each in parts)) for name, parts in forms.items() if defined.keys() >= {*parts}
    )


def _command() -> tuple[str, ...]:
    wanted = shlex.split(os.environ.get("CXX", ""))
    if wanted:
        program = shutil.which(wanted[0])
        if program is None:
            raise BuildFailed(
                "compile", f"The C++ compiler {wanted[0]!r} named by CXX was not found; {ADVICE} to one that exists."
            )
        return (program, *wanted[1:])
    for name in CANDIDATES:
        program = shutil.which(name)
        if program is not None:
            return (program,)
    raise BuildFailed("compile", f"No C++ compiler was found on PATH; {ADVICE}.")


def _ask(command: tuple[str, ...], question: str, directory: Path) -> str:
    outcome = _run(command, question, directory)
    if not outcome.ok or not outcome.lines():
        raise BuildFailed(
            "compile", f"The C++ compiler {command[0]} does not answer {question}; {ADVICE} to another one."
        )
    return outcome.lines()[0].strip()


def _run(command: tuple[str, ...], question: str, directory: Path) -> Outcome:
    return run([*command, question], directory, Limits(wall_s=20, cpu_s=20))


def _sum(path: Path) -> hashlib._Hash | None:
    """Of the library's content, read in pieces since some have tens of megabytes. None for a library that the compiler
    does not know: it then answers with the name alone."""
    if not (path.is_absolute() and path.is_file() and path.stat().st_size > 0):
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
