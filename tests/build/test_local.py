"""Building on this machine, for real: what comes out, and what is not done twice."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import reflexdb
from reflexdb.build.base import BuildRequest
from reflexdb.build.files import locked
from reflexdb.build.local import LocalBuilder
from reflexdb.model.errors import BuildFailed, InvalidConfig, InvalidSchema

from .processes import running, wait_for
from .schemas import blog, schema, table


def test_the_same_inputs_give_the_same_image_in_any_directory(tmp_path: Path, engine_dir: Path) -> None:
    request = BuildRequest(blog(), "version: 1")
    here, there = (LocalBuilder(tmp_path / name, engine_dir).build(request, print) for name in ("a", "b"))

    assert here.image.digest == there.image.digest
    assert here.plan == there.plan
    assert not there.image.reused


def test_an_unchanged_schema_is_not_built_again(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path, engine_dir)
    first = builder.build(BuildRequest(blog(), None), print)
    second = builder.build(BuildRequest(blog(), None), print)

    assert second.image.reused
    assert second.image.digest == first.image.digest


def test_another_schema_file_or_engine_is_another_image(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path / "data", engine_dir)
    other_engine = shutil.copytree(engine_dir, tmp_path / "engine")
    with (other_engine / "version.h").open("a") as file:
        file.write("// changed\n")
    images = [
        builder.build(BuildRequest(blog(), None), print),
        builder.build(BuildRequest(schema(table("users", "id")), None), print),
        builder.build(BuildRequest(blog(), "version: 1 # with a remark"), print),
        LocalBuilder(tmp_path / "data", other_engine).build(BuildRequest(blog(), None), print),
    ]

    assert len({built.image.digest for built in images}) == 4
    assert not any(built.image.reused for built in images)


def test_the_image_says_what_it_was_made_of(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path, engine_dir)
    built = builder.build(BuildRequest(blog(), "version: 1"), print)
    document = builder.store.document(built.image.digest)
    server = builder.store.unpack(built.image.digest, tmp_path / "instance")

    assert builder.store.plan(built.image.digest) == built.plan
    assert document["plan_fingerprint"] == built.plan.fingerprint().hex()
    assert document["config_sha256"] == hashlib.sha256(b"version: 1").hexdigest()
    assert document["binary"]["sha256"] == hashlib.sha256(server.read_bytes()).hexdigest()
    assert document["engine"]["version"] == reflexdb.__version__
    assert document["compiler"]["version"]
    assert built.image.uri == f"oci:{tmp_path / 'images'}@{built.image.digest}"
    assert str(tmp_path).encode() not in server.read_bytes()


def test_the_log_names_the_passes_in_order_and_what_they_decided(tmp_path: Path, engine_dir: Path) -> None:
    lines: list[str] = []
    LocalBuilder(tmp_path, engine_dir).build(BuildRequest(blog(), "version: 1\ntables: [{name: posts}]"), lines.append)
    passes = [line.partition(":")[0] for line in lines]

    assert list(dict.fromkeys(passes)) == [
        "plan",
        "engine",
        "reuse",
        "emit",
        "compile",
        "smoke",
        "package",
        "verify",
        "done",
    ]
    assert any(line.startswith("plan: not served:") and "author_id" in line for line in lines)
    assert all("\n" not in line for line in lines)


def test_a_damaged_image_is_built_again_to_the_same_digest(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path, engine_dir)
    first = builder.build(BuildRequest(blog(), None), print)
    layer = max((tmp_path / "images" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    with layer.open("r+b") as file:
        file.seek(5_000)
        file.write(b"damage")
    second = builder.build(BuildRequest(blog(), None), print)

    assert not second.image.reused
    assert second.image.digest == first.image.digest
    assert builder.store.verify(first.image.digest)


def test_a_file_or_schema_at_fault_is_the_users_error(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path, engine_dir)
    with pytest.raises(InvalidConfig):
        builder.build(BuildRequest(blog(), "version: 2"), print)
    with pytest.raises(InvalidSchema):
        builder.build(BuildRequest(schema(), None), print)

    assert not list(tmp_path.rglob("*.o"))


def test_a_server_that_does_not_know_its_plan_is_no_image(tmp_path: Path, engine_dir: Path) -> None:
    broken = shutil.copytree(engine_dir, tmp_path / "engine")
    (broken / "main.cc").write_text('#include <cstdio>\nint main() { std::puts("hello"); }\n')

    with pytest.raises(BuildFailed, match=r"does not know its plan.*hello"):
        LocalBuilder(tmp_path / "data", broken).build(BuildRequest(blog(), None), print)
    assert not (tmp_path / "data" / "images" / "index.json").exists()


def test_a_build_leaves_no_scratch_and_removes_what_a_killed_one_left(tmp_path: Path, engine_dir: Path) -> None:
    work = tmp_path / "cache" / "work"
    (work / "left").mkdir(parents=True)
    (work / "left" / "schema.gen.cc").touch()
    (work / "busy").mkdir()
    with locked(work / "busy" / "lock"):
        LocalBuilder(tmp_path, engine_dir).build(BuildRequest(blog(), None), print)

        assert [path.name for path in work.iterdir() if path.is_dir()] == ["busy"]


def test_builds_at_once_agree(tmp_path: Path, engine_dir: Path) -> None:
    requests = [BuildRequest(blog(), None), BuildRequest(schema(table("users", "id")), None)] * 2
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda request: LocalBuilder(tmp_path, engine_dir).build(request, print), requests))

    assert [one.image.digest for one in built[:2]] == [one.image.digest for one in built[2:]]
    assert all(LocalBuilder(tmp_path, engine_dir).store.verify(one.image.digest) for one in built)


def test_a_full_disk_is_said_plainly(tmp_path: Path, engine_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BuildFailed, match="the disk is full; free some space") as caught:
        LocalBuilder(tmp_path, engine_dir).build(BuildRequest(blog(), None), print)
    assert caught.value.step == "engine"


def test_a_control_plane_killed_in_a_build_leaves_no_compiler_and_no_obstacle(tmp_path: Path, engine_dir: Path) -> None:
    """The compiler answers questions as the real one does, but never finishes compiling."""
    marker = f"86{os.getpid()}3"
    compiler = tmp_path / "c++"
    questions = f'case "$1" in --version|-dumpmachine|-print*) exec {shutil.which("c++")} "$@";; esac'
    compiler.write_text(f"#!/bin/sh\n{questions}\nsleep {marker}\n")
    compiler.chmod(0o755)
    script = f"""
