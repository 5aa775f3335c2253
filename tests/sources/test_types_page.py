"""docs/reference/types.md names every type that the tables in the code know, in the section of its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reflexdb.model.storage import Storage
from reflexdb.sources.batching import VALUE_BYTES
from reflexdb.sources.mysql import types as mysql
from reflexdb.sources.postgres import types as postgres
from reflexdb.sources.sqlite import types as sqlite

PAGE = (Path(__file__).parents[2] / "docs/reference/types.md").read_text(encoding="utf-8")
KNOWN = {
    "MySQL and MariaDB": [*mysql.SIGNED, *mysql.OTHERS, *mysql.GEOMETRY],
    "PostgreSQL": list(postgres.BY_NAME),
    "SQLite": [*sqlite.BY_NAME, *(part for part, _ in sqlite.BY_SUBSTRING)],
}


@pytest.mark.parametrize("source", KNOWN)
def test_every_known_type_is_on_the_page(source: str) -> None:
    section = PAGE.split(f"## {source}\n")[1].split("\n## ")[0]
    types = {name for row in section.splitlines() if row.startswith("|") for name in re.findall(r"`([^`]+)`", row)}

    assert sorted(set(KNOWN[source]) - types) == []


def test_every_storage_and_the_limit_are_on_the_page() -> None:
    assert [storage.name for storage in Storage if not re.search(rf"\b{storage.name}\b", PAGE)] == []
    assert f"{VALUE_BYTES:,}" in PAGE
