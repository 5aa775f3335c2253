"""The compiled driver, and one process of it for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Cli, build
from tests.engine.plans import PLAN
from tests.engine.serving import Server, compile_server, compile_units


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


@pytest.fixture(scope="session")
def server_program(pytestconfig: pytest.Config) -> Path:
    """The server compiled for PLAN, with sanitizers of memory and undefined behaviour."""
    return compile_server(pytestconfig.cache.mkdir("engine"))


@pytest.fixture(scope="session")
def net_units(pytestconfig: pytest.Config) -> Path:
    return compile_units(pytestconfig.cache.mkdir("engine"))


@pytest.fixture
def server(server_program: Path) -> Iterator[Server]:
    """A fresh server that serves ROWS to the key k1."""
    with Server(server_program) as running:
        yield running.ready()


@pytest.fixture
def empty_server(server_program: Path) -> Iterator[Server]:
    """A fresh server without rows, keys and the order to serve."""
    with Server(server_program) as running:
        yield running
