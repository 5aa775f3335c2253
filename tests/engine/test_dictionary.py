"""Values that repeat are kept once a chunk; nothing that is asked or changed tells the difference."""

from __future__ import annotations

import csv
import io
import json
import random
import struct
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.engine.changing import Model, apply
from tests.engine.harness import Cli
from tests.engine.plans import PLAN, POSTS
from tests.engine.test_checkpoint import HEAD_BYTES, content_at, open_file, saved

pytestmark = pytest.mark.timeout(1200)

ROWS = 70_000
"""More than a chunk."""
CHUNK = 65_536
TITLES: dict[str, list[str | None]] = {
    "few": ["draft", "", 'q"uote', "Straße", "a much longer title of a post", None],
    "many": [f"title {i:04}" for i in range(700)],
    "most": [f"title {i}" for i in range(60_000)],
    "quoted": [f'{"".join(map(chr, range(i % 40)))}"{i}"\\' for i in range(700)],
    "long": ['"' * 300 + str(i) for i in range(1_000)],
}
"""For codes of one byte, of two, and for none; entries that are kept as JSON too, and some too long for it."""
PRICES = ["1.50", "-0.25", "99999999999999999999.99", "0", "NaN", None]


def posts(titles: list[str | None], rows: int = ROWS) -> list[dict[str, Any]]:
    return [{"id": i, "title": titles[i * 11 % len(titles)], "price": PRICES[i % len(PRICES)]} for i in range(rows)]


