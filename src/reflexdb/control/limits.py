"""What an account's plan allows, asked in the transaction that would go beyond it.

Called by the parts of control that register, resize and build. The customer is held while something is counted for it:
of two that race for the last of something, the second sees what the first took. A refusal says the numbers. Refuses to
know how a plan came to be the account's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection as Tx

from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import NotFound, PlanConflict, PlanForbids
from reflexdb.model.plans import AccountPlan, month_after, month_of
from reflexdb.records import accounts, billing, build_credits, databases
from reflexdb.records.rows import BillingRow, DatabaseRow


@dataclass(frozen=True, slots=True)
class Budget:
    """The build credits of one account in one month, and what it spent beyond them."""

    month: str
    included: int | None
    """By the plan; None is without limit."""
    adjustment: int
    used: int
    overage_cents: int

    @property
    def allowance(self) -> int | None:
        return None if self.included is None else max(0, self.included + self.adjustment)

    @property
    def remaining(self) -> int | None:
        return None if self.allowance is None else max(0, self.allowance - self.used)


def budget(rooms: Rooms, tx: Tx, plan: AccountPlan, customer_id: str) -> Budget:
    """As it is at this moment."""
    now = rooms.now()
    month = month_of(now)
    used = build_credits.used(tx, customer_id, month)
    adjustment = build_credits.total_adjustment(tx, customer_id, now)
    return Budget(month, plan.build_credits, adjustment, used.credits, used.overage_cents)


def plan_of(rooms: Rooms, tx: Tx, customer_id: str) -> AccountPlan:
    """The plan of a customer, who is held until the transaction ends."""
    customer = accounts.hold_customer(tx, customer_id)
    if customer is None:
        raise NotFound("There is no customer with this id")
    return rooms.settings.plans.of(customer.plan)


def check_new_database(rooms: Rooms, tx: Tx, customer_id: str, size: str) -> None:
    """Raises PlanConflict: registering is published without a 403."""
    plan = plan_of(rooms, tx, customer_id)
    _check_size(plan, size, PlanConflict)
    there = databases.count(tx, customer_id)
    if plan.databases is not None and there >= plan.databases:
        raise PlanConflict(
            f"The plan {plan.name} has room for {_counted(plan.databases, 'database')} and {there} "
            f"{'is' if there == 1 else 'are'} registered; delete one, or choose a larger plan"
        )


def check_size(
    rooms: Rooms, tx: Tx, customer_id: str, size: str, refusal: type[PlanForbids | PlanConflict] = PlanForbids
) -> None:
    _check_size(plan_of(rooms, tx, customer_id), size, refusal)


def check_domain(rooms: Rooms, tx: Tx, customer_id: str) -> None:
    """Raises PlanForbids where the plan has no custom domains."""
    plans = rooms.settings.plans
    plan = plan_of(rooms, tx, customer_id)
    if not plan.custom_domain:
        having = " or ".join(each.name for each in plans.by_name.values() if each.custom_domain and each.stripe_price)
        raise PlanForbids(
            f"The plan {plan.name} has no reflexdbCustomDomain; it needs the plan {having or 'teams or enterprise'}"
        )


def charge_build(rooms: Rooms, tx: Tx, row: DatabaseRow, build_id: str, *, first: bool) -> None:
    """Take a credit for a build just written; where there is none left, and overage is on, its price.

    `first` is set where the database begins to be served. Raises PlanForbids, and the build is not made.
    """
    plan = plan_of(rooms, tx, row.customer_id)
    _check_size(plan, row.instance_size, PlanForbids)
    there = databases.count(tx, row.customer_id)
    if first and plan.databases is not None and there > plan.databases:
        raise PlanForbids(
            f"The plan {plan.name} has room for {_counted(plan.databases, 'database')} and {there} are registered; "
            f"delete {there - plan.databases}, or choose a larger plan"
        )
    known = budget(rooms, tx, plan, row.customer_id)
    cents = 0
    if known.remaining == 0:
        refusal = _why_no_overage(plan, billing.of_customer(tx, row.customer_id), known)
        if refusal is not None:
            raise PlanForbids(f"{_used_up(plan, known)}; {refusal}")
        cents = plan.overage_build_cents
    build_credits.charge(
        tx,
        build_id=build_id,
        customer_id=row.customer_id,
        month=known.month,
        overage_cents=cents,
        charged_at=rooms.now(),
    )


def spending_cap(plan: AccountPlan, paid: BillingRow) -> int | None:
    """What the account may spend beyond its credits in a month; None where overage is off or not in the plan."""
    if not paid.overage_enabled or paid.spending_cap_cents is None or not plan.overage_max_cents:
        return None
    return min(paid.spending_cap_cents, plan.overage_max_cents)


def _check_size(plan: AccountPlan, size: str, refusal: type[PlanForbids | PlanConflict]) -> None:
    if size not in plan.instance_sizes:
        sizes = ", ".join(plan.instance_sizes)
        raise refusal(f"instanceSize {size} is not in the plan {plan.name}, which has: {sizes}; choose a larger plan")


def _why_no_overage(plan: AccountPlan, paid: BillingRow, known: Budget) -> str | None:
    again = f"they begin anew on {month_after(known.month):%Y-%m-%d} (UTC)"
    cap = spending_cap(plan, paid)
    if cap is None:
        more = "turn overage on, or choose a larger plan" if plan.overage_max_cents else "choose a larger plan"
        return f"{again}; {more}"
    if known.overage_cents + plan.overage_build_cents > cap:
        return (
            f"{again}; overage has spent {known.overage_cents} of its cap of {cap} cents "
            f"and another build costs {plan.overage_build_cents}; raise spendingCapCents"
        )
    return None


def _used_up(plan: AccountPlan, known: Budget) -> str:
    adjusted = f", adjusted by {known.adjustment:+}" if known.adjustment else ""
    has = f"the plan {plan.name} has {known.included}{adjusted}"
    return f"All build credits of {known.month} are used: {known.used} of {known.allowance} ({has})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
