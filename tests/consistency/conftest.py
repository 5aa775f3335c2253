"""A source of the test's own, of each kind, which it may kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.consistency.sources import KINDS, Kind, Source


@pytest.fixture(params=KINDS, ids=[kind.name for kind in KINDS])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    kind: Kind = request.param
    if not kind.is_installed():
        pytest.skip(kind.module.MISSING)
    source = Source(kind)
    yield source
    source.close()
