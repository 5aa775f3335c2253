"""A transaction of any size is followed in a bounded memory: `make huge` does it with a million rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

ROWS = int(os.environ.get("REFLEXDB_HUGE_ROWS") or 40_000)
GROWTH_KB_MAX = 96 * 1024
"""What sync may take more at its height than before: parts of a transaction, and what the allocator keeps. A million of
these rows are some 500 MB as Python's objects."""
NUMBERS = {
    Backend.MYSQL: "SELECT seq, concat('name of ', seq), seq / 7, seq FROM seq_1_to_{rows}",
    Backend.POSTGRES: "SELECT n, 'name of ' || n, n / 7.0, n FROM generate_series(1, {rows}) n",
}


def peak_kb(place: Place) -> int:
    assert place.sync is not None
    status = Path(f"/proc/{place.sync.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def test_a_huge_transaction_is_followed_in_a_bounded_memory(follow: Follow, source: tuple[Backend, Any]) -> None:
    backend, _ = source
    place = follow(source, "CREATE TABLE items (id int PRIMARY KEY, name varchar(60), price decimal(12,2), n bigint)")
    place.execute("INSERT INTO items " + NUMBERS[backend].format(rows=20_000), "DELETE FROM items")
    wait(lambda: place.health()["changes"] == 40_000, "what is large already", 600)
    before = peak_kb(place)
    place.execute("INSERT INTO items " + NUMBERS[backend].format(rows=ROWS), "UPDATE items SET n = n + 1")
    wait(lambda: place.health()["changes"] == 40_000 + 2 * ROWS, "both transactions", 1800)
    grown = peak_kb(place) - before
    print(f"{backend}: two transactions of {ROWS:,} rows, sync's memory grew by {grown:,} kB to {before + grown:,} kB")

    place.check(600)
    assert grown < GROWTH_KB_MAX
