"""One control plane for all acceptance tests of a worker: the engine is compiled once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.plane import Plane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    found = Plane(tmp_path_factory.mktemp("acceptance") / "plane")
    found.start()
    try:
        yield found
        found.terminate_all()
    finally:
        found.stop()
