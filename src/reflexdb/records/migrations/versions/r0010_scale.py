"""Indexes for what is asked all the time, so that answers cost what they hold and not what exists; and the request that
asked for a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0006"
branch_labels = None
depends_on = None

_HISTORY = (
    "database_id", "number", "id", "status", "image_digest", "created_at", "finished_at", "duration_s", "compute_type",
    "cost_cents",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("jobs", sa.Column("request_id", sa.String(64), nullable=True))
    op.add_column("jobs", sa.Column("traceparent", sa.String(55), nullable=True))
    op.create_index("builds_history", "builds", list(_HISTORY))
    op.create_index("databases_of_customer", "databases", ["customer_id", "created_at", "id"])
    op.create_index("deployments_of_database", "deployments", ["database_id", "serving_at"])
    op.create_index("deployments_of_build", "deployments", ["build_id", "serving_at"])
    op.create_index("jobs_of_database", "jobs", ["database_id", "created_at", "id"])
    op.create_index("api_keys_of_database", "api_keys", ["database_id"])
    for name, column in (("databases_desired", "desired_state"), ("databases_scheduled", "pause_schedule")):
        some = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "databases", ["id"], sqlite_where=some, postgresql_where=some)
