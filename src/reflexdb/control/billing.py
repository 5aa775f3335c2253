"""An account's plan and what it pays: shown, bought, set by the operator; and what builds may cost beyond it.

Called by the API. What a payment service tells arrives in `payment_events`. No transaction is open while the service
is asked: it may take its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control.audit import note
from reflexdb.control.limits import Budget, budget, spending_cap
from reflexdb.control.payments import Order
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.model.errors import InvalidRequest, NotFound, PlanForbids, Unavailable
from reflexdb.model.plans import OVERAGE_PLANS, AccountPlan
from reflexdb.records import accounts, billing, build_credits, databases
from reflexdb.records.rows import AdjustmentRow, BillingRow, Customer

PAYS_ALREADY = frozenset({"active", "trialing", "past_due", "unpaid", "paused"})
"""A subscription that is changed, not begun again."""
MAX_ADJUSTMENT = 1_000_000
SHOWN_ADJUSTMENTS = 1000


@dataclass(frozen=True, slots=True)
class AccountView:
    """Everything that is told of an account's plan, of one moment."""

    customer: Customer
    plan: AccountPlan
    budget: Budget
    databases: int
    paid: BillingRow
    cap: int | None
    """What overage may spend this month; None where it is off or not in the plan."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An adjustment of build credits as the operator gives it."""

    amount: int
    reason: str | None
    expires_at: datetime | None


class Billing:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def account(self, customer_id: str) -> AccountView:
        with self._rooms.store.read() as tx:
            customer = _known(accounts.customer(tx, customer_id))
            plan = self._rooms.settings.plans.of(customer.plan)
            paid = billing.of_customer(tx, customer_id)
            return AccountView(
                customer,
                plan,
                budget(self._rooms, tx, plan, customer_id),
                databases.count(tx, customer_id),
                paid,
                spending_cap(plan, paid),
            )

    def checkout(self, customer_id: str, plan: str) -> str:
        """Where to send the user: to begin a subscription, or to change the one there is. Raises Unavailable."""
        with self._rooms.store.read() as tx:
            customer = _known(accounts.customer(tx, customer_id))
            paid = billing.of_customer(tx, customer_id)
        payments = self._rooms.payments
        if paid.stripe_customer is not None and paid.subscription_status in PAYS_ALREADY:
            return payments.portal(paid.stripe_customer)
        payments.check()
        price = self._rooms.settings.plans.of(plan).stripe_price
        if price is None:
            raise Unavailable(
                f"The plan {plan} is not sold here: the operator of this control plane has set no price for it"
            )
        known = paid.stripe_customer
        if known is None:
            known = self._keep_stripe_customer(customer_id, payments.new_customer(customer_id, customer.name))
        return payments.checkout(Order(customer_id, known, plan, price))

    def configure_overage(self, customer_id: str, enabled: bool, cap_cents: int | None) -> int | None:
        """The spending cap that holds now; None where overage is off."""
        with self._rooms.store.write() as tx:
            customer = _known(accounts.hold_customer(tx, customer_id))
            paid = billing.of_customer(tx, customer_id)
            cap = None
            if enabled:
                cap = _checked_cap(self._rooms.settings.plans.of(customer.plan), paid, cap_cents)
            self._write_overage(tx, paid, cap)
        return cap

    def adjust(self, customer_id: str, given: Adjustment) -> tuple[AdjustmentRow, int]:
        """Grant or deduct build credits; the adjustment, and the sum of all that count now."""
        now = self._rooms.now()
        if not 0 < abs(given.amount) <= MAX_ADJUSTMENT:
            raise InvalidRequest(f"amount must be from -{MAX_ADJUSTMENT} to {MAX_ADJUSTMENT}, and not 0")
        if given.expires_at is not None and given.expires_at <= now:
            raise InvalidRequest("expiresAt is in the past; the adjustment would never count")
        row_id = new_id()
        with self._rooms.store.write() as tx:
            customer = self._held(tx, customer_id)
            told = {"amount": given.amount, "reason": given.reason, "expires_at": given.expires_at}
            build_credits.adjust(tx, id=row_id, customer_id=customer.id, created_at=now, **told)
            total = build_credits.total_adjustment(tx, customer.id, now)
            note(tx, now, customer.id, "buildCredits.adjust", row_id, after={**told, "total": total})
        return AdjustmentRow(row_id, customer.id, given.amount, given.reason, given.expires_at, now), total

    def adjustments(self, customer_id: str) -> tuple[list[AdjustmentRow], int]:
        """The newest of them, and the sum of all that count now."""
        with self._rooms.store.read() as tx:
            customer = _known(accounts.customer(tx, canonical_id(customer_id, "customer")))
            rows = build_credits.adjustments_of(tx, customer.id, SHOWN_ADJUSTMENTS)
            return rows, build_credits.total_adjustment(tx, customer.id, self._rooms.now())

    def set_plan(self, customer_id: str, plan: str | None) -> Customer:
        """Give a customer a plan that nobody pays for; None is the one that new accounts get."""
        with self._rooms.store.write() as tx:
            customer = self._held(tx, customer_id)
            change_plan(self._rooms, tx, customer, plan or self._rooms.settings.plans.default)
            return _known(accounts.customer(tx, customer.id))

    def _held(self, tx: Tx, customer_id: str) -> Customer:
        return _known(accounts.hold_customer(tx, canonical_id(customer_id, "customer")))

    def _keep_stripe_customer(self, customer_id: str, stripe_customer: str) -> str:
        """Of two that asked at once, both get the first one's."""
        with self._rooms.store.write() as tx:
            accounts.hold_customer(tx, customer_id)
            known = billing.of_customer(tx, customer_id).stripe_customer
            if known is None:
                billing.change(tx, customer_id, self._rooms.now(), stripe_customer=stripe_customer)
        return known or stripe_customer

    def _write_overage(self, tx: Tx, paid: BillingRow, cap: int | None) -> None:
        write_billing(
            self._rooms, tx, paid, "overage.configure", {"overage_enabled": cap is not None, "spending_cap_cents": cap}
        )


