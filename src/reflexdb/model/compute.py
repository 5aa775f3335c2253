"""Which build compute a schema stands for and what a build on it costs.

Control records both with every build; local builds are labelled with the tier they stand for. The tiers are the
API's, the prices the published ones of the hosted builders they are named after (US East, on demand, Linux x86).
Pure; refuses to know where a build ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from reflexdb.model.plan import Plan


@dataclass(frozen=True, slots=True)
class ComputeTier:
    name: str
    max_tables: int | None
    """Largest schema the tier is chosen for; None is without limit."""
    max_columns: int | None
    cents_per_minute: Decimal
    published: bool
    """False where the price is our estimate, in proportion to the tier's CPUs."""


TIERS: tuple[ComputeTier, ...] = (
    ComputeTier("BUILD_GENERAL1_LARGE", 200, 5_000, Decimal("2.0"), published=True),
    ComputeTier("BUILD_GENERAL1_XLARGE", 1_000, 25_000, Decimal("10.0"), published=False),
    ComputeTier("BUILD_GENERAL1_2XLARGE", None, None, Decimal("20.0"), published=True),
)
"""Smallest first."""

_BY_NAME = {tier.name: tier for tier in TIERS}


def select_tier(plan: Plan) -> str:
    """The smallest tier that the plan's tables and columns fit."""
    tables, columns = len(plan.tables), sum(len(table.columns) for table in plan.tables)
    fitting = (tier for tier in TIERS if _fits(tables, tier.max_tables) and _fits(columns, tier.max_columns))
    return next(fitting).name


def cents_per_minute(tier: str) -> Decimal | None:
    """None for a tier that there is not any more."""
    known = _BY_NAME.get(tier)
    return known.cents_per_minute if known else None


def cost_estimate_cents(tier: str, seconds: float) -> int:
    """Price of the measured minutes (fractions count), rounded half up. Raises KeyError for an unknown tier."""
    minutes = Decimal(str(max(seconds, 0.0))) / 60
    return int((minutes * _BY_NAME[tier].cents_per_minute).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _fits(size: int, limit: int | None) -> bool:
    return limit is None or size <= limit
