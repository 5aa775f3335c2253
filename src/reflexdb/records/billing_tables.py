"""The tables of plans and payments: which plan a customer has, what builds cost, and what the payment provider told.

Beside `tables`, of which all that is said there holds here.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from reflexdb.records.columns import metadata, only_added, refers, row_id, time

billing = Table(
    "billing",
    metadata,
    Column("customer_id", String(36), ForeignKey("customers.id"), primary_key=True),
    Column("stripe_customer", String(255), unique=True),
    Column("subscription", String(255)),
    time("subscription_created_at", nullable=True),
    time("subscription_told_at", nullable=True),
    Column("subscription_status", String(40)),
    Column("subscription_plan", String(20)),
    Column("payment_state", String(20)),
    time("payment_told_at", nullable=True),
    Column("renewals", Integer, nullable=False),
    Column("overage_enabled", Boolean, nullable=False),
    Column("spending_cap_cents", Integer),
    time("updated_at"),
)

stripe_events = Table(
    "stripe_events",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("kind", String(80), nullable=False),
    Column("subject", String(255)),
    Column("customer_id", String(36), ForeignKey("customers.id")),
    Column("outcome", String(20), nullable=False),
    time("created_at"),
    time("received_at"),
)
Index("stripe_events_subject", stripe_events.c.subject, stripe_events.c.kind)
Index("stripe_events_received_at", stripe_events.c.received_at)

build_charges = Table(
    "build_charges",
    metadata,
    Column("build_id", String(36), ForeignKey("builds.id"), primary_key=True),
    refers("customer_id", "customers"),
    Column("month", String(7), nullable=False),
    Column("overage_cents", Integer, nullable=False),
    time("charged_at"),
    time("refunded_at", nullable=True),
)
Index("build_charges_of_month", build_charges.c.customer_id, build_charges.c.month)

credit_adjustments = Table(
    "credit_adjustments",
    metadata,
    row_id(),
    refers("customer_id", "customers"),
    Column("amount", Integer, nullable=False),
    Column("reason", Text),
    time("expires_at", nullable=True),
    time("created_at"),
)
Index("credit_adjustments_of_customer", credit_adjustments.c.customer_id, credit_adjustments.c.created_at)
only_added(credit_adjustments)
