"""Who takes the money: what control asks of a payment service, and what such a service tells.

One implementation is in `stripe_payments`; without one, everything that costs money answers that it is not configured.
Amounts, cards and addresses are the service's alone: none of it gets here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn, Protocol

from reflexdb.model.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Order:
    """A subscription that somebody wants to begin."""

    customer_id: str
    """Ours; comes back with every event about the subscription."""
    stripe_customer: str
    plan: str
    price: str


class EventKind(StrEnum):
    """What is acted on, by the service's names."""

    CHECKOUT_COMPLETED = "checkout.session.completed"
    SUBSCRIPTION_CREATED = "customer.subscription.created"
    SUBSCRIPTION_UPDATED = "customer.subscription.updated"
    SUBSCRIPTION_DELETED = "customer.subscription.deleted"
    INVOICE_PAID = "invoice.paid"
    INVOICE_FAILED = "invoice.payment_failed"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as an event shows it."""

    id: str
    created_at: datetime
    status: str
    prices: tuple[str, ...] = ()
    """What it is for; none where the event tells `plan` instead."""
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """Something that happened at the payment service; its signature was checked."""

    id: str
    kind: str
    """An EventKind, or one that nothing is done about."""
    created_at: datetime
    subject: str | None = None
    """The id of what it is about."""
    stripe_customer: str | None = None
    customer_id: str | None = None
    """Ours, as it was given with the order."""
    subscription: Subscription | None = None
    is_renewal: bool = False
    """A payment of more than nothing for another period of a subscription."""


class Payments(Protocol):
    """Raises Unavailable where the service is not configured or does not answer."""

    def check(self) -> None:
        """Whether anything can be bought at all."""

    def new_customer(self, customer_id: str, name: str) -> str:
        """The service's id of the customer; the same for a second call soon after."""

    def checkout(self, order: Order) -> str:
        """Where to send the user to pay."""

    def portal(self, stripe_customer: str) -> str:
        """Where to send a user who pays already: to change, to cancel, to see invoices."""

    def read_event(self, body: bytes, signature: str | None) -> PaymentEvent:
        """What the service sent. Raises InvalidRequest where it was somebody else."""


class NoPayments:
    """Nobody takes money here."""

    def check(self) -> None:
        _refuse()

    def new_customer(self, customer_id: str, name: str) -> str:  # noqa: ARG002
        _refuse()

    def checkout(self, order: Order) -> str:  # noqa: ARG002
        _refuse()

    def portal(self, stripe_customer: str) -> str:  # noqa: ARG002
        _refuse()

    def read_event(self, body: bytes, signature: str | None) -> PaymentEvent:  # noqa: ARG002
        _refuse()


def _refuse() -> NoReturn:
    raise Unavailable("Payments are not configured on this control plane: its operator has set no Stripe key")
