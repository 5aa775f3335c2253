"""What an account may use: the account plans, as data.

`DEFAULT_PLANS` is the table that a control plane begins with; an operator's file changes numbers of it
(model/plans_file.py). Control asks a plan before it writes anything; the documentation's table is printed from here.
Not to be taken for the plan of a build (model/plan.py). Pure; refuses to know who pays, and how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from reflexdb.model.errors import SystemError_
from reflexdb.model.sizes import SIZES

VERSION = 1
"""Of the table's form; a file that changes it says for which form it was written."""

FREE = "free"
"""What an account falls back to when its subscription ends."""
UNLIMITED = "unlimited"
"""What a control plane gives whom nobody sells anything; it can't be bought."""
PAID = ("pro", "teams", "enterprise")
"""What can be bought, smallest first."""
OVERAGE_PLANS = ("teams", "enterprise")
"""Who may go on building for money when the month's credits are used."""


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """The limits of one plan; None is without limit."""

    name: str
    instance_sizes: tuple[str, ...]
    databases: int | None
    """Registered and not deleted."""
    build_credits: int | None
    """Per calendar month, UTC; a build that compiles costs one."""
    custom_domain: bool
    overage_max_cents: int
    """The largest spending cap per month; 0 where overage is not offered."""
    overage_build_cents: int
    """What one build beyond the month's credits costs."""
    stripe_price: str | None = None
    """The id of the price that sells it; not secret."""


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of one control plane, and the one that a new account gets."""

    by_name: Mapping[str, AccountPlan]
    default: str = UNLIMITED
    prices: Mapping[str, str] = field(init=False)
    """From a price's id to the plan it sells."""

    def __post_init__(self) -> None:
        sold = {plan.stripe_price: name for name, plan in self.by_name.items() if plan.stripe_price}
        object.__setattr__(self, "prices", MappingProxyType(sold))

    def of(self, name: str) -> AccountPlan:
        """Raises SystemError_ for a name that only a changed record can have."""
        plan = self.by_name.get(name)
        if plan is None:
            raise SystemError_(f"The records name the plan {name!r}, which this version does not know")
        return plan


_SIZES = tuple(SIZES)
_TABLE = (
    AccountPlan(FREE, _SIZES[:1], 1, 10, custom_domain=False, overage_max_cents=0, overage_build_cents=0),
    AccountPlan("pro", _SIZES[:3], 5, 100, custom_domain=False, overage_max_cents=0, overage_build_cents=0),
    AccountPlan("teams", _SIZES[:5], 25, 500, custom_domain=True, overage_max_cents=50_000, overage_build_cents=50),
    AccountPlan(
        "enterprise", _SIZES, None, 5_000, custom_domain=True, overage_max_cents=1_000_000, overage_build_cents=25
    ),
    AccountPlan(UNLIMITED, _SIZES, None, None, custom_domain=True, overage_max_cents=0, overage_build_cents=0),
)
DEFAULT_PLANS = Plans(MappingProxyType({plan.name: plan for plan in _TABLE}))


def month_of(now: datetime) -> str:
    """The calendar month that credits are counted in, like `2026-04`."""
    return now.astimezone(UTC).strftime("%Y-%m")


def month_after(month: str) -> datetime:
    """When the credits of the next month can be used."""
    year, number = (int(part) for part in month.split("-"))
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def markdown() -> str:
    """The table of plans as it stands in the documentation."""
    heads = (
        "plan", "instance sizes", "databases", "build credits a month", "custom domain", "overage", "build over it",
    )  # fmt: skip
    rows = [
        (
            f"`{plan.name}`",
            "all" if plan.instance_sizes == _SIZES else ", ".join(plan.instance_sizes),
            _number(plan.databases),
            _number(plan.build_credits),
            "yes" if plan.custom_domain else "no",
            f"up to {plan.overage_max_cents:,} cents a month" if plan.overage_max_cents else "no",
            f"{plan.overage_build_cents} cents" if plan.overage_max_cents else "-",
        )
        for plan in DEFAULT_PLANS.by_name.values()
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rows))


def _number(limit: int | None) -> str:
    return "no limit" if limit is None else f"{limit:,}"
