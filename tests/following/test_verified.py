"""The safety net over a real source: what nobody has changed is not read, what was changed in secret is found."""

from __future__ import annotations

from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import Place, wait

pytestmark = pytest.mark.each_binlog

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name varchar(40), cents numeric(12,2))"
PAIRS = "CREATE TABLE pairs (a int, b varchar(10), PRIMARY KEY (a, b))"
NAMES = "CREATE TABLE names (name varchar(20) PRIMARY KEY)"
FILL = {
    Backend.MYSQL: """
        INSERT INTO items WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
        SELECT k.i * 1000 + n.i + 1, concat('item ', k.i * 1000 + n.i + 1), (k.i * 1000 + n.i + 1) / 7
        FROM n JOIN n k ON k.i < 5""",
    Backend.POSTGRES: "INSERT INTO items SELECT n, 'item ' || n, n / 7.0 FROM generate_series(1, 5000) n",
}
LOSE = """
    DO $$ DECLARE rows tid[]; BEGIN
        SELECT array_agg(ctid) INTO rows FROM {table} WHERE {where};
        PERFORM heap_force_kill('{table}'::regclass, rows);
    END $$"""
SECRETLY = {
    Backend.MYSQL: ("SET sql_log_bin = 0", "DELETE FROM items WHERE id = 3000", "DELETE FROM pairs WHERE a = 7"),
    Backend.POSTGRES: (
        "CREATE EXTENSION pg_surgery",  # as if the disk had lost them
        LOSE.format(table="items", where="id = 3000"),
        LOSE.format(table="pairs", where="a = 7"),
    ),
}


def told(place: Place, action: str, table: str) -> list[str]:
    """What was read of a table, each time."""
    return [entry["read"] for entry in place.log(action) if entry["table"] == table]


@pytest.mark.timeout(300)
def test_only_what_may_have_changed_is_read_and_what_was_changed_in_secret_is_found(
    follow: Follow, source: tuple[Backend, Any]
) -> None:
    pairs = "INSERT INTO pairs VALUES (1, 'x'), (1, 'y'), (7, 'x'), (7, 'y'), (9, 'z')"
    statements = (ITEMS, PAIRS, NAMES, FILL[source[0]], pairs, "INSERT INTO names VALUES ('n')")
    place = follow(source, *statements, safety_net_s=1)
    for table in ("items", "pairs"):
        wait(lambda: "0 ranges" in told(place, "verified", table), "nothing is read again")  # noqa: B023
    assert told(place, "verified", "items")[0] == "whole"

    change = "UPDATE items SET cents = 0.01 WHERE id BETWEEN 20 AND 22"
    place.execute("BEGIN", change, "DELETE FROM items WHERE id = 4000", "COMMIT")
    wait(lambda: "2 ranges" in told(place, "verified", "items"), "what the stream has touched is read")
    place.execute(*SECRETLY[source[0]])
    for table in ("items", "pairs"):
        wait(lambda: told(place, "differences_found", table), "it is found")  # noqa: B023
        assert told(place, "differences_found", table)[0] in ("1 ranges", "whole")  # whole each 24th time
    place.check()

    wait(lambda: place.health()["differences"] == 3, "all are counted")
    assert set(told(place, "verified", "names")) == {"whole"}


@pytest.mark.timeout(300)
def test_a_mended_difference_does_not_come_back_with_a_checkpoint(follow: Follow, source: tuple[Backend, Any]) -> None:
    """Nothing is verified after the mend, so a server that began with the rows from before would keep them."""
    pairs = "INSERT INTO pairs VALUES (1, 'x'), (7, 'x')"
    options = ("--checkpoint-s", "600")
    place = follow(source, ITEMS, PAIRS, FILL[source[0]], pairs, safety_net_s=1, options=options)
    wait(lambda: place.status()["checkpoint"]["written"], "a checkpoint")
    place.execute(*SECRETLY[source[0]])
    for table in ("items", "pairs"):
        wait(lambda: told(place, "differences_found", table), "it is found")  # noqa: B023
    place.kill()
    place.crash_server()
    place.start(safety_net_s=0)

    place.check()
