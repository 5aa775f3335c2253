"""The compiled engine, shared by every test that starts a control plane: it is known by its content, so nothing can be
stale."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def engine_cache(pytestconfig: pytest.Config) -> Path:
    """A directory to stand in for `cache/engine` of a data directory; the builder locks it."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("engine-of-control-planes")
