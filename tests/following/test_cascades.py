"""Rows that foreign keys delete or change: the log of MariaDB has nothing of them, PostgreSQL tells them as others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from reflexdb.model.schema import Backend
from tests.following.conftest import Follow
from tests.following.place import wait
from tests.following.writers import Writers, numbers, read_again

FAMILY = (
    "CREATE TABLE tops (id int PRIMARY KEY, ref bigint UNIQUE, name varchar(20))",
    "CREATE TABLE mids (id int PRIMARY KEY, top int, n int NOT NULL, FOREIGN KEY (top) REFERENCES tops (id)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE lows (id int PRIMARY KEY, mid int, n int NOT NULL, FOREIGN KEY (mid) REFERENCES mids (id)"
    " ON DELETE SET NULL ON UPDATE CASCADE)",
    "CREATE TABLE refs (id int PRIMARY KEY, ref bigint, FOREIGN KEY (ref) REFERENCES tops (ref)"
    " ON DELETE SET NULL ON UPDATE CASCADE)",
    "CREATE TABLE parts (mid int NOT NULL, n int NOT NULL, PRIMARY KEY (mid, n), FOREIGN KEY (mid) REFERENCES mids (id)"
    " ON DELETE CASCADE ON UPDATE RESTRICT)",
    "CREATE TABLE details (id int PRIMARY KEY, mid int, n int, FOREIGN KEY (mid, n) REFERENCES parts (mid, n)"
    " ON DELETE CASCADE)",
    "CREATE TABLE tree (id int PRIMARY KEY, up int, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE)",
)
NAMED = (
    "CREATE TABLE words (word varchar(20) PRIMARY KEY)",
    "CREATE TABLE uses (id int PRIMARY KEY, word varchar(20), FOREIGN KEY (word) REFERENCES words (word)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE weak (top int NOT NULL, n int NOT NULL, PRIMARY KEY (top, n), FOREIGN KEY (top) REFERENCES tops (id)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE weaker (id int PRIMARY KEY, top int, n int, FOREIGN KEY (top, n) REFERENCES weak (top, n)"
    " ON DELETE CASCADE ON UPDATE CASCADE)",
)


def test_children_of_a_deleted_parent_are_read_alone(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(
        source,
        *FAMILY,
        numbers("tops", "seq, seq * 5000000000, 'x'", 20),
        numbers("mids", "seq, 1 + seq % 20, 0", 2_000),
        numbers("lows", "seq, seq, 0", 2_000),
        numbers("refs", "seq, seq * 5000000000", 20),
        numbers("parts", "seq, 1", 2_000),
        numbers("details", "seq, seq, 1", 2_000),
        numbers("tree", "seq, CASE WHEN seq > 1 THEN seq - 1 END", 15),
    )
    place.execute("DELETE FROM tops WHERE id = 3", "DELETE FROM tree WHERE id = 4")
    place.check()
    assert len(place.ask("mids { id }")) == 1_900
    assert len(place.ask("details { id }")) == 1_900
    assert len(place.ask("lows(mid IS NULL) { id }")) == 100
    assert len(place.ask("tree { id }")) == 3
    place.execute("UPDATE tops SET id = 300, ref = 7 WHERE id = 5", "UPDATE lows SET n = 1 WHERE id = 4")
    place.check()

    whole, rows = read_again(place)
    assert whole == 0
    assert rows < 1_000
    assert (rows > 500) == (source[0] is Backend.MYSQL)


def test_rows_of_the_same_transaction_are_among_those_found(follow: Follow, source: tuple[Backend, Any]) -> None:
    """Rows that came after the parent's last visible state, before its end, and under the keys of those that went."""
    place = follow(
        source, *FAMILY, "INSERT INTO tops VALUES (1, 1, 'a'), (2, 2, 'b')", "INSERT INTO mids VALUES (1, 1, 0)"
    )
    place.execute(
        "BEGIN",
        "INSERT INTO mids VALUES (2, 1, 0), (3, 2, 0)",
        "INSERT INTO parts VALUES (1, 1), (2, 1), (3, 1)",
        "DELETE FROM tops WHERE id = 1",
        "INSERT INTO mids VALUES (1, 2, 5), (4, 2, 5)",
        "INSERT INTO parts VALUES (1, 2), (4, 1)",
        "DELETE FROM tops WHERE id = 2",
        "INSERT INTO tops VALUES (1, 9, 'c')",
        "INSERT INTO mids VALUES (3, 1, 7)",
        "INSERT INTO parts VALUES (3, 1)",
        "COMMIT",
    )
    wait(lambda: place.ask("mids { id n }") == [{"id": 3, "n": 7}], "what is left")
    place.check()

    assert place.ask("parts { mid n }") == [{"mid": 3, "n": 1}]


