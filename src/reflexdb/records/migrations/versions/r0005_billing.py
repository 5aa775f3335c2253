"""Plans and billing: what an account pays for, what its builds cost, and who granted it more.

Until now nobody was sold anything and every account was called free, without a limit; that is the plan unlimited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from reflexdb.records.triggers import only_added_to

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE customers SET plan = 'unlimited' WHERE plan = 'free'")
    op.create_table(
        "billing",
        sa.Column("customer_id", sa.String(36), nullable=False),
        sa.Column("stripe_customer", sa.String(255), nullable=True),
        sa.Column("subscription", sa.String(255), nullable=True),
        sa.Column("subscription_created_at", sa.String(27), nullable=True),
        sa.Column("subscription_told_at", sa.String(27), nullable=True),
        sa.Column("subscription_status", sa.String(40), nullable=True),
        sa.Column("subscription_plan", sa.String(20), nullable=True),
        sa.Column("payment_state", sa.String(20), nullable=True),
        sa.Column("payment_told_at", sa.String(27), nullable=True),
        sa.Column("renewals", sa.Integer(), nullable=False),
        sa.Column("overage_enabled", sa.Boolean(), nullable=False),
        sa.Column("spending_cap_cents", sa.Integer(), nullable=True),
        sa.Column("updated_at", sa.String(27), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"]),
        sa.PrimaryKeyConstraint("customer_id"),
        sa.UniqueConstraint("stripe_customer"),
    )
    op.create_table(
        "stripe_events",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("subject", sa.String(255), nullable=True),
        sa.Column("customer_id", sa.String(36), nullable=True),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("created_at", sa.String(27), nullable=False),
        sa.Column("received_at", sa.String(27), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("stripe_events_subject", "stripe_events", ["subject", "kind"])
    op.create_index("stripe_events_received_at", "stripe_events", ["received_at"])
    op.create_table(
        "build_charges",
        sa.Column("build_id", sa.String(36), nullable=False),
        sa.Column("customer_id", sa.String(36), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("overage_cents", sa.Integer(), nullable=False),
        sa.Column("charged_at", sa.String(27), nullable=False),
        sa.Column("refunded_at", sa.String(27), nullable=True),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"]),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"]),
        sa.PrimaryKeyConstraint("build_id"),
    )
    op.create_index("build_charges_of_month", "build_charges", ["customer_id", "month"])
    op.create_table(
        "credit_adjustments",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("customer_id", sa.String(36), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.String(27), nullable=True),
        sa.Column("created_at", sa.String(27), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("credit_adjustments_of_customer", "credit_adjustments", ["customer_id", "created_at"])
    for statement in only_added_to("credit_adjustments")[op.get_bind().dialect.name]:
        op.execute(statement)
