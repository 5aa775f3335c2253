"""The tier a schema stands for, and what its build costs."""

from __future__ import annotations

import pytest

from reflexdb.model.compute import TIERS, cost_estimate_cents, select_tier
from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage


def plan(tables: int, columns: int) -> Plan:
    column = PlannedColumn("c", "c", Storage.I32, "int", nullable=False)
    return Plan(Backend.MYSQL, "s", tuple(PlannedTable(f"t{n}", f"t{n}", (column,) * columns) for n in range(tables)))


@pytest.mark.parametrize(
    ("tables", "columns", "tier"),
    [
        (0, 0, "BUILD_GENERAL1_LARGE"),
        (200, 25, "BUILD_GENERAL1_LARGE"),
        (200, 26, "BUILD_GENERAL1_XLARGE"),
        (201, 1, "BUILD_GENERAL1_XLARGE"),
        (1_000, 25, "BUILD_GENERAL1_XLARGE"),
        (1_001, 1, "BUILD_GENERAL1_2XLARGE"),
    ],
)
def test_the_smallest_tier_that_fits_is_chosen(tables: int, columns: int, tier: str) -> None:
    assert select_tier(plan(tables, columns)) == tier


@pytest.mark.parametrize(
    ("tier", "seconds", "cents"),
    [
        ("BUILD_GENERAL1_LARGE", 0, 0),
        ("BUILD_GENERAL1_LARGE", 14.9, 0),
        ("BUILD_GENERAL1_LARGE", 15, 1),
        ("BUILD_GENERAL1_LARGE", 60, 2),
        ("BUILD_GENERAL1_XLARGE", 9, 2),
        ("BUILD_GENERAL1_2XLARGE", 600, 200),
        ("BUILD_GENERAL1_2XLARGE", -1, 0),
    ],
)
def test_a_cost_is_the_measured_minutes_times_the_price_rounded_half_up(tier: str, seconds: float, cents: int) -> None:
    assert cost_estimate_cents(tier, seconds) == cents


def test_an_unknown_tier_has_no_price() -> None:
    with pytest.raises(KeyError):
        cost_estimate_cents("BUILD_GENERAL1_SMALL", 60)


def test_tiers_grow_in_size_and_price() -> None:
    prices = [tier.cents_per_minute for tier in TIERS]

    assert prices == sorted(prices)
    assert TIERS[-1].max_tables is None
