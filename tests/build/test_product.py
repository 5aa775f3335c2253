"""The real engine in a real image: what is built is a server that knows its plan and answers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import reflexdb
from reflexdb.build.base import BuildRequest, BuildResult
from reflexdb.build.local import LocalBuilder

from .schemas import blog, column, schema, table
from .test_emit import HOSTILE


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the module; the compiled engine is shared by the whole run and the next ones (tests/conftest.py)."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def built(data_dir: Path) -> BuildResult:
    return LocalBuilder(data_dir).build(BuildRequest(blog(), None), print)


def test_the_server_says_which_plan_and_version_it_is(built: BuildResult, data_dir: Path, tmp_path: Path) -> None:
    server = LocalBuilder(data_dir).store.unpack(built.image.digest, tmp_path)
    said = json.loads(subprocess.run([server, "--schema"], capture_output=True, check=True, timeout=10).stdout)

    assert said["fingerprint"] == built.plan.fingerprint().hex()
    assert said["engine"] == reflexdb.__version__


def test_the_server_is_static_and_needs_no_newer_processor(built: BuildResult, data_dir: Path, tmp_path: Path) -> None:
    server = LocalBuilder(data_dir).store.unpack(built.image.digest, tmp_path)
    headers = subprocess.run(["readelf", "-lnW", server], capture_output=True, text=True, check=True).stdout

    assert "INTERP" not in headers
    assert "x86-64-v" not in headers.replace("x86-64-baseline", "")
    assert str(data_dir).encode() not in server.read_bytes()
    assert os.fsencode(Path(reflexdb.__file__).parent) not in server.read_bytes()


def test_the_real_engine_takes_hostile_names(data_dir: Path) -> None:
    columns = [column(name, comment=name) for name in HOSTILE]
    source = schema(*(table(name, "id", *columns) for name in HOSTILE[:3]))
    result = LocalBuilder(data_dir).build(BuildRequest(source, None), print)

    assert not result.image.reused
    assert [one.name for one in result.plan.tables] == sorted(HOSTILE[:3])