from pathlib import Path
from reflexdb.build.base import BuildRequest
from reflexdb.build.local import LocalBuilder
from tests.build.schemas import blog
LocalBuilder(Path({str(tmp_path / "data")!r}), Path({str(engine_dir)!r})).build(BuildRequest(blog(), None), print)
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "CXX": str(compiler), "PYTHONPATH": f"{root / 'src'}:{root}"}
    control = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL)
    wait_for(lambda: len(running(f"sleep\0{marker}")) == 1)
    control.kill()
    control.wait(10)

    wait_for(lambda: not running(marker))
    built = LocalBuilder(tmp_path / "data", engine_dir).build(BuildRequest(blog(), None), print)
    assert not built.image.reused
    assert not list((tmp_path / "data").rglob(".tmp-*"))


def test_data_directories_may_share_the_compiled_engine(
    tmp_path: Path, engine_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEXDB_ENGINE_CACHE", str(tmp_path / "shared"))
    lines: list[str] = []
    one = LocalBuilder(tmp_path / "a", engine_dir).build(BuildRequest(blog(), None), print)
    other = LocalBuilder(tmp_path / "b", engine_dir).build(BuildRequest(blog(), None), lines.append)

    assert one.image.digest == other.image.digest
    assert "engine: 1 objects from the cache" in lines
    assert not (tmp_path / "a" / "cache" / "engine").exists()
