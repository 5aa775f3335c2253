"""What a payment service tells: from its events to the account's plan, payment state and renewals.

Events come twice, late and in any order. Each is carried out once, by its id; of what they say about one thing, the
newest wins, by the times that the service gives. An event about nobody we know is noted and left: the service's account
may sell other things. Called by the API once the signature was checked.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.billing import change_plan, write_billing
from reflexdb.control.payments import EventKind, PaymentEvent, Subscription
from reflexdb.control.rooms import Rooms
from reflexdb.model.plans import FREE
from reflexdb.records import accounts, billing
from reflexdb.records.rows import BillingRow, Customer

log = structlog.get_logger()

KEPT_FOR = timedelta(days=90)
"""Three times as long as the service can be asked to send an event again."""

APPLIED, STALE, IGNORED, UNKNOWN = "applied", "stale", "ignored", "unknown_customer"
DUPLICATE = "duplicate"

_ENTITLED = frozenset({"active", "trialing", "past_due"})
"""A subscription that pays for its plan; past_due while the service tries to collect."""
_ENDED = frozenset({"canceled", "incomplete_expired"})
_SUBSCRIPTION = frozenset(
    {EventKind.SUBSCRIPTION_CREATED, EventKind.SUBSCRIPTION_UPDATED, EventKind.SUBSCRIPTION_DELETED}
)


class PaymentEvents:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def receive(self, event: PaymentEvent) -> str:
        """What became of it."""
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            customer = self._customer(tx, event)
            if billing.seen(tx, event.id):
                return DUPLICATE
            outcome = self._apply(tx, customer, event) if customer is not None else UNKNOWN
            billing.forget_events_before(tx, now - KEPT_FOR)
            billing.note_event(
                tx,
                id=event.id,
                kind=event.kind,
                subject=event.subject,
                customer_id=customer.id if customer else None,
                outcome=outcome,
                created_at=event.created_at,
                received_at=now,
            )
        log.info("payment_event", event_id=event.id, kind=event.kind, outcome=outcome)
        return outcome

    def _customer(self, tx: Tx, event: PaymentEvent) -> Customer | None:
        """Whom it is about, held: by the service's id where that is known, else by ours, given with the order."""
        known = billing.by_stripe_customer(tx, event.stripe_customer) if event.stripe_customer else None
        if known is not None:
            return accounts.hold_customer(tx, known.customer_id)
        return accounts.hold_customer(tx, event.customer_id) if event.customer_id else None

    def _apply(self, tx: Tx, customer: Customer, event: PaymentEvent) -> str:
        paid = billing.of_customer(tx, customer.id)
        if paid.stripe_customer is None and event.stripe_customer is not None:
            billing.change(tx, customer.id, self._rooms.now(), stripe_customer=event.stripe_customer)
            paid = billing.of_customer(tx, customer.id)
        if event.kind == EventKind.CHECKOUT_COMPLETED:
            return self._bought(tx, customer, paid, event.subscription)
        if event.kind in _SUBSCRIPTION and event.subscription is not None:
            return self._subscribed(tx, customer, paid, event, event.subscription)
        if event.kind in (EventKind.INVOICE_PAID, EventKind.INVOICE_FAILED):
            return self._invoiced(tx, paid, event)
        return IGNORED

    def _bought(self, tx: Tx, customer: Customer, paid: BillingRow, bought: Subscription | None) -> str:
        """A finished checkout: the plan begins at once, and what the subscription's own events say goes before it."""
        if bought is None:
            return IGNORED
        if paid.subscription == bought.id or (_lives(paid) and not _is_newer(bought, paid)):
            return STALE
        if bought.plan not in self._rooms.settings.plans.by_name:
            return IGNORED
        self._entitle(tx, customer, paid, bought, bought.plan)
        return APPLIED

    def _subscribed(self, tx: Tx, customer: Customer, paid: BillingRow, event: PaymentEvent, told: Subscription) -> str:
        if _is_stale(paid, event, told):
            return STALE
        sold = self._rooms.settings.plans.prices
        plan = next((sold[price] for price in told.prices if price in sold), None)
        if plan is None and told.status in _ENTITLED:
            log.warning("payment_of_unknown_price", event_id=event.id, subscription=told.id)
            return IGNORED
        self._entitle(tx, customer, paid, told, plan if told.status in _ENTITLED else None)
        billing.change(tx, customer.id, self._rooms.now(), subscription_told_at=event.created_at)
        return APPLIED

    def _entitle(self, tx: Tx, customer: Customer, paid: BillingRow, told: Subscription, plan: str | None) -> None:
        """Only a change of what is paid for changes the plan: one that the operator set outlives a renewal."""
        values = {
            "subscription": told.id,
            "subscription_created_at": told.created_at,
            "subscription_status": told.status,
            "subscription_plan": plan,
        }
        if paid.subscription != told.id:
            billing.change(tx, customer.id, self._rooms.now(), subscription_told_at=None)
        write_billing(self._rooms, tx, paid, "subscription.update", values)
        if plan != paid.subscription_plan:
            change_plan(self._rooms, tx, customer, plan or FREE)

    def _invoiced(self, tx: Tx, paid: BillingRow, event: PaymentEvent) -> str:
        failed = event.kind == EventKind.INVOICE_FAILED
        first = event.subject is None or not billing.told_before(tx, event.kind, event.subject)
        counts = event.is_renewal and not failed and first
        if counts:
            write_billing(self._rooms, tx, paid, "payment.renewal", {"renewals": paid.renewals + 1})
            paid = replace(paid, renewals=paid.renewals + 1)
        told = paid.payment_told_at
        if told is not None and (event.created_at < told or (failed and event.created_at == told)):
            return APPLIED if counts else STALE
        billing.change(tx, paid.customer_id, self._rooms.now(), payment_told_at=event.created_at)
        write_billing(self._rooms, tx, paid, "payment.state", {"payment_state": "failed" if failed else "paid"})
        return APPLIED


def _is_stale(paid: BillingRow, event: PaymentEvent, told: Subscription) -> bool:
    """Whether something newer was told already."""
    if paid.subscription is None:
        return False
    if paid.subscription != told.id:
        if _lives(paid):
            return told.status not in _ENTITLED or not _is_newer(told, paid)
        return paid.subscription_told_at is not None and event.created_at < paid.subscription_told_at
    if paid.subscription_status in _ENDED:
        return True
    if event.kind == EventKind.SUBSCRIPTION_DELETED or paid.subscription_told_at is None:
        return False
    if event.kind == EventKind.SUBSCRIPTION_CREATED:
        return event.created_at <= paid.subscription_told_at
    return event.created_at < paid.subscription_told_at


def _lives(paid: BillingRow) -> bool:
    return paid.subscription is not None and paid.subscription_status not in _ENDED


def _is_newer(told: Subscription, paid: BillingRow) -> bool:
    return paid.subscription_created_at is None or told.created_at > paid.subscription_created_at
