"""From the generated unit to one static, stripped binary.

Called by local.py. The engine's own sources do not depend on the schema: their objects are compiled once per engine
source, compiler and flags, and kept under a key of all three. Paths never enter an object, so equal inputs give equal
bytes in any directory. It refuses to know plans and images.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import reflexdb
from reflexdb.build.base import Check, unchecked
from reflexdb.build.files import TEMPORARY_PREFIX, locked, newest_first, sync_directory
from reflexdb.build.process import Limits, Outcome, run
from reflexdb.build.toolchain import Toolchain
from reflexdb.model.errors import BuildFailed

ENGINE_DIRECTORY = Path(reflexdb.__file__).parent / "engine"
PARALLEL_COMPILERS = 2
KEPT_ENGINES = 4
LIMITS = Limits()
CROSS_LIMITS = Limits(wall_s=1800.0, cpu_s=1800)
"""The first program for another target has that target's libraries compiled before it."""
FORMAT = 1
"""Part of every key: raise it when what is made of the same inputs changes."""

COMPILE_FLAGS = (
    "-std=c++20",
    "-O3",
    "-g0",
    "-pthread",
    "-fPIE",
    "-fno-plt",
    "-fstack-protector-strong",
    "-U_FORTIFY_SOURCE",
    "-D_FORTIFY_SOURCE=2",
    "-ffunction-sections",
    "-fdata-sections",
)
LINK_FLAGS = (
    "-static-pie",
    "-pthread",
    "-s",
    "-Wl,-z,relro,-z,now,-z,noexecstack",
    "-Wl,--build-id=none",
    "-Wl,--gc-sections",
)
GLIBC_LINK_FLAGS = (
    # In older C libraries threads are a separate archive whose weak symbols a static link would leave out.
    "-Wl,--whole-archive,-lpthread,--no-whole-archive",
)
MACHINE_FLAGS = {"x86_64": ("-march=x86-64", "-mtune=generic"), "aarch64": ("-march=armv8-a",)}
"""Baselines: an image runs on every machine of its architecture; faster paths are chosen at run time."""


Progress = Callable[[int, int], None]


def sources_sha256(directory: Path = ENGINE_DIRECTORY) -> str:
    """Of all that the engine is compiled from: its files' names and contents."""
    return hashlib.sha256(json.dumps(_digests(directory)).encode("ascii")).hexdigest()


