"""Times of day and intervals compare, order and fold as what they mean, not as the text that shows them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from tests.engine.harness import Cli, build

COLUMNS = (
    PlannedColumn("at", "at", Storage.TIME, "time(3)", True),
    PlannedColumn("zoned", "zoned", Storage.TIME, "time with time zone", True),
    PlannedColumn("span", "span", Storage.TEXT, "interval day to second", True),
    PlannedColumn("word", "word", Storage.TEXT, "intervals", True),
)
ID = PlannedColumn("id", "id", Storage.I32, "int", False)
PLAN = Plan(Backend.POSTGRES, "clock", (PlannedTable("clocks", "clocks", (ID, *COLUMNS), (0,)),))

TIMES = [
    "-838:59:59", "-100:00:00", "-9:00:00", "-00:00:00.5", "00:00:00", "00:00:00.000001", "9:00:00", "12:00:00.000",
    "12:00:00.5", "23:59:59", "24:00:00", "99:00:00", "100:00:00", "838:59:59", "noon",
]  # fmt: skip
"""From the least to the greatest; the last is none."""
ZONED = ["12:00:00+03", "11:00:00+01", "10:30:00+00", "04:00:00-07", "12:00:00+00:30"]
SPANS = [
    "-infinity", "-1 years", "-2 mons +3 days -04:05:06", "-00:00:01", "00:00:00", "00:00:00.5", "23:59:59", "1 day",
    "1 day 00:00:01", "29 days 23:00:00", "1 mon", "31 days", "1 year", "infinity",
]  # fmt: skip


@pytest.fixture(scope="module")
def clocks(pytestconfig: pytest.Config) -> Iterator[Cli]:
    process = Cli(build(PLAN, pytestconfig.cache.mkdir("engine")), PLAN)
    values = [(name, texts) for name, texts in (("at", TIMES), ("zoned", ZONED), ("span", SPANS))]
    rows = [{"id": place, name: text, "word": text} for name, texts in values for place, text in numbered(name, texts)]
    process.load({"clocks": rows})
    yield process
    process.close()


def numbered(name: str, texts: list[str]) -> list[tuple[int, str]]:
    """Shuffled, but always in the same way, so that no order of the rows is right by chance."""
    base = {"at": 100, "zoned": 200, "span": 300}[name]
    turned = [texts[place * 7 % len(texts)] for place in range(len(texts))] if len(texts) % 7 else texts[::-1]
    return [(base + place, text) for place, text in enumerate(turned)]


def of(clocks: Cli, column: str, condition: str, clauses: str = "") -> list[str]:
    return [
        row[column] for row in clocks.rows(f"clocks({column} IS NOT NULL AND {condition} {clauses}) {{ {column} }}")
    ]


@pytest.mark.parametrize(("column", "expected"), [("at", TIMES), ("span", SPANS)])
def test_values_are_put_in_their_order(clocks: Cli, column: str, expected: list[str]) -> None:
    assert of(clocks, column, "id > 0", f"ORDER BY {column}") == expected
    assert of(clocks, column, "id > 0", f"ORDER BY {column} DESC LIMIT 4") == expected[::-1][:4]
    found, cursor = [], ""
    while page := of(clocks, column, "id > 0", f"ORDER BY {column} LIMIT 2 AFTER '{cursor}'"):
        found += page
        cursor = clocks.next_page()
        if not cursor:
            break
    assert found == expected


@pytest.mark.parametrize(("column", "expected"), [("at", TIMES[:-1]), ("span", SPANS)])
def test_each_value_splits_the_rows(clocks: Cli, column: str, expected: list[str]) -> None:
    whole = of(clocks, column, "id > 0", f"ORDER BY {column}")
    for place, text in enumerate(expected):
        assert of(clocks, column, f"{column} < '{text}'", f"ORDER BY {column}") == whole[:place]
        assert of(clocks, column, f"{column} >= '{text}'", f"ORDER BY {column}") == whole[place:]
        assert of(clocks, column, f"{column} = '{text}'") == [text]
        assert of(clocks, column, f"{column} != '{text}'", f"ORDER BY {column}") == whole[:place] + whole[place + 1 :]


def test_a_time_may_be_written_in_any_way(clocks: Cli) -> None:
    for text in ("9:00:00", "09:00", "09:00:00.000", "9:00 AM", "090000", " 09:00:00"):
        assert of(clocks, "at", f"at = '{text}'") == ["9:00:00"], text
    for text in ("12:00", "12:00 pm", "0 12:00:00"):
        assert of(clocks, "at", f"at IN ('{text}')") == ["12:00:00.000"], text
    assert of(clocks, "at", "at BETWEEN '4 03:00:00' AND '4 04:00:00'", "ORDER BY at") == ["99:00:00", "100:00:00"]
    assert of(clocks, "at", "at LIKE '9%'", "ORDER BY at") == ["9:00:00", "99:00:00"]


def test_a_time_with_a_zone_is_an_instant_of_the_day(clocks: Cli) -> None:
    assert of(clocks, "zoned", "zoned = '09:00:00Z'") == []  # the zone belongs to the value
    assert of(clocks, "zoned", "zoned < '10:30:00Z'", "ORDER BY zoned") == ["12:00:00+03", "11:00:00+01"]
    assert of(clocks, "zoned", "zoned = '04:00-0700'") == ["04:00:00-07"]
    assert of(clocks, "zoned", "id > 0", "ORDER BY zoned DESC LIMIT 2") == ["12:00:00+00:30", "04:00:00-07"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("24 hours", "1 day"),
        ("-1 second", "-00:00:01"),
        ("1 second ago", "-00:00:01"),
        ("P1DT1S", "1 day 00:00:01"),
        ("1 0:00:01", "1 day 00:00:01"),
        ("4 weeks 3 days", "31 days"),
        ("0.5 s", "00:00:00.5"),
        ("12 months", "1 year"),
        ("1-0", "1 year"),
        ("P1Y", "1 year"),
        ("30 days", "1 mon"),
        ("-2 mons 3 days -245 min -6 sec", "-2 mons +3 days -04:05:06"),
    ],
)
def test_an_interval_may_be_written_in_any_way(clocks: Cli, text: str, same: str) -> None:
    assert of(clocks, "span", f"span = '{text}'") == [same]


@pytest.mark.parametrize("value", ["'noon'", "'25:61'", "''", "'12:00:00Z'", "12", "'12:00:00+02'", "'13:00 PM'"])
def test_what_is_no_time_is_refused(clocks: Cli, value: str) -> None:
    status, answer = clocks.ask(f"clocks(at > {value}) {{ id }}")

    assert (status, answer["error"]) == (400, "type_mismatch")
    assert "time" in answer["message"]
    assert "12:00:00" in answer["message"]


@pytest.mark.parametrize("value", ["'soon'", "''", "'1 fortnight'", "'P'", "'1:99'", "5", "'- 1 day x'"])
def test_what_is_no_interval_is_refused(clocks: Cli, value: str) -> None:
    status, answer = clocks.ask(f"clocks(span > {value}) {{ id }}")

    assert (status, answer["error"]) == (400, "type_mismatch")
    assert "an interval like" in answer["message"]


def test_the_ends_are_those_of_the_values(clocks: Cli) -> None:
    assert clocks.rows("clocks(at < '200:00:00') { least: min(at) most: max(at) }") == {
        "least": "-838:59:59",
        "most": "100:00:00",
    }
    assert clocks.rows("clocks(id > 0) { least: min(span) most: max(span) }") == {
        "least": "-infinity",
        "most": "infinity",
    }


def test_equal_values_are_one_group(clocks: Cli, pytestconfig: pytest.Config) -> None:
    process = Cli(build(PLAN, pytestconfig.cache.mkdir("engine")), PLAN)
    spans = ["1 day", "24:00:00", "1 mon", "30 days", "720:00:00", None]
    process.load({"clocks": [{"id": place, "span": span, "at": "9:00"} for place, span in enumerate(spans)]})

    groups = process.rows("clocks(GROUP BY span ORDER BY count() DESC) { rows: count() }")
    process.close()

    assert [row["rows"] for row in groups] == [3, 2, 1]


def test_a_text_of_that_name_stays_a_text(clocks: Cli) -> None:
    assert of(clocks, "word", "word < '1'", "ORDER BY word LIMIT 1") == ["-00:00:00.5"]
