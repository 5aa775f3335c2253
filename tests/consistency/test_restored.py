"""A source whose history goes back: what is served must not go on as if it had not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consistency.sources import Source
from tests.following.place import Place, wait


@pytest.mark.timeout(300)
def test_a_source_restored_from_a_backup_is_read_again(
    source: Source, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Rows written after that have positions that the server believes to have passed."""
    source.run("CREATE TABLE items (id int PRIMARY KEY, n int)", "INSERT INTO items VALUES (0, 0)")
    source.crash()
    backup = source.back_up()
    source.restart()
    cache = pytestconfig.cache.mkdir("engine")
    place = Place(cache, tmp_path, source.kind.backend, source.as_database())
    try:
        place.start()
        wait(lambda: place.health().get("state") == "ok", "a first snapshot")
        source.run(*(f"INSERT INTO items VALUES ({number}, 1)" for number in range(1, 200)))
        place.check()
        source.crash()
        source.put_back(backup)
        source.restart()
        source.run("INSERT INTO items VALUES (900, 900)")

        place.check()
    finally:
        place.close()
