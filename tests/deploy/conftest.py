"""A real image, built once for all workers, and a site per test that leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflexdb.build.base import BuildRequest, BuildResult
from reflexdb.build.local import LocalBuilder
from reflexdb.model.schema import Backend
from reflexdb.sources import open_source
from reflexdb.sources.base import SourceAddress
from tests.deploy.site import SCHEMA, Site, execute

CACHE = "REFLEXDB_TEST_IMAGES"
"""Names a directory to keep the image in between runs: compiling the engine takes far longer than the tests."""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, BuildResult]:
    """The builder's directory and the image of the sites' schema."""
    base = tmp_path_factory.getbasetemp()
    shared = Path(os.environ.get(CACHE) or (base if worker_id == "master" else base.parent) / "deploy-images")
    shared.mkdir(parents=True, exist_ok=True)
    file = shared / "schema.db"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            execute(file, *SCHEMA)
        source = open_source(SourceAddress(Backend.SQLITE, str(file)))
        builder = LocalBuilder(shared)
        result = builder.build(BuildRequest(source.introspect("main"), None), print)
        source.close()
    return shared / "images", result


@pytest.fixture
def site(tmp_path: Path, built: tuple[Path, BuildResult]) -> Iterator[Site]:
    site = Site(tmp_path, *built)
    yield site
    site.deployer.retire("db")
    site.deployer.close()
    assert site.stray_processes() == []
