"""/v1/account and /v1/billing: an account's plan and what it used of it, buying another, overage; and Stripe's webhook.

The webhook is the one route that anybody may call: it believes what Stripe has signed, and nothing else.
"""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request

from reflexdb.api import billing_answers as answers
from reflexdb.api import bodies
from reflexdb.api.answers import Error
from reflexdb.api.context import Account, Controlled, errors
from reflexdb.api.errors import answer
from reflexdb.control.control import Control
from reflexdb.control.origin import Origin, acting

router = APIRouter(prefix="/v1", tags=["Billing"])

MAX_EVENT_BYTES = 1 << 18


@router.get(
    "/account",
    operation_id="getAccount",
    summary="Get account",
    responses=errors(),
    response_model=answers.Account,
)
def get_account(account: Account, control: Controlled) -> dict[str, Any]:
    """The plan with its limits, what was used of it this month, overage and payment state."""
    return answers.account(control.billing.account(account))


@router.post(
    "/billing/checkout",
    operation_id="createCheckoutSession",
    summary="Create Checkout session",
    responses=errors(400, 503),
    response_model=answers.CheckoutSession,
)
def checkout(body: bodies.CheckoutBody, account: Account, control: Controlled) -> dict[str, Any]:
    """A Stripe Checkout session for a paid plan, or the Billing Portal where a subscription is active."""
    return {"url": control.billing.checkout(account, body.plan)}


@router.post(
    "/billing/overage",
    operation_id="configureOverage",
    summary="Configure overage (burst scaling)",
    responses=errors(400, 403),
    response_model=answers.Overage,
)
def overage(body: bodies.OverageBody, account: Account, control: Controlled) -> dict[str, Any]:
    """Let builds go on for money when the month's credits are used, up to a cap; or stop that."""
    cap = control.billing.configure_overage(account, body.enabled, body.spendingCapCents)
    return {"ok": True, "overageEnabled": cap is not None, "spendingCapCents": cap}


@router.post(
    "/billing/webhook",
    operation_id="receiveStripeEvent",
    summary="Receive a Stripe event",
    responses={
        400: {"model": Error, "description": "Not signed by Stripe, or too old"},
        413: {"model": Error, "description": "Larger than an event may be"},
        503: {"model": Error, "description": "No webhook secret is configured"},
    },
    response_model=answers.Received,
    openapi_extra={
        "security": [],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    },
)
async def webhook(request: Request, control: Controlled) -> Any:
    """For Stripe alone, which signs what it sends; needs no key. An event that comes again is not carried out again."""
    body = await _read(request)
    if body is None:
        return answer(413, "too_large", f"An event is at most {MAX_EVENT_BYTES} bytes", {"Connection": "close"})
    signature = request.headers.get("stripe-signature")
    address = request.client.host if request.client else None
    who = Origin("stripe", address=address, request_id=getattr(request.state, "request_id", None))
    return await to_thread.run_sync(_receive, control, body, signature, who)


def _receive(control: Control, body: bytes, signature: str | None, who: Origin) -> dict[str, Any]:
    event = control.rooms.payments.read_event(body, signature)
    with acting(who):
        return {"received": True, "outcome": control.payment_events.receive(event)}


async def _read(request: Request) -> bytes | None:
    """The whole body, or None where it is too large: the gate has not read it."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_EVENT_BYTES:
            return None
    return bytes(body)
