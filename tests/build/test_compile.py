"""The toolchain and the engine's cache: what is found, kept, noticed and said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reflexdb.build import compile as compiling
from reflexdb.build.compile import EngineCompiler
from reflexdb.build.emit import emit
from reflexdb.build.files import locked
from reflexdb.build.process import Limits
from reflexdb.build.toolchain import find_toolchain
from reflexdb.model.errors import BuildFailed

from .images import small_plan


def build(compiler: EngineCompiler, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    objects, _ = compiler.objects()
    return compiler.link(compiler.compile_unit(emit(small_plan()), directory), objects, directory)


def test_the_binary_is_static_stripped_and_names_no_path(tmp_path: Path, engine_dir: Path) -> None:
    binary = build(
        EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine_dir), tmp_path / "work"
    )
    headers = subprocess.run(["readelf", "-lSW", binary], capture_output=True, text=True, check=True).stdout

    assert "INTERP" not in headers
    assert "GNU_RELRO" in headers
    assert ".symtab" not in headers
    assert ".note.gnu.build-id" not in headers
    assert str(tmp_path).encode() not in binary.read_bytes()
    assert str(engine_dir).encode() not in binary.read_bytes()


def test_the_binary_is_hardened(tmp_path: Path, engine_dir: Path) -> None:
    """At an address of its own each time, nothing writable and executable, tables of addresses read-only."""
    binary = build(
        EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine_dir), tmp_path / "work"
    )
    headers = subprocess.run(["readelf", "-hldW", binary], capture_output=True, text=True, check=True).stdout
    stack = next(line for line in headers.splitlines() if "GNU_STACK" in line)

    assert re.search(r"Type: +DYN", headers)
    assert "GNU_RELRO" in headers
    assert re.search(r"FLAGS.*NOW", headers)
    assert "PIE" in headers
    assert "TEXTREL" not in headers
    assert stack.split()[-2] == "RW"
    assert not [line for line in headers.splitlines() if "LOAD" in line and "RWE" in line]


def test_every_object_guards_its_stack_and_checks_its_buffers(tmp_path: Path, engine_dir: Path) -> None:
    engine = Path(shutil.copytree(engine_dir, tmp_path / "engine"))
    (engine / "copying.cc").write_text(
        "#include <cstdlib>\n#include <cstring>\n#include <unistd.h>\n"
        "int copying(const char* from, size_t size) {\n"
        "  char to[64];\n  std::memcpy(to, from, size);\n  return write(1, to, sizeof to) < 0;\n}\n"
    )
    objects, _ = EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine).objects()
    copying = next(path for path in objects if path.stem == "copying")
    symbols = subprocess.run(["readelf", "-sW", copying], capture_output=True, text=True, check=True).stdout

    assert "__stack_chk_fail" in symbols
    assert "__memcpy_chk" in symbols


def test_the_engine_is_compiled_once_and_again_when_it_changes(tmp_path: Path, engine_dir: Path) -> None:
    mine = shutil.copytree(engine_dir, tmp_path / "engine")
    toolchain, cache = find_toolchain(tmp_path / "scratch"), tmp_path / "cache"
    first = EngineCompiler(toolchain, cache, mine)
    assert first.objects()[1] is False
    assert first.objects()[1] is True

    (mine / "version.h").write_text((mine / "version.h").read_text() + "\n")
    changed = EngineCompiler(toolchain, cache, mine)
    assert changed.key != first.key
    assert changed.objects()[1] is False


def test_a_damaged_cache_is_made_again(tmp_path: Path, engine_dir: Path) -> None:
    compiler = EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine_dir)
    (path,), _ = compiler.objects()
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")

    assert compiler.objects() == ([path], False)
    assert path.read_bytes() == good
    (path.parent / "objects.json").write_text("[")
    assert compiler.objects() == ([path], False)


def test_builds_at_once_compile_the_engine_once(tmp_path: Path, engine_dir: Path) -> None:
    compilers = [EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine_dir) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        cached = [known for _, known in pool.map(lambda compiler: compiler.objects(), compilers)]

    assert sorted(cached) == [False, True, True]
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [compilers[0].key]


def test_only_the_newest_engines_are_kept(tmp_path: Path, engine_dir: Path) -> None:
    cache = tmp_path / "cache"
    for age in range(6):
        (cache / f"old{age}").mkdir(parents=True)
        os.utime(cache / f"old{age}", (1_000 - age, 1_000 - age))
    compiler = EngineCompiler(find_toolchain(tmp_path / "scratch"), cache, engine_dir)
    compiler.objects()

    assert {path.name for path in cache.iterdir() if path.is_dir()} == {compiler.key, "old0", "old1", "old2"}


def test_a_compiler_error_is_told_by_its_first_line(tmp_path: Path, engine_dir: Path) -> None:
    mine = shutil.copytree(engine_dir, tmp_path / "engine")
    (mine / "broken.cc").write_text('#include "schema.h"\nint f() { return nonsense; }\n')

    with pytest.raises(BuildFailed, match=r"compiling broken.cc: .*error: 'nonsense' was not declared") as caught:
        EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", mine).objects()
    assert caught.value.step == "engine"
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_symbol_that_is_missing_fails_the_link(tmp_path: Path, engine_dir: Path) -> None:
    mine = shutil.copytree(engine_dir, tmp_path / "engine")
    (mine / "main.cc").write_text("int missing();\nint main() { return missing(); }\n")

    with pytest.raises(BuildFailed, match="undefined reference") as caught:
        build(EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", mine), tmp_path / "work")
    assert caught.value.step == "link"


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(BuildFailed, match="apt-get install g\\+\\+") as caught:
        find_toolchain(tmp_path / "scratch")
    assert caught.value.step == "compile"

    monkeypatch.setenv("CXX", "/nowhere/c++ -m32")
    with pytest.raises(BuildFailed, match="/nowhere/c\\+\\+"):
        find_toolchain(tmp_path / "scratch")


def test_a_compiler_that_does_not_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c++").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))

    with pytest.raises(BuildFailed, match="does not answer --version"):
        find_toolchain(tmp_path / "scratch")


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A compiler that answers questions as the real one does, and compiles in its own way."""
    real = shutil.which("c++")
    script = f'#!/bin/sh\ncase "$1" in --version|-dumpmachine|-print*) exec {real} "$@";; esac\n{body}\n'
    (tmp_path / "fake-c++").write_text(script)
    (tmp_path / "fake-c++").chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / "fake-c++"))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("sleep 60", "Time ran out compiling main.cc"),
        ("echo 'fatal error: error writing to x.s: No space left on device'; exit 1", "The disk is full"),
        ("echo 'cc1plus: out of memory allocating 65536 bytes'; exit 1", "Memory ran out"),
        ("kill -9 $$", "killed compiling main.cc"),
        ("exit 1", "exit status 1 and no message"),
    ],
)
def test_a_compiler_in_trouble_is_explained(
    tmp_path: Path, engine_dir: Path, monkeypatch: pytest.MonkeyPatch, body: str, sentence: str
) -> None:
    fake(tmp_path, monkeypatch, body)
    monkeypatch.setattr(compiling, "LIMITS", Limits(wall_s=1.0))

    with pytest.raises(BuildFailed, match=sentence):
        EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine_dir).objects()


def test_a_build_waits_for_another_process_that_makes_the_same_engine(tmp_path: Path, engine_dir: Path) -> None:
    compiler = EngineCompiler(find_toolchain(tmp_path / "scratch"), tmp_path / "cache", engine_dir)
    compiler.objects()
    done = threading.Event()

    def wait_for_objects() -> None:
        compiler.objects()
        done.set()

    with locked(tmp_path / "cache" / f"{compiler.key}.lock"):
        waiting = threading.Thread(target=wait_for_objects)
        waiting.start()
        assert not done.wait(0.2)

    assert done.wait(10)
    waiting.join(10)