def test_keys_that_are_not_exact_lead_to_whole_tables(follow: Follow, source: tuple[Backend, Any]) -> None:
    place = follow(
        source,
        *FAMILY[:1],
        *NAMED,
        "INSERT INTO tops VALUES (1, 1, 'a'), (2, 2, 'b')",
        "INSERT INTO words VALUES ('one'), ('two')",
        "INSERT INTO uses VALUES (1, 'one'), (2, 'two')",
        "INSERT INTO weak VALUES (1, 1), (2, 1)",
        "INSERT INTO weaker VALUES (1, 1, 1), (2, 2, 1)",
    )
    place.execute("UPDATE words SET word = 'One' WHERE word = 'one'", "DELETE FROM words WHERE word = 'two'")
    place.execute("UPDATE tops SET id = 5 WHERE id = 1", "DELETE FROM tops WHERE id = 2")
    place.check()

    assert place.ask("weaker { id top }") == [{"id": 1, "top": 5}]
    assert (read_again(place)[0] > 0) == (source[0] is Backend.MYSQL)


def test_an_unplanned_parent_leads_to_its_children(follow: Follow, source: tuple[Backend, Any]) -> None:
    config = "version: 1\ntables:\n  - name: mids\n  - name: lows\n  - name: details\n"
    place = follow(
        source,
        *FAMILY,
        "INSERT INTO tops VALUES (1, 1, 'a'), (2, 2, 'b')",
        "INSERT INTO mids VALUES (1, 1, 0), (2, 2, 0)",
        "INSERT INTO parts VALUES (1, 1), (2, 1)",
        "INSERT INTO details VALUES (1, 1, 1), (2, 2, 1)",
        "INSERT INTO lows VALUES (1, 1, 0)",
        config=config,
    )
    place.execute("DELETE FROM tops WHERE id = 1")
    place.check()

    assert place.ask("details { id }") == [{"id": 2}]


def step(dice: random.Random) -> Sequence[str]:
    one, other, n = dice.randrange(1, 31), dice.randrange(1, 31), dice.randrange(3)
    values = f"({one}, {other}, {n})"
    kinds = (
        [f"INSERT INTO tops VALUES ({one}, {dice.choice((one, other))}, 'x')"],
        [f"INSERT INTO mids VALUES {values}", f"INSERT INTO parts VALUES ({one}, {n})"],
        [f"INSERT INTO lows VALUES {values}"],
        [f"INSERT INTO refs VALUES ({one}, {other})"],
        [f"INSERT INTO parts VALUES ({one}, {n})", f"INSERT INTO details VALUES ({other}, {one}, {n})"],
        [f"INSERT INTO tree VALUES ({one + other}, {one})"],
        [f"INSERT INTO tree VALUES ({one}, NULL)"],
        [f"DELETE FROM tops WHERE id IN ({one}, {other})"],
        [f"DELETE FROM mids WHERE id = {one}", f"INSERT INTO mids VALUES {values}"],
        [f"DELETE FROM tree WHERE id = {one}"],
        [f"UPDATE tops SET id = {other} WHERE id = {one}"],
        [f"UPDATE tops SET ref = {other} WHERE id = {one}"],
        [f"UPDATE mids SET id = {other}, top = {one} WHERE id = {one}"],
        [f"UPDATE mids SET top = {one} WHERE n = {n}"],
        [f"UPDATE lows SET mid = {one}, id = {other} WHERE id = {one}"],
        [f"DELETE FROM parts WHERE n = {n} AND mid < {one}"],
    )
    return [statement for _ in range(dice.randint(1, 3)) for statement in dice.choice(kinds)]


LEADS = (
    ("mids", "top", "tops", "id"),
    ("lows", "mid", "mids", "id"),
    ("refs", "ref", "tops", "ref"),
    ("tree", "up", "tree", "id"),
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [(), NAMED], ids=["exact", "others"])
def test_what_keys_do_beside_writers_ends_in_the_sources_state(
    follow: Follow, source: tuple[Backend, Any], more: Sequence[str]
) -> None:
    place = follow(source, *FAMILY, *more)
    writers = Writers(place, 23, step if not more else named_step)
    query = "tops { id ref } mids { id top } lows { id mid } refs { id ref } tree { id up }"

    def look() -> None:
        found = place.ask(query)
        for child, column, parent, key in LEADS:
            there = {row[key] for row in found[parent]} | {None}
            assert all(row[column] in there for row in found[child]), (child, found)

    for _ in range(4):
        writers.run(1.5, look)
        place.check()
    print(writers.committed, "transactions", writers.looks, "looks", read_again(place), "tables and rows read again")

    assert place.log("out_of_step") == []
    assert more or read_again(place)[0] == 0


def named_step(dice: random.Random) -> Sequence[str]:
    one, other, n = dice.choice("aAbB"), dice.choice("aAbB"), dice.randrange(1, 31)
    kinds = (
        [f"INSERT INTO words VALUES ('{one}')"],
        [f"INSERT INTO uses VALUES ({n}, '{one}')"],
        [f"DELETE FROM words WHERE word = '{one}'"],
        [f"UPDATE words SET word = '{other}' WHERE word = '{one}'"],
        [f"INSERT INTO weak VALUES ({n}, 1)", f"INSERT INTO weaker VALUES ({n}, {n}, 1)"],
        step(dice),
        step(dice),
    )
    return dice.choice(kinds)
