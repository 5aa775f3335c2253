"""The builder on this machine: the passes in their order, each with its line in the log.

Control calls `LocalBuilder.build` from a worker thread; builds of several threads and processes may share a data
directory. Keeps under it: `images/` (the store), `cache/engine/` (compiled engine), `cache/images/` (which image the
same inputs made), `cache/work/` (scratch). It refuses to know databases, sources and secrets.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import reflexdb
from reflexdb.build.base import BuildRequest, BuildResult, Check, Image, Log, Passed, Smoke, Trial, unchecked
from reflexdb.build.compile import ENGINE_DIRECTORY, FORMAT, EngineCompiler, Progress
from reflexdb.build.cross import PLATFORMS, check_elf, cross_toolchain, emulator
from reflexdb.build.emit import emit
from reflexdb.build.files import scratch_directory
from reflexdb.build.image import SERVER_PATH, ImageParts, assemble, canonical_json
from reflexdb.build.phases import Phases
from reflexdb.build.plan import make_plan
from reflexdb.build.process import Limits, run
from reflexdb.build.remote import Remote
from reflexdb.build.shelf import Shelf
from reflexdb.build.signing import SigningKeys
from reflexdb.build.toolchain import Toolchain, find_toolchain
from reflexdb.model.config import parse_config
from reflexdb.model.errors import BuildFailed
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.suggest import quoted

ENGINE_CACHE_VARIABLE = "REFLEXDB_ENGINE_CACHE"
"""Names a directory where several data directories share the compiled engine; without it each keeps its own."""

PROGRESS_STEP = 10
MANIFEST_FORMAT = 2
"""Part of every image's key: raise it when the manifest says more of the same inputs."""
SHOWN = 30
"""Names of one kind in one line of the log."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Everything that decides an image's bytes."""

    plan: Plan
    config_sha256: str | None
    toolchain: Toolchain
    engine: EngineCompiler
    smoke: Smoke | None = None
    """Decides no byte: but an image that was tried is another to know of than one that was not."""

    def key(self) -> str:
        document = {
            "format": FORMAT,
            "version": reflexdb.__version__,
            "plan": self.plan.to_json(),
            "config": self.config_sha256,
            "engine": self.engine.key,
            "manifest": MANIFEST_FORMAT,
            "smoked": self.smoke is not None,
        }
        return hashlib.sha256(canonical_json(document)).hexdigest()


class LocalBuilder:
    """Builder that compiles here and stores images in a directory."""

    def __init__(
        self,
        data_dir: Path,
        engine_dir: Path = ENGINE_DIRECTORY,
        keys: SigningKeys | None = None,
        elsewhere: Remote | None = None,
        platforms: tuple[str, ...] = (),
    ) -> None:
        """With keys, what is made is signed, and what is not signed is made again. `elsewhere` gets every image too;
        for `platforms` other than this machine's own there is an image beside it."""
        self._platforms = platforms
        self._cache = data_dir.absolute() / "cache"
        self._engine_dir = engine_dir
        shared = os.environ.get(ENGINE_CACHE_VARIABLE)
        self._engine_cache = Path(shared).absolute() if shared else self._cache / "engine"
        self._shelf = Shelf(data_dir, keys, elsewhere)
        self.store = self._shelf.store

    def build(
        self, request: BuildRequest, log: Log, passed: Passed | None = None, check: Check = unchecked
    ) -> BuildResult:
        phases = Phases(log, passed, check)
        with phases.run("plan"):
            plan = planned(request, log)
        with phases.run("engine"):
            inputs = self._inputs(plan, request, find_toolchain(self._cache / "work"), check)
            log(f"engine: {inputs.toolchain.version}, {inputs.toolchain.machine}")
        image = self._image_of(inputs, phases, log)
        own = f"linux/{inputs.toolchain.architecture}"
        others = [self._other(platform, plan, request, phases, log) for platform in self._platforms if platform != own]
        return BuildResult(image, plan, dict(others))

    def _other(self, platform: str, plan: Plan, request: BuildRequest, phases: Phases, log: Log) -> tuple[str, Image]:
        """The same plan for another platform, its passes named after it. Its server may not run here, so only that of
        this machine's own platform, made of the same sources, is tried on rows."""
        apart = phases.of(platform)
        with apart.run("engine"):
            toolchain = cross_toolchain(platform, self._cache)
            inputs = self._inputs(plan, replace(request, smoke=None), toolchain, phases.check)
            log(f"engine: {inputs.toolchain.version}, {inputs.toolchain.machine}")
        return platform, self._image_of(inputs, apart, log)

    def _inputs(self, plan: Plan, request: BuildRequest, toolchain: Toolchain, check: Check) -> _Inputs:
        engine = EngineCompiler(toolchain, self._engine_cache, self._engine_dir, check)
        return _Inputs(plan, sha256_of(request.config_text), toolchain, engine, request.smoke)

    def _image_of(self, inputs: _Inputs, phases: Phases, log: Log) -> Image:
        known = self._shelf.reused(inputs.key(), phases, log)
        if known is not None:
            if inputs.smoke is not None:
                log("smoke: not run again: its server passed when the image was made")
            return known
        parts = self._parts(inputs, phases, log, self._cache / "work")
        return self._shelf.keep(parts, inputs.key(), phases, log)

    def remake(
        self, plan: Plan, config_text: str | None, directory: Path, log: Log, check: Check = unchecked, *, fresh: bool
    ) -> ImageParts:
        """Make an image of recorded inputs again, in `directory`, and store nothing. What was compiled here before is
        used for the engine alone, after a look at every byte, and with `fresh` not even there. Raises BuildFailed."""
        phases, toolchain = Phases(log, None, check), find_toolchain(directory / "work")
        cache = directory / "engine" if fresh else self._engine_cache
        compiler = EngineCompiler(toolchain, cache, self._engine_dir, check)
        return self._parts(_Inputs(plan, sha256_of(config_text), toolchain, compiler), phases, log, directory / "work")

    def _parts(self, inputs: _Inputs, phases: Phases, log: Log, work: Path) -> ImageParts:
        with phases.run("engine"):
            objects, cached = inputs.engine.objects(_progress(log))
            log(f"engine: {len(objects)} objects {'from the cache' if cached else 'compiled'}")
        with phases.run("emit"):
            unit = emit(inputs.plan)
            log(f"emit: {unit.count(chr(10)):,} lines")
        with scratch_directory(work) as directory:
            with phases.run("compile"):
                server = self._compile(inputs, unit, objects, directory, log)
                binary = server.read_bytes()
                log(f"compile: {len(binary):,} bytes, static")
            with phases.run("smoke"):
                self._try_out(inputs, Trial(server, inputs.plan, log, phases.check))
        return assemble(binary, _document(inputs, unit, binary), inputs.toolchain.architecture, reflexdb.__version__)

    def _try_out(self, inputs: _Inputs, trial: Trial) -> None:
        """An image of the same inputs, made earlier and since damaged, is known no more where the server fails now."""
        if inputs.smoke is None:
            trial.log("smoke: not run: there is nothing to try this server with")
            return
        try:
            inputs.smoke(trial)
        except BuildFailed:
            self._shelf.forget(inputs.key())
            raise

    def _compile(self, inputs: _Inputs, unit: str, objects: list[Path], directory: Path, log: Log) -> Path:
        compiled = inputs.engine.compile_unit(unit, directory)
        binary = inputs.engine.link(compiled, objects, directory)
        _check_answers(binary, inputs, directory, log)
        return binary


