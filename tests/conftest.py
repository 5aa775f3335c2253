"""Fixtures every room may use. Those of database servers are in tests/servers."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.servers.plugin", "tests.servers.records", "tests.contract.plugin"]


def pytest_configure(config: pytest.Config) -> None:
    """Tests have data directories of their own; compiling the whole engine for each would take an hour."""
    assert config.cache is not None
    os.environ.setdefault("REFLEXDB_ENGINE_CACHE", str(config.cache.mkdir("compiled-engine")))
