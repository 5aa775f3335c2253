"""Images for another platform: named, compiled by the package ziglang, and known by their headers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from reflexdb.build import cross
from reflexdb.build.base import BuildRequest
from reflexdb.build.image import SERVER_PATH, extract
from reflexdb.build.local import LocalBuilder
from reflexdb.model.errors import BuildFailed, InvalidRequest

from .schemas import blog

needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="needs ziglang (pip install 'reflexdb[cross]')"
)


@needs_zig
def test_a_build_makes_an_image_for_each_platform_that_is_asked_for(
    tmp_path: Path, engine_dir: Path, pytestconfig: pytest.Config
) -> None:
    """With a small engine. The libraries of the target, compiled once, are kept for the next run."""
    assert pytestconfig.cache is not None
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "zig").symlink_to(pytestconfig.cache.mkdir("zig"))
    builder, lines = LocalBuilder(tmp_path, engine_dir, platforms=("linux/amd64", "linux/arm64")), list[str]()
    result = builder.build(BuildRequest(blog(), None), lines.append)
    again = builder.build(BuildRequest(blog(), None), lines.append)
    (name,) = result.others
    other = result.others[name]
    parts = builder.store.parts(other.digest)
    server = tmp_path / "server"
    server.write_bytes(extract(parts.layer.content, SERVER_PATH))
    server.chmod(0o755)

    assert other.digest != result.image.digest
    assert (again.others[name].digest, again.others[name].reused) == (other.digest, True)
    assert f"linux/{parts.architecture}" == name
    assert json.loads(parts.config.content)["architecture"] == parts.architecture
    cross.check_elf(server, name)
    with pytest.raises(BuildFailed, match="is no program for"):
        cross.check_elf(server, "linux/amd64" if name == "linux/arm64" else "linux/arm64")
    runs = cross.emulator(name)
    if runs is not None:
        said = subprocess.run([runs, server, "--schema"], capture_output=True, text=True, check=True, timeout=60).stdout
        assert json.loads(said)["fingerprint"] == result.plan.fingerprint().hex()


def test_without_the_package_the_build_says_what_to_install(
    tmp_path: Path, engine_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    builder = LocalBuilder(tmp_path, engine_dir, platforms=("linux/amd64", "linux/arm64"))

    with pytest.raises(BuildFailed, match=r"pip install 'reflexdb\[cross\]'"):
        builder.build(BuildRequest(blog(), None), print)


def test_the_machines_own_server_is_no_program_for_another_platform(tmp_path: Path, engine_dir: Path) -> None:
    builder = LocalBuilder(tmp_path, engine_dir)
    digest = builder.build(BuildRequest(blog(), None), print).image.digest
    server = builder.store.unpack(digest, tmp_path / "instance")
    own = f"linux/{builder.store.parts(digest).architecture}"

    cross.check_elf(server, own)
    with pytest.raises(BuildFailed, match="is no program for"):
        cross.check_elf(server, next(each for each in cross.PLATFORMS if each != own))


def test_platforms_are_named_as_everywhere() -> None:
    assert cross.parse_platforms(" linux/arm64, linux/amd64,linux/arm64") == ("linux/arm64", "linux/amd64")
    assert cross.parse_platforms("") == ()
    for wrong in ("arm64", "linux/riscv64", "linux/arm64;x", "windows/amd64"):
        with pytest.raises(InvalidRequest, match="is no platform that images are built for"):
            cross.parse_platforms(wrong)
