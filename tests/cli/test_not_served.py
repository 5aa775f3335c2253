"""What is not served, as a person reads it."""

from __future__ import annotations

from reflexdb.cli.not_served import SHOWN, lines
from reflexdb.client.not_served_types import NotServed


def entry(table: str, column: str | None = None, relation: str | None = None) -> NotServed:
    return {
        "table": table,
        "column": column,
        "relation": relation,
        "cause": "no_privilege",
        "reason": "No SELECT.",
        "remedy": "Run: GRANT;",
    }


def test_each_is_told_with_reason_and_remedy() -> None:
    entries = [entry("t"), entry("t", column="c"), entry("t", relation="k")]
    assert lines(entries, 3) == [f"{name}: No SELECT. Run: GRANT;" for name in ("t", "t.c", "t.k")]


def test_many_are_counted() -> None:
    found = lines([entry("t")] * 100, 5_000)
    assert len(found) == SHOWN + 1
    assert found[-1].startswith(f"and {5_000 - SHOWN:,} more")


def test_nothing_is_told_of_nothing() -> None:
    assert lines(None, None) == lines([], 0) == []