def write_billing(rooms: Rooms, tx: Tx, paid: BillingRow, action: str, values: dict[str, Any]) -> None:
    """Write what changes of an account's payments, and tell it in the audit; nothing where nothing does."""
    changed = {name: value for name, value in values.items() if getattr(paid, name) != value}
    if changed:
        now = rooms.now()
        billing.change(tx, paid.customer_id, now, **changed)
        before = {name: getattr(paid, name) for name in changed}
        note(tx, now, paid.customer_id, action, paid.customer_id, before=before, after=changed)


def change_plan(rooms: Rooms, tx: Tx, customer: Customer, plan: str) -> None:
    """The caller holds the customer. Overage ends with the plan that offered it."""
    if plan != customer.plan:
        accounts.change_customer(tx, customer.id, plan=plan)
        before, after = {"plan": customer.plan}, {"plan": plan}
        note(tx, rooms.now(), customer.id, "customer.plan", customer.id, before=before, after=after)
    if not rooms.settings.plans.of(plan).overage_max_cents:
        off = {"overage_enabled": False, "spending_cap_cents": None}
        write_billing(rooms, tx, billing.of_customer(tx, customer.id), "overage.configure", off)


def why_no_overage(plan: AccountPlan, paid: BillingRow) -> str | None:
    """Why overage can't be turned on; None where it can."""
    if not plan.overage_max_cents:
        return f"Overage needs the plan {' or '.join(OVERAGE_PLANS)}; this account has {plan.name}"
    if not paid.renewals:
        return "Overage can be turned on after the first successful renewal payment; there was none yet"
    return None


def _checked_cap(plan: AccountPlan, paid: BillingRow, cap_cents: int | None) -> int:
    refusal = why_no_overage(plan, paid)
    if refusal is not None:
        raise PlanForbids(refusal)
    if cap_cents is None:
        raise InvalidRequest("spendingCapCents is required to turn overage on")
    if cap_cents > plan.overage_max_cents:
        raise InvalidRequest(
            f"spendingCapCents is {cap_cents}; the plan {plan.name} allows at most {plan.overage_max_cents}"
        )
    return cap_cents


def _known(customer: Customer | None) -> Customer:
    if customer is None:
        raise NotFound("There is no customer with this id")
    return customer