def known(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is not None and test(value)


def price(test: Callable[[Decimal], bool]) -> Callable[[Any], bool]:
    return known(lambda text: text != "NaN" and test(Decimal(text)))


TITLE_TESTS: list[tuple[str, Callable[[Any], bool]]] = [
    ("title = 'draft'", known(lambda t: t == "draft")),
    ("title = 'title 0003'", known(lambda t: t == "title 0003")),
    ("title = ''", known(lambda t: t == "")),
    ("title = 'nowhere'", lambda t: False),
    ("title != 'draft'", known(lambda t: t != "draft")),
    ("title > 'title 03'", known(lambda t: t.encode() > b"title 03")),
    ("title <= 'q'", known(lambda t: t.encode() <= b"q")),
    ("title BETWEEN 'b' AND 'title 02'", known(lambda t: b"b" <= t.encode() <= b"title 02")),
    ("title IN ('draft', '', 'title 0001')", known(lambda t: t in {"draft", "", "title 0001"})),
    (
        "title IN (" + ", ".join(f"'title {i:04}'" for i in range(0, 40, 2)) + ")",
        known(lambda t: t in {f"title {i:04}" for i in range(0, 40, 2)}),
    ),
    ("NOT title IN ('draft', 'title 0001')", known(lambda t: t not in {"draft", "title 0001"})),
    ("title LIKE '%t%e%'", known(lambda t: "e" in t[t.find("t") + 1 :] and "t" in t)),
    ("title ILIKE 'STRA_E'", known(lambda t: t == "Straße")),
    ("NOT title LIKE 'title%'", known(lambda t: not t.startswith("title"))),
    ("title IS NULL", lambda t: t is None),
    ("title IS NOT NULL", lambda t: t is not None),
]
PRICE_TESTS: list[tuple[str, Callable[[Any], bool]]] = [
    ("price = 1.5", price(lambda p: p == Decimal("1.5"))),
    ("price != 1.5", price(lambda p: p != Decimal("1.5"))),
    ("price < 0", price(lambda p: p < 0)),
    ("price >= 1.50", price(lambda p: p >= Decimal("1.5"))),
    ("price IN (0, 99999999999999999999.990)", price(lambda p: p in {Decimal(0), Decimal("99999999999999999999.99")})),
    ("NOT price > 0", price(lambda p: not p > 0)),
]


@pytest.mark.parametrize("kind", TITLES)
def test_every_condition_means_the_same_on_codes(cli: Cli, kind: str) -> None:
    rows = posts(TITLES[kind])
    cli.load({"posts": rows})

    for column, tests in (("title", TITLE_TESTS), ("price", PRICE_TESTS)):
        for text, test in tests:
            wanted = [row["id"] for row in rows if test(row[column])]
            found = cli.rows(f"posts({text}) {{ n: count() s: sum(id) }}")
            assert (found["n"], int(found["s"] or 0)) == (len(wanted), sum(wanted)), text
            assert [row["id"] for row in cli.rows(f"posts({text} LIMIT 5) {{ id }}")] == wanted[:5], text


@pytest.mark.parametrize("kind", TITLES)
def test_values_come_back_as_they_were_and_in_order(cli: Cli, kind: str) -> None:
    rows = posts(TITLES[kind])
    cli.load({"posts": rows})
    shown = [{**row, "price": None if row["price"] in (None, "NaN") else Decimal(row["price"])} for row in rows]
    _, answer = cli.raw("posts { id title price }")

    assert json.loads(answer, parse_float=Decimal, parse_int=Decimal) == shown
    order = sorted((row["title"] for row in rows if row["title"] is not None), key=str.encode)
    assert [row["title"] for row in cli.rows("posts(ORDER BY title NULLS LAST LIMIT 3) { title }")] == order[:3]
    counted = cli.rows("posts(GROUP BY title) { title n: count() }")
    assert {row["title"]: row["n"] for row in counted} == Counter(row["title"] for row in rows)


def test_what_repeats_costs_a_byte_or_two_a_row(cli: Cli) -> None:
    def held(titles: list[str | None]) -> int:
        cli.load({"posts": [{"id": i, "title": titles[i % len(titles)]} for i in range(ROWS)]})
        return int(cli.facts()["bytes"])

    none, few, many, most = (held(titles) for titles in ([None], TITLES["few"], TITLES["many"], TITLES["most"]))

    assert abs(few - none) < 0.5 * ROWS  # nulls too have a code
    assert ROWS < many - none < 1.5 * ROWS
    assert most - none > 10 * ROWS


def held_texts(cli: Cli, titles: list[str | None], rows: int) -> int:
    """Bytes beyond those of as many rows without titles."""
    cli.load({"posts": [{"id": i, "title": None} for i in range(rows)]})
    without = int(cli.facts()["bytes"])
    cli.load({"posts": [{"id": i, "title": title} for i, title in enumerate(titles)]})
    return int(cli.facts()["bytes"]) - without


def test_chunks_with_the_same_values_have_them_once(cli: Cli, program: Path, tmp_path: Path) -> None:
    """In whatever order they come; values that come later are added, and what of a dictionary is not used is left."""
    dice = random.Random(5)
    values = [f'"{i}" and {"more " * 40}' for i in range(200)]
    rows = 4 * CHUNK
    same = [dice.choice(values) for _ in range(rows)]
    later = [dice.choice(values[: 150 if i < CHUNK else 200]) for i in range(rows)]
    other = [f"{i // CHUNK}{dice.choice(values)}" for i in range(rows)]
    kept: dict[str, int] = {}
    for name, titles in (("same", same), ("later", later), ("other", other)):
        kept[name] = held_texts(cli, list(titles), rows)
        assert [row["title"] for row in cli.rows("posts { title }")] == titles
        wanted = Counter(titles)[titles[-1]]
        quoted = titles[-1].replace('"', '\\"')
        assert cli.rows(f'posts(title = "{quoted}") {{ count() }}') == {"count": wanted}
        restored = Cli(program, PLAN)
        try:
            assert open_file(restored, saved(cli, tmp_path / name)) == (0, "")
            assert [row["title"] for row in restored.rows("posts { title }")] == titles
        finally:
            restored.close()
    once = sum(len(text) for text in values) * 2
    """Twice each: as it is, and as JSON."""
    assert once < kept["same"] < 1.5 * once
    assert 1.8 * once < kept["later"] < 2.5 * once
    assert 4 * once < kept["other"] < 5.5 * once


def test_changes_to_values_that_repeat_are_seen_and_kept_through_a_checkpoint(
    cli: Cli, program: Path, tmp_path: Path
) -> None:
    model = Model(random.Random(1))
    for row in posts(TITLES["few"], 5000):
        model.insert(POSTS, row)
    model.take_log()
    cli.load(model.listed())
    for _ in range(40):
        for _ in range(60):
            model.update(POSTS, {"title": model.dice.choice([*TITLES["few"], "fresh", "draft"])})
            model.delete(POSTS)
        apply(cli, model.take_log())
    other = Cli(program, PLAN)
    try:
        assert open_file(other, saved(cli, tmp_path / "c")) == (0, "")
        for process in (cli, other):
            for title in (*TITLES["few"], "fresh"):
                if title is not None:
                    ids = sorted(row["id"] for row in model.rows[POSTS].values() if row["title"] == title)
                    assert [row["id"] for row in process.rows(f"posts(title = '{title}') {{ id }}")] == ids
    finally:
        other.close()


def test_codes_that_lead_nowhere_are_refused_behind_right_checksums(cli: Cli, tmp_path: Path) -> None:
    cli.load({"posts": posts(TITLES["few"], 600)})
    path = saved(cli, tmp_path / "c")
    data = path.read_bytes()
    first: dict[str, int] = {}
    codes = bytes(first.setdefault(TITLES["few"][i * 11 % 6] or "", len(first)) for i in range(600))
    at = data.index(struct.pack("<Q", 600) + codes) + 8
    mutant = bytearray(data)
    mutant[at + 77] = len(first)
    path.write_bytes(mutant)
    cli.do("Y", str(path).encode())

    assert at > content_at(HEAD_BYTES)
    assert open_file(cli, path)[0] == 1


def test_rows_with_keys_and_relations_take_at_most_half_more_than_as_csv(cli: Cli) -> None:
    """As blogs, shops and logs have them; `bench/run.py` says it of a whole process."""
    dice = random.Random(4)
    rows: dict[str, list[dict[str, Any]]] = {
        "users": [
            {
                "id": i,
                "name": f"Ada Lovelace {i}",
                "plan": "free",
                "verified": True,
                "email": f"ada.lovelace{i}@example.com",
            }
            for i in range(5000)
        ],
        "posts": [
            {
                "id": i,
                "user_id": dice.randrange(5000),
                "title": f"What nobody tells you about {dice.randrange(10**9)}",
                "views": dice.randrange(10**6),
                "published": i % 3 > 0,
                "price": f"{dice.randrange(200)}.99",
                "score": dice.random(),
                "day": date(2024, 1, 1 + i % 28),
            }
            for i in range(25_000)
        ],
    }
    text = io.StringIO()
    for table in rows.values():
        csv.writer(text).writerows(row.values() for row in table)
    cli.load(rows)

    assert cli.facts()["bytes"] < 1.5 * len(text.getvalue())
