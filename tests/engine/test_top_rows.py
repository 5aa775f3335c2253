"""ORDER BY with LIMIT answers the first rows of ORDER BY without it, whatever the type, however many tie."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reflexdb.model.storage import Storage
from tests.engine.harness import Cli
from tests.engine.kinds import VALUES, kinds


@pytest.mark.parametrize("storage", VALUES, ids=lambda storage: storage.name)
def test_a_limit_takes_the_first_rows_of_the_whole_order(cli: Cli, storage: Storage) -> None:
    cli.load({"kinds": kinds(storage)})
    column = storage.name.lower()
    for how in ("", " DESC", " NULLS FIRST", " DESC NULLS LAST"):
        whole = cli.rows(f"kinds(ORDER BY {column}{how}) {{ id }}")
        assert len(whole) == 300
        for limit in (1, 7, 299):
            assert cli.rows(f"kinds(ORDER BY {column}{how} LIMIT {limit}) {{ id }}") == whole[:limit]
        assert cli.rows(f"kinds(ORDER BY {column}{how} LIMIT 9 OFFSET 5) {{ id }}") == whole[5:14]


@pytest.mark.parametrize("storage", [Storage.I16, Storage.I64, Storage.U64, Storage.F32, Storage.F64, Storage.DECIMAL])
@pytest.mark.parametrize("null_share", [0.0, 0.1, 0.999])
def test_rows_of_many_blocks_are_turned_away_rightly(cli: Cli, storage: Storage, null_share: float) -> None:
    dice, column = random.Random(f"{storage.name} {null_share}"), storage.name.lower()
    rows = kinds(storage, 3_000)
    for row in rows:
        if dice.random() < null_share:
            row[column] = None
        elif storage is not Storage.DECIMAL and dice.random() < 0.9:
            row[column] = dice.randrange(0, 30_000)
    cli.load({"kinds": rows})
    for how in ("", " DESC", " NULLS FIRST", " DESC NULLS LAST"):
        whole = cli.rows(f"kinds(ORDER BY {column}{how}) {{ id }}")
        assert len(whole) == 3_000
        for limit in (1, 7, 100, 2_990):
            assert cli.rows(f"kinds(ORDER BY {column}{how} LIMIT {limit}) {{ id }}") == whole[:limit]
            later = cli.rows(f"kinds(id >= 'k0100' ORDER BY {column}{how} LIMIT {limit}) {{ id }}")
            assert later == [row for row in whole if row["id"] >= "k0100"][:limit]
        turned = cli.rows(f"kinds(ORDER BY {column}{how}, id DESC) {{ id }}")
        assert cli.rows(f"kinds(ORDER BY {column}{how}, id DESC LIMIT 9) {{ id }}") == turned[:9]


def test_the_order_is_that_of_the_values_with_ties_in_key_order(cli: Cli) -> None:
    rows = kinds(Storage.I64)
    cli.load({"kinds": rows})

    expected = sorted((row for row in rows if row["i64"] is not None), key=lambda row: (-row["i64"], row["id"]))

    found = cli.rows("kinds(i64 IS NOT NULL ORDER BY i64 DESC LIMIT 50) { id i64 }")
    assert found == [{"id": row["id"], "i64": row["i64"]} for row in expected[:50]]


def test_each_parent_has_its_own_first_rows(cli: Cli) -> None:
    posts = [{"id": n, "user_id": n % 5, "views": n * 7919 % 101} for n in range(400)]
    comments = [{"id": n, "post_id": n % 400, "author": f"a{n * 31 % 17}"} for n in range(2000)]
    cli.load({"users": [{"id": n} for n in range(5)], "posts": posts, "comments": comments})

    found = cli.rows(
        "users { id posts(ORDER BY views DESC LIMIT 3) { id comments(ORDER BY author, id DESC LIMIT 2) { id } } }"
    )

    for user in found:
        own = sorted((p for p in posts if p["user_id"] == user["id"]), key=lambda p: (-p["views"], p["id"]))[:3]
        assert [post["id"] for post in user["posts"]] == [post["id"] for post in own]
        for post in user["posts"]:
            kids = sorted((c for c in comments if c["post_id"] == post["id"]), key=lambda c: (c["author"], -c["id"]))[
                :2
            ]
            assert [comment["id"] for comment in post["comments"]] == [comment["id"] for comment in kids]


def test_a_nested_order_allocates_nothing_once_it_is_warm(cli: Cli) -> None:
    cli.load({"users": [{"id": 1}], "posts": [{"id": n, "user_id": 1, "views": n % 10} for n in range(100)]})
    for _ in range(3):
        cli.rows("users(id = 1) { posts(ORDER BY views DESC LIMIT 3) { id } }")

    assert cli.facts()["allocations"] == 0


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("age IN (1, 65537, 65536)", [1, 101]),
        ("age IN (65537)", []),
        ("age NOT IN (1, 65536) AND id < 4", [2, 3]),
        ("age IN (-1, -65537)", [150]),
        ('plan IN ("p", "x", "pq") AND id < 9', [3, 6]),
        ('plan NOT IN ("p", "") AND id < 7', [1, 2, 4, 5]),
        ('plan IN ("", "p") AND id < 4', [3]),
    ],
)
def test_a_value_beyond_a_columns_width_is_in_no_list(cli: Cli, condition: str, expected: list[int]) -> None:
    rows: list[dict[str, Any]] = [
        {"id": n, "age": n % 100, "plan": "p" if n % 3 == 0 else "qqq"} for n in range(1, 150)
    ]
    cli.load({"users": [*rows, {"id": 150, "age": -1, "plan": None}]})

    assert [row["id"] for row in cli.rows(f"users({condition}) {{ id }}")] == expected


def test_counting_says_how_many_rows_there_are(cli: Cli) -> None:
    cli.load({"users": [{"id": n, "age": n % 7} for n in range(3000)]})

    assert cli.rows("users { count() }") == {"count": 3000}
    assert cli.rows("users(age = 3) { count() }") == {"count": len([n for n in range(3000) if n % 7 == 3])}
    assert cli.rows("users(age = 9) { count() }") == {"count": 0}