def _sources(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.cc") if not path.stem.endswith("_test"))


def _digests(directory: Path) -> list[str]:
    """Of everything that an engine is compiled from, each name and its content's digest after it."""
    found: list[str] = []
    for path in sorted([*_sources(directory), *directory.glob("*.h")]):
        found += [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
    return found


class EngineCompiler:
    """The engine's sources and the cache of their objects."""

    def __init__(
        self, toolchain: Toolchain, cache: Path, sources: Path = ENGINE_DIRECTORY, check: Check = unchecked
    ) -> None:
        self._check = check
        self._toolchain = toolchain
        self._cache = cache
        self.directory = sources
        self._sources = _sources(sources)
        musl = toolchain.machine.endswith("-musl")  # cross.py's targets, whose baseline the compiler knows
        self._cross = musl
        self._flags = (*COMPILE_FLAGS, *(() if musl else MACHINE_FLAGS.get(toolchain.machine.partition("-")[0], ())))
        self._link_flags = (*LINK_FLAGS, *(() if musl else GLIBC_LINK_FLAGS))
        if not self._sources:
            raise BuildFailed("engine", f"No engine sources are in {sources}; install reflexdb again.")
        self.key = self._key()

    def _key(self) -> str:
        digest = hashlib.sha256()
        parts = [str(FORMAT), self._toolchain.identity(), *self._flags, *self._link_flags, *_digests(self.directory)]
        digest.update(json.dumps(parts).encode("ascii"))
        return digest.hexdigest()

    def objects(self, announce: Progress | None = None) -> tuple[list[Path], bool]:
        """The engine's objects, and whether they were there already. Waits for whoever is making the same ones.

        `announce` hears how many of how many sources are compiled: it can take a minute.
        """
        self._cache.mkdir(parents=True, exist_ok=True)
        final = self._cache / self.key
        with locked(self._cache / f"{self.key}.lock", self._check):
            known = _intact(final)
            if known:
                os.utime(final)
                return known, True
            shutil.rmtree(final, ignore_errors=True)
            self._make(final, announce or _silent)
            self._forget_old()
            return _intact(final), False

    def _make(self, final: Path, announce: Progress) -> None:
        prefix = f"{TEMPORARY_PREFIX}{self.key[:16]}-"
        for left in self._cache.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=self._cache))
        try:
            with ThreadPoolExecutor(PARALLEL_COMPILERS, thread_name_prefix="compile") as pool:
                announce(0, len(self._sources))
                compiled = pool.map(
                    lambda source: self._compile(source, scratch, f"{source.stem}.o", "engine"), self._sources
                )
                for done, _ in enumerate(compiled, 1):
                    announce(done, len(self._sources))
            objects = sorted(scratch.glob("*.o"))
            digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in objects}
            (scratch / "objects.json").write_text(json.dumps(digests, sort_keys=True), encoding="ascii")
            scratch.rename(final)
            sync_directory(self._cache)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _forget_old(self) -> None:
        """Engines of earlier versions and compilers; the newest few stay, for who runs two versions side by side."""
        engines = [path for path in newest_first(self._cache) if path.is_dir() and not path.name.startswith(".")]
        for path in engines[KEPT_ENGINES:]:
            shutil.rmtree(path, ignore_errors=True)

    def compile_unit(self, text: str, directory: Path) -> Path:
        """The object of the generated unit, in `directory`."""
        source = directory / "schema.gen.cc"
        source.write_text(text, encoding="ascii")
        return self._compile(source, directory, "schema.gen.o", "compile")

    def _compile(self, source: Path, directory: Path, name: str, step: str) -> Path:
        maps = [
            f"-ffile-prefix-map={source.parent}=.",
            f"-ffile-prefix-map={self.directory}=.",
            f"-ffile-prefix-map={directory}=.",
        ]
        unique = f"-frandom-seed={source.name}"
        command = [
            *self._toolchain.command,
            *self._flags,
            *maps,
            unique,
            f"-I{self.directory}",
            "-c",
            str(source),
            "-o",
            name,
        ]
        outcome = self._run(command, directory, step)
        if not outcome.ok:
            raise _failed(step, f"compiling {source.name}", outcome)
        return directory / name

    def link(self, unit: Path, objects: Iterable[Path], directory: Path) -> Path:
        """The finished binary `reflex-server` in `directory`."""
        command = [
            *self._toolchain.command,
            *self._flags,
            unit.name,
            *map(str, objects),
            *self._link_flags,
            "-o",
            "reflex-server",
        ]
        outcome = self._run(command, directory, "link")
        if not outcome.ok:
            raise _failed("link", "linking reflex-server", outcome)
        return directory / "reflex-server"

    def _run(self, command: list[str], directory: Path, step: str) -> Outcome:
        try:
            return run(
                command,
                directory,
                CROSS_LIMITS if self._cross else LIMITS,
                self._check,
                dict(self._toolchain.environment),
            )
        except OSError as exc:
            if exc.errno == errno.ENOSPC:
                raise BuildFailed(
                    step, "The disk is full; free some space in the data directory and build again."
                ) from exc
            raise BuildFailed(step, f"The compiler could not be started: {exc.strerror}.") from exc


def _silent(_done: int, _total: int) -> None:
    """Progress that nobody wants to hear."""


def _intact(directory: Path) -> list[Path]:
    """The objects in a finished cache entry; nothing where it is missing, incomplete or damaged."""
    try:
        digests: dict[str, str] = json.loads((directory / "objects.json").read_text(encoding="ascii"))
        for name, digest in digests.items():
            if hashlib.sha256((directory / name).read_bytes()).hexdigest() != digest:
                return []
    except (OSError, ValueError, AttributeError):
        return []
    return [directory / name for name in sorted(digests)]


def _failed(step: str, doing: str, outcome: Outcome) -> BuildFailed:
    """What went wrong in one sentence: the first error the tool printed, or the limit it ran into."""
    text = outcome.output
    if "No space left on device" in text:
        return BuildFailed(step, f"The disk is full ({doing}); free some space in the data directory and build again.")
    if outcome.timed_out or outcome.status == 128 + 24:
        return BuildFailed(
            step,
            f"Time ran out {doing}: {LIMITS.wall_s:.0f} s are allowed; include fewer tables or use a faster machine.",
        )
    if "out of memory" in text or "virtual memory exhausted" in text or "cannot allocate memory" in text.lower():
        return BuildFailed(
            step, f"Memory ran out {doing}: {LIMITS.memory_bytes >> 30} GiB are allowed; include fewer tables."
        )
    if outcome.status == 128 + 9:
        return BuildFailed(step, f"The compiler was killed {doing}, most likely because the machine's memory ran out.")
    errors = [line for line in outcome.lines() if re.search(r"\berror:|cannot find|undefined reference", line)]
    first = (errors or outcome.lines() or [f"exit status {outcome.status} and no message"])[0].strip()
    hint = " Install the static C and C++ libraries." if "cannot find -l" in text else ""
    return BuildFailed(step, f"The C++ compiler failed {doing}: {first[:500]}.{hint}")
