"""Stripe as the payment service, through its official library.

Made by `billing_config` where the operator has set a key. Every exception of the library becomes one of ours here;
what it says is logged by its kind and Stripe's request id alone, since the text may repeat what was sent. Refuses to
know records: an event leaves as a value of `payments`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from stripe import RequestsClient, SignatureVerificationError, StripeClient, StripeError, WebhookSignature

from reflexdb.control.payments import EventKind, Order, PaymentEvent, Subscription
from reflexdb.model.errors import InvalidRequest, Unavailable

log = structlog.get_logger()

CONNECT_LIMIT_S = 3.05
ANSWER_LIMIT_S = 10.0
RETRIES = 1
TOLERANCE_S = 300
"""How far the time of a signature may be from ours: one that was overheard can't be sent again later."""
MAX_ID_CHARS = 255
OUR_CUSTOMER = "reflexdb_customer_id"
OUR_PLAN = "reflexdb_plan"
"""Metadata that comes back with every event."""


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """What the operator sets; the two secrets are shown nowhere."""

    return_url: str
    """Where Stripe sends the user afterwards."""
    key: str = field(repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    api_url: str | None = None
    """Another address than Stripe's own; for tests."""


class StripePayments:
    def __init__(self, settings: StripeSettings) -> None:
        self._settings = settings
        self._client = StripeClient(
            settings.key,
            base_addresses={"api": settings.api_url} if settings.api_url else {},
            max_network_retries=RETRIES,
            http_client=RequestsClient(timeout=(CONNECT_LIMIT_S, ANSWER_LIMIT_S)),
        )

    def check(self) -> None:
        """It is configured."""

    def new_customer(self, customer_id: str, name: str) -> str:
        made = _asked(
            "create a customer",
            lambda: self._client.v1.customers.create(
                {"name": name[:MAX_ID_CHARS], "metadata": {OUR_CUSTOMER: customer_id}},
                {"idempotency_key": f"reflexdb-customer-{customer_id}"},
            ),
        )
        return str(made.id)

    def checkout(self, order: Order) -> str:
        metadata = {OUR_CUSTOMER: order.customer_id, OUR_PLAN: order.plan}
        made = _asked(
            "create a Checkout session",
            lambda: self._client.v1.checkout.sessions.create(
                {
                    "mode": "subscription",
                    "customer": order.stripe_customer,
                    "client_reference_id": order.customer_id,
                    "line_items": [{"price": order.price, "quantity": 1}],
                    "metadata": metadata,
                    "subscription_data": {"metadata": metadata},
                    "success_url": self._settings.return_url,
                    "cancel_url": self._settings.return_url,
                }
            ),
        )
        if not made.url:
            raise Unavailable("Stripe made a Checkout session without an address; try again")
        return str(made.url)

    def portal(self, stripe_customer: str) -> str:
        made = _asked(
            "open the Billing Portal",
            lambda: self._client.v1.billing_portal.sessions.create(
                {"customer": stripe_customer, "return_url": self._settings.return_url}
            ),
        )
        return str(made.url)

    def read_event(self, body: bytes, signature: str | None) -> PaymentEvent:
        secret = self._settings.webhook_secret
        if secret is None:
            raise Unavailable("No Stripe webhook secret is configured on this control plane")
        try:
            WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
            moment = int(_part(signature or "", "t"))
        except (SignatureVerificationError, ValueError) as exc:
            raise InvalidRequest("The Stripe-Signature does not fit this body, or is too old") from exc
        if moment > time.time() + TOLERANCE_S:
            raise InvalidRequest("The Stripe-Signature is from the future; check this machine's clock")
        try:
            return _event(json.loads(body))
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, OSError, RecursionError) as exc:
            raise InvalidRequest("The body is not a Stripe event") from exc


def _part(header: str, name: str) -> str:
    return next((value for key, _, value in (part.partition("=") for part in header.split(",")) if key == name), "")


def _asked(what: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except StripeError as exc:
        log.error(
            "stripe_failed",
            what=what,
            kind=type(exc).__name__,
            status=exc.http_status,
            code=exc.code,
            stripe_request=exc.request_id,
        )
        if exc.http_status is None:
            raise Unavailable(f"Stripe can't be reached to {what}; try again later") from exc
        raise Unavailable(
            f"Stripe refused to {what}; the control plane's log has its reason, which is for the operator"
        ) from exc


def _event(document: Any) -> PaymentEvent:
    """Raises what indexing and converting raise where it is not an event."""
    kind, thing = _id(document["type"]), document["data"]["object"]
    event = PaymentEvent(_id(document["id"]), kind[:80], _time(document["created"]))
    if kind not in set(EventKind):
        return event
    metadata = thing.get("metadata") or {}
    subscription, renewal = None, False
    if kind == EventKind.CHECKOUT_COMPLETED:
        subscription = _bought(thing, metadata)
    elif kind.startswith("customer.subscription."):
        prices = tuple(_id(item["price"]["id"]) for item in thing["items"]["data"])
        subscription = Subscription(_id(thing["id"]), _time(thing["created"]), _id(thing["status"]), prices)
    else:
        details = (thing.get("parent") or {}).get("subscription_details") or thing.get("subscription_details") or {}
        metadata = details.get("metadata") or metadata
        renewal = thing.get("billing_reason") == "subscription_cycle" and int(thing.get("amount_paid") or 0) > 0
    return PaymentEvent(
        id=event.id,
        kind=event.kind,
        created_at=event.created_at,
        subject=_id(thing["id"]),
        stripe_customer=_id(thing["customer"]) if thing.get("customer") else None,
        customer_id=_optional(metadata.get(OUR_CUSTOMER) or thing.get("client_reference_id")),
        subscription=subscription,
        is_renewal=renewal,
    )


def _bought(session: Any, metadata: Any) -> Subscription | None:
    """What a finished checkout began; None where nothing was paid yet, or it was for something else."""
    if session.get("mode") != "subscription" or not session.get("subscription"):
        return None
    if session.get("payment_status") not in ("paid", "no_payment_required"):
        return None
    plan = _optional(metadata.get(OUR_PLAN))
    return Subscription(_id(session["subscription"]), _time(session["created"]), "active", plan=plan)


def _id(value: Any) -> str:
    """An id or a word of Stripe's; an expanded object is its id."""
    text = value["id"] if isinstance(value, dict) else value
    if not isinstance(text, str) or not text or len(text) > MAX_ID_CHARS or not text.isprintable():
        raise ValueError("not an id")
    return text


def _optional(value: Any) -> str | None:
    return None if value is None else _id(value)


def _time(value: Any) -> datetime:
    return datetime.fromtimestamp(int(value), UTC)
