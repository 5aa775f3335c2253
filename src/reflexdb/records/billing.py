"""Queries about payments: what Stripe told of an account, and which of its events were seen.

Called by control; every function runs in the caller's transaction. An account that never paid has no row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx
from sqlalchemy import delete, insert, select, update

from reflexdb.records.billing_tables import billing as table
from reflexdb.records.billing_tables import stripe_events as events
from reflexdb.records.rows import BillingRow, noun


def of_customer(tx: Tx, customer_id: str) -> BillingRow:
    row = tx.execute(select(table).where(table.c.customer_id == customer_id)).first()
    return noun(BillingRow, row) if row else BillingRow(customer_id)


def by_stripe_customer(tx: Tx, stripe_customer: str) -> BillingRow | None:
    row = tx.execute(select(table).where(table.c.stripe_customer == stripe_customer)).first()
    return noun(BillingRow, row) if row else None


def change(tx: Tx, customer_id: str, now: datetime, **values: Any) -> None:
    """The caller holds the customer, so that two can't both find no row."""
    changed = tx.execute(update(table).where(table.c.customer_id == customer_id).values(updated_at=now, **values))
    if not changed.rowcount:
        first = {"renewals": 0, "overage_enabled": False, **values}
        tx.execute(insert(table).values(customer_id=customer_id, updated_at=now, **first))


def seen(tx: Tx, event_id: str) -> bool:
    return tx.execute(select(events.c.id).where(events.c.id == event_id)).first() is not None


def told_before(tx: Tx, kind: str, subject: str) -> bool:
    """Whether another event of this kind about the same thing was carried out."""
    query = select(events.c.id).where(events.c.subject == subject, events.c.kind == kind, events.c.outcome == "applied")
    return tx.execute(query.limit(1)).first() is not None


def note_event(tx: Tx, **values: Any) -> None:
    tx.execute(insert(events).values(**values))


def forget_events_before(tx: Tx, time: datetime) -> None:
    tx.execute(delete(events).where(events.c.received_at < time))
