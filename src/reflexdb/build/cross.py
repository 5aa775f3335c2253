"""Compiling for another kind of processor than this machine's, with the compiler that the PyPI package ziglang brings.

Called by local.py where platforms are asked for besides this machine's own. The package is the extra `cross`: one wheel
with a C++ compiler, and the sources of musl and libc++ for every target, so that nothing else is installed. What it
makes is as static as what the machine's own compiler makes. It refuses to know images.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
from pathlib import Path

from reflexdb.build.process import Limits, run
from reflexdb.build.toolchain import Toolchain
from reflexdb.model.errors import BuildFailed, InvalidRequest

PLATFORMS = {"linux/amd64": "x86_64-linux-musl", "linux/arm64": "aarch64-linux-musl"}
"""What can be asked for, and what the compiler calls it."""
_ELF_MACHINES = {"amd64": 62, "arm64": 183}
_EMULATORS = {"arm64": ("qemu-aarch64-static", "qemu-aarch64"), "amd64": ("qemu-x86_64-static", "qemu-x86_64")}


def parse_platforms(text: str) -> tuple[str, ...]:
    """Of a list with commas between. Raises InvalidRequest."""
    wanted = tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    for each in wanted:
        if each not in PLATFORMS:
            raise InvalidRequest(f"{each[:100]!r} is no platform that images are built for: {', '.join(PLATFORMS)}")
    return wanted


def cross_toolchain(platform: str, cache: Path) -> Toolchain:
    """The compiler for a platform; what it compiles of its own libraries is kept in `cache`. Raises BuildFailed."""
    program = _program()
    scratch = cache / "zig"
    scratch.mkdir(parents=True, exist_ok=True)
    environment = (("ZIG_GLOBAL_CACHE_DIR", str(scratch)), ("ZIG_LOCAL_CACHE_DIR", str(scratch)))
    outcome = run([str(program), "version"], scratch, Limits(wall_s=60, cpu_s=60), environment=dict(environment))
    if not outcome.ok or not outcome.lines():
        raise BuildFailed(
            "compile", f"The compiler of the package ziglang does not answer; install it again ({program})."
        )
    version = outcome.lines()[0].strip()
    target = PLATFORMS[platform]
    return Toolchain(
        command=(str(program), "c++", "-target", target),
        version=f"zig {version}",
        machine=target,
        libraries=f"ziglang {version}",  # they come with it, as sources
        runtime=(("musl", f"of zig {version}"), ("libc++", f"of zig {version}")),
        environment=environment,
    )


def check_elf(binary: Path, platform: str) -> None:
    """That the file is a program of this platform which needs no interpreter. Raises BuildFailed."""
    content = binary.read_bytes()
    architecture = platform.rpartition("/")[2]
    if content[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", content, 18)[0] != _ELF_MACHINES[architecture]:
        raise BuildFailed("compile", f"The compiled server is no program for {platform}.")
    table, (size, number) = struct.unpack_from("<Q", content, 32)[0], struct.unpack_from("<HH", content, 54)
    kinds = {struct.unpack_from("<I", content, table + each * size)[0] for each in range(number)}
    if 3 in kinds:  # PT_INTERP
        raise BuildFailed("compile", f"The compiled server for {platform} is not static.")


def emulator(platform: str) -> str | None:
    """A program that runs programs of this platform here; None where none is installed."""
    return next(filter(None, map(shutil.which, _EMULATORS[platform.rpartition("/")[2]])), None)


def _program() -> Path:
    found = importlib.util.find_spec("ziglang")
    for directory in (found.submodule_search_locations or ()) if found else ():
        program = Path(directory) / "zig"
        if os.access(program, os.X_OK):
            return program
    raise BuildFailed(
        "compile",
        "Compiling for another platform needs the package ziglang; install it (pip install 'reflexdb[cross]'), "
        "or take the platform out of REFLEXDB_PLATFORMS.",
    )
