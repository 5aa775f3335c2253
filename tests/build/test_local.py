"""Building on this machine, for real: what comes out, and what is not done twice."""

from __future__ import annotations

from pathlib import Path

from reflexdb.build.base import BuildRequest
from reflexdb.build.local import LocalBuilder

from .schemas import blog


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
