"""Builds that a service carries out: what it calls them, and where their log is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0035"
branch_labels = None
depends_on = None

_HISTORY = (
    "database_id", "number", "id", "status", "image_digest", "created_at", "finished_at", "duration_s", "compute_type",
    "cost_cents", "service_id", "logs_url",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("builds", sa.Column("service_id", sa.Text(), nullable=True))
    op.add_column("builds", sa.Column("logs_url", sa.Text(), nullable=True))
    op.drop_index("builds_history", "builds")
    op.create_index("builds_history", "builds", list(_HISTORY))
