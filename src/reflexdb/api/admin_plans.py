"""/v1/admin/customers/{id}/...: the operator gives a customer a plan or build credits, without anybody paying."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from reflexdb.api import billing_answers as answers
from reflexdb.api import bodies
from reflexdb.api.context import Admin, Controlled, errors
from reflexdb.api.views import instant
from reflexdb.control.billing import Adjustment

router = APIRouter(prefix="/v1/admin/customers/{id}", tags=["Administration"])


@router.post(
    "/build-credits",
    status_code=201,
    operation_id="adjustBuildCredits",
    summary="Adjust build credits",
    responses=errors(400, 403, 404),
    response_model=answers.MadeAdjustment,
)
def adjust(id: str, body: bodies.AdjustmentBody, _admin: Admin, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Positive grants, negative deducts; an adjustment past expiresAt no longer counts."""
    row, total = control.billing.adjust(id, Adjustment(body.amount, body.reason, body.expiresAt))
    return {**answers.adjustment(row), "totalAdjustment": total}


@router.get(
    "/build-credits",
    operation_id="listBuildCreditAdjustments",
    summary="List adjustments of build credits",
    responses=errors(403, 404),
    response_model=answers.Adjustments,
)
def list_adjustments(id: str, _admin: Admin, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """The newest thousand, and the sum of all that count now."""
    rows, total = control.billing.adjustments(id)
    listed = [{**answers.adjustment(row), "createdAt": instant(row.created_at)} for row in rows]
    return {"adjustments": listed, "totalAdjustment": total}


@router.patch(
    "/plan",
    operation_id="updateCustomerPlan",
    summary="Update customer plan",
    responses=errors(400, 403, 404),
    response_model=answers.CustomerPlan,
)
def set_plan(id: str, body: bodies.PlanBody, _admin: Admin, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """Sets a plan without Stripe."""
    customer = control.billing.set_plan(id, body.plan)
    return {"id": customer.id, "plan": customer.plan}


@router.delete(
    "/plan",
    operation_id="resetCustomerPlan",
    summary="Reset customer plan",
    responses=errors(403, 404),
    response_model=answers.CustomerPlan,
)
def reset_plan(id: str, _admin: Admin, control: Controlled) -> dict[str, Any]:  # noqa: A002
    """The plan that new accounts get here."""
    customer = control.billing.set_plan(id, None)
    return {"id": customer.id, "plan": customer.plan}
