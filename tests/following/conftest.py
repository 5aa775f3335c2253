"""`follow` begins to follow a test's database; everything it began is ended after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.place import Place, wait
from tests.servers.plugin import mariadb_schema, postgres_schema
from tests.servers.shared import Server

Follow = Callable[..., Place]


@pytest.fixture
def source(source_kind: str, source_server: Server) -> Iterator[tuple[Backend, Any]]:
    """An empty database of each kind of source that can be followed."""
    is_postgres = source_kind.startswith("postgres")
    with (postgres_schema if is_postgres else mariadb_schema)(source_server) as database:
        yield Backend.POSTGRES if is_postgres else Backend.MYSQL, database


@pytest.fixture
def follow(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Follow]:
    cache = pytestconfig.cache.mkdir("engine")
    made: list[Place] = []

    def begin(
        source: tuple[Backend, Any], *statements: str, config: str = "", options: Sequence[str] = (), **settings: Any
    ) -> Place:
        backend, database = source
        for statement in statements:
            database.execute(statement)
        place = Place(cache, tmp_path, backend, database, config, options)
        made.append(place)
        place.start(**settings)
        wait(lambda: place.health().get("state") == "ok", "a first snapshot")
        return place

    yield begin
    for place in made:
        place.close()
