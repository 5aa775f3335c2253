"""One control plane of each kind of records for all acceptance tests of a worker: the engine is compiled once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL
from tests.acceptance.plane import Plane
from tests.servers.records import empty_database
from tests.servers.shared import Server


@contextmanager
def serving(directory: Path, records: URL | None) -> Iterator[Plane]:
    found = Plane(directory / "plane", records)
    found.start()
    try:
        yield found
        found.terminate_all()
    finally:
        found.stop()


@pytest.fixture(scope="session")
def sqlite_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("acceptance"), None) as plane:
        yield plane


@pytest.fixture(scope="session")
def postgresql_plane(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Iterator[Plane]:
    with empty_database(postgres_server) as url, serving(tmp_path_factory.mktemp("acceptance"), url) as plane:
        yield plane


@pytest.fixture
def plane(records_kind: str, request: pytest.FixtureRequest) -> Plane:
    """The worker's control plane with its records there."""
    found: Plane = request.getfixturevalue(f"{records_kind}_plane")
    return found