def planned(request: BuildRequest, log: Log) -> Plan:
    """What a build is to make, said in its log. Raises InvalidConfig, InvalidSchema."""
    config = parse_config(request.config_text) if request.config_text is not None else None
    made = make_plan(request.schema, config)
    for note in made.notes:
        log(f"plan: {note}")
    tables = made.plan.tables
    for table in tables:
        log(f"plan: {_table_line(table)}")
    for entry in made.plan.not_served:
        log(f"plan: not served: {entry.line()}")
    columns = sum(len(table.columns) for table in tables)
    log(f"plan: {len(tables):,} tables, {columns:,} columns, fingerprint {made.plan.fingerprint().hex()}")
    return made.plan


def _progress(log: Log) -> Progress:
    def announce(done: int, total: int) -> None:
        if done == 0:
            log(f"engine: compiling {total} sources, once for this version and compiler")
        elif done % PROGRESS_STEP == 0:
            log(f"engine: {done} of {total} sources compiled")

    return announce


def _table_line(table: PlannedTable) -> str:
    name = quoted(table.name)
    if table.name != table.source_name:
        name += f" (source: {quoted(table.source_name)})"
    columns = ", ".join(
        quoted(column.name) + ("" if column.visible else " (hidden)") for column in table.columns[:SHOWN]
    )
    visible = [relation.name for relation in table.forward if relation.visible]
    relations = ", ".join(quoted(relation) for relation in [*visible, *(one.name for one in table.reverse)][:SHOWN])
    counts = f"{len(table.columns)} columns ({columns}), {len(visible) + len(table.reverse)} relations ({relations})"
    return f"table {name}: {counts}"


def sha256_of(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _document(inputs: _Inputs, unit: str, binary: bytes) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "schema": inputs.plan.schema,
        "plan": inputs.plan.to_json(),
        "plan_fingerprint": inputs.plan.fingerprint().hex(),
        "config_sha256": inputs.config_sha256,
        "engine": {"version": reflexdb.__version__, "key": inputs.engine.key},
        "compiler": {"version": inputs.toolchain.version, "machine": inputs.toolchain.machine},
        "runtime": dict(inputs.toolchain.runtime),
        "archives": dict(inputs.toolchain.archives),
        "unit": {"sha256": hashlib.sha256(unit.encode("ascii")).hexdigest()},
        "binary": {"path": f"/{SERVER_PATH}", "sha256": hashlib.sha256(binary).hexdigest(), "size": len(binary)},
    }


def _check_answers(binary: Path, inputs: _Inputs, directory: Path, log: Log) -> None:
    """Start the new server once and hear which plan it serves; one for another platform where that can be run here."""
    command = [str(binary), "--schema"]
    if inputs.toolchain.machine in PLATFORMS.values():
        platform = f"linux/{inputs.toolchain.architecture}"
        check_elf(binary, platform)
        runs = emulator(platform)
        if runs is None:
            log(f"compile: the server for {platform} is whole by its header; nothing here can start it")
            return
        command = [runs, *command]
    outcome = run(command, directory, Limits(wall_s=60, cpu_s=60))
    fingerprint = None
    with suppress(ValueError, TypeError, KeyError):
        fingerprint = json.loads(outcome.output)["fingerprint"]
    if not outcome.ok or fingerprint != inputs.plan.fingerprint().hex():
        said = (outcome.lines() or ["nothing"])[0][:200]
        raise BuildFailed("compile", f"The compiled server does not know its plan; asked for it, it said: {said}")
