"""The plans as data, and an operator's file that changes them: every mistake is told with its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from reflexdb.model.errors import InvalidConfig, SystemError_
from reflexdb.model.plans import DEFAULT_PLANS, PAID, month_after, month_of
from reflexdb.model.plans_file import parse_plans


def test_nothing_asks_for_money_by_default() -> None:
    plan = DEFAULT_PLANS.of(DEFAULT_PLANS.default)

    assert (plan.databases, plan.build_credits, plan.custom_domain) == (None, None, True)
    assert DEFAULT_PLANS.prices == {}
    assert all(each.stripe_price is None for each in DEFAULT_PLANS.by_name.values())


def test_a_dearer_plan_has_no_less_of_anything() -> None:
    def most(limit: int | None) -> float:
        return float("inf") if limit is None else limit

    for name, next_name in pairwise(("free", *PAID)):
        small, large = DEFAULT_PLANS.of(name), DEFAULT_PLANS.of(next_name)
        assert set(small.instance_sizes) <= set(large.instance_sizes)
        assert most(small.databases) <= most(large.databases)
        assert most(small.build_credits) <= most(large.build_credits)
        assert (small.custom_domain, small.overage_max_cents) <= (large.custom_domain, large.overage_max_cents)


def test_a_file_changes_what_it_names_and_keeps_the_rest() -> None:
    plans = parse_plans(
        "version: 1\ndefault: free\nplans:\n  free: {buildCredits: 3, databases: null, instanceSizes: [small, nano]}\n"
        "  pro: {stripePrice: price_1, customDomain: true}\n",
        "plans.yaml",
    )

    free, pro = plans.of("free"), plans.of("pro")
    assert (free.build_credits, free.databases, free.instance_sizes) == (3, None, ("nano", "small"))
    assert (pro.stripe_price, pro.custom_domain, pro.build_credits) == ("price_1", True, 100)
    assert (plans.default, plans.prices) == ("free", {"price_1": "pro"})
    assert plans.of("teams") == DEFAULT_PLANS.of("teams")


def test_json_is_read_too() -> None:
    assert parse_plans('{"version": 1, "plans": {"free": {"buildCredits": 7}}}', "p").of("free").build_credits == 7


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("version: 2", 1, "the number 1"),
        ("default: free", 1, '"version" is missing'),
        ("version: 1\ndefault: gold", 2, '"gold"'),
        ("version: 1\nplans:\n  gold: {}", 3, 'no plan "gold"; the plans are free, pro'),
        ("version: 1\nplans:\n  pro: {buildCredit: 1}", 3, 'Did you mean "buildCredits"'),
        ("version: 1\nplans:\n  pro: {buildCredits: -1}", 3, "whole number"),
        ("version: 1\nplans:\n  pro: {buildCredits: 1.5}", 3, "whole number"),
        ("version: 1\nplans:\n  pro: {buildCredits: '5'}", 3, "whole number"),
        ("version: 1\nplans:\n  pro: {buildCredits: 99999999999}", 3, "whole number"),
        ("version: 1\nplans:\n  pro: {customDomain: yes}", 3, "true or false"),
        ("version: 1\nplans:\n  pro: {instanceSizes: []}", 3, "empty list"),
        ("version: 1\nplans:\n  pro: {instanceSizes: [huge]}", 3, '"huge"'),
        ("version: 1\nplans:\n  pro: {stripePrice: 'a b'}", 3, "id of a Stripe price"),
        ("version: 1\nplans:\n  free: {stripePrice: price_1}", 3, "can't be bought"),
        ("version: 1\nplans:\n  pro: {overageMaxCents: 5}", 3, "teams and enterprise"),
        ("version: 1\nplans:\n  teams: {overageBuildCents: 0}", 3, "at least 1"),
        ("version: 1\nplans:\n  pro: {stripePrice: p}\n  teams: {stripePrice: p}", 4, 'that of "pro"'),
        ("version: 1\nplans: [1]", 2, "mapping"),
        ("version: 1\nplans: {pro: {databases: 1}, pro: {}}", 2, "twice"),
        ("version: 1\nplans: &a {}", 2, "Anchors"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, line: int, words: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        parse_plans(text, "/etc/plans.yaml")

    assert refused.value.message.startswith(f"/etc/plans.yaml, line {line}, column ")
    assert words in refused.value.message


def test_a_plan_that_is_not_there_is_our_fault() -> None:
    with pytest.raises(SystemError_, match="gold"):
        DEFAULT_PLANS.of("gold")


def test_a_month_is_that_of_utc_and_ends_where_the_next_begins() -> None:
    there = timezone(timedelta(hours=2))

    assert month_of(datetime(2026, 12, 1, 1, 59, tzinfo=there)) == "2026-11"
    assert month_of(datetime(2026, 12, 1, 2, 0, tzinfo=there)) == "2026-12"
    assert month_after("2026-11") == datetime(2026, 12, 1, tzinfo=UTC)
    assert month_after("2026-12") == datetime(2027, 1, 1, tzinfo=UTC)
