"""Builders on small engines: a test builds for real, with the compiler, in a second."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reflexdb.build.compile import ENGINE_DIRECTORY

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the expected parts of the golden files")


@pytest.fixture(autouse=True)
def _own_engine_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tests of the real engine may share what others compiled."""
    if request.module.__name__.rpartition(".")[2] not in {"test_product", "test_codebuild"}:
        monkeypatch.delenv("REFLEXDB_ENGINE_CACHE", raising=False)


@pytest.fixture(scope="session")
def engine_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine's contract headers with a main that prints what it was compiled with."""
    directory = tmp_path_factory.mktemp("engine")
    shutil.copy(HERE / "engine" / "main.cc", directory)
    for name in ("schema.h", "version.h"):
        shutil.copy(ENGINE_DIRECTORY / name, directory)
    return directory
