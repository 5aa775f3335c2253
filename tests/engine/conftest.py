"""The compiled driver, and one process of it for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Cli, build
from tests.engine.plans import PLAN


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    """The driver compiled for PLAN."""
    return build(PLAN, pytestconfig.cache.mkdir("engine"))


@pytest.fixture
def cli(program: Path) -> Iterator[Cli]:
    """A fresh process without a snapshot."""
    process = Cli(program, PLAN)
    yield process
    process.close()
