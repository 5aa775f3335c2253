# ruff: noqa: N815  # fields have the names of the published contract
"""What is answered about an account, its plan and its payments: the models, and the way from control's values to them.

Pure; called by the routes of `billing` and `admin_plans`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import WithJsonSchema

from reflexdb.api.answers import Answer, Id, Time
from reflexdb.api.bodies import InstanceSize
from reflexdb.api.views import instant
from reflexdb.control.billing import AccountView, why_no_overage
from reflexdb.model.plans import month_after
from reflexdb.records.rows import AdjustmentRow

PlanName = Literal["free", "pro", "teams", "enterprise", "unlimited"]


class CheckoutSession(Answer):
    url: Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]


class Overage(Answer):
    ok: bool
    overageEnabled: bool
    spendingCapCents: int | None


class CustomerPlan(Answer):
    id: Id
    plan: str


class Adjustment(Answer):
    id: Id
    customerId: Id
    amount: int
    reason: str | None
    expiresAt: Time | None


class MadeAdjustment(Adjustment):
    totalAdjustment: int


class ListedAdjustment(Adjustment):
    createdAt: Time


class Adjustments(Answer):
    adjustments: list[ListedAdjustment]
    totalAdjustment: int


class PlanLimits(Answer):
    instanceSizes: list[InstanceSize]
    databases: int | None
    buildCreditsPerMonth: int | None
    customDomain: bool
    overageMaxCents: int


class BuildCredits(Answer):
    month: str
    included: int | None
    adjustment: int
    used: int
    remaining: int | None
    resetsAt: Time


class OverageState(Answer):
    enabled: bool
    spendingCapCents: int | None
    spentCents: int
    buildCents: int
    whyNot: str | None


class PaymentState(Answer):
    state: Literal["none", "paid", "failed"]
    subscriptionStatus: str | None
    renewals: int


class Account(Answer):
    id: Id
    name: str
    plan: str
    limits: PlanLimits
    databases: int
    buildCredits: BuildCredits
    overage: OverageState
    payment: PaymentState


class Received(Answer):
    received: bool
    outcome: str


def account(view: AccountView) -> dict[str, Any]:
    plan, credits_, paid = view.plan, view.budget, view.paid
    return {
        "id": view.customer.id,
        "name": view.customer.name,
        "plan": plan.name,
        "limits": {
            "instanceSizes": list(plan.instance_sizes),
            "databases": plan.databases,
            "buildCreditsPerMonth": plan.build_credits,
            "customDomain": plan.custom_domain,
            "overageMaxCents": plan.overage_max_cents,
        },
        "databases": view.databases,
        "buildCredits": {
            "month": credits_.month,
            "included": credits_.included,
            "adjustment": credits_.adjustment,
            "used": credits_.used,
            "remaining": credits_.remaining,
            "resetsAt": instant(month_after(credits_.month)),
        },
        "overage": {
            "enabled": view.cap is not None,
            "spendingCapCents": view.cap,
            "spentCents": credits_.overage_cents,
            "buildCents": plan.overage_build_cents,
            "whyNot": why_no_overage(plan, paid),
        },
        "payment": {
            "state": paid.payment_state or "none",
            "subscriptionStatus": paid.subscription_status,
            "renewals": paid.renewals,
        },
    }


def adjustment(row: AdjustmentRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "customerId": row.customer_id,
        "amount": row.amount,
        "reason": row.reason,
        "expiresAt": instant(row.expires_at),
    }
