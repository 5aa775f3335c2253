"""Names in messages: shown safely, and suggested when close."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reflexdb.model.suggest import did_you_mean, quoted


def test_a_close_name_is_suggested_and_letter_case_counts_as_close() -> None:
    assert did_you_mean("usres", ["users", "posts"]) == ' Did you mean "users"?'
    assert did_you_mean("ID", ["id", "name"]) == ' Did you mean "id"?'
    assert did_you_mean("zebra", ["users", "posts"]) == ""


def test_long_names_and_long_lists_get_no_suggestion_rather_than_seconds_of_comparing() -> None:
    assert did_you_mean("x" * 10_000, ["x" * 10_000]) == ""
    assert did_you_mean("y", ["x" * 10_000]) == ""


@given(st.text(st.characters()))
def test_a_shown_name_is_one_printable_line(name: str) -> None:
    shown = quoted(name)

    assert shown.isprintable()
    assert len(shown) < 1_000
