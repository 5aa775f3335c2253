"""Fixtures of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.issuer import LittleIssuer, little_issuer


@pytest.fixture
def issuer() -> Iterator[LittleIssuer]:
    with little_issuer() as issuer:
        yield issuer
