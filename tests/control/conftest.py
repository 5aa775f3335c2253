"""Fixtures of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reflexdb.control import fetch
from tests.servers.issuer import LittleIssuer, little_issuer


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleIssuer]:
    """One that is waited for as long as a busy machine needs."""
    monkeypatch.setattr(fetch, "STEP_TIMEOUT_S", 60.0)
    monkeypatch.setattr(fetch, "TOTAL_TIMEOUT_S", 60.0)
    with little_issuer() as issuer:
        yield issuer
