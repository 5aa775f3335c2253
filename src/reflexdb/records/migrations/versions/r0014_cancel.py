"""Builds that are called off: who is asked to stop, and the status to go back to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("from_status", sa.String(20), nullable=True))
    op.add_column("jobs", sa.Column("cancel_asked_at", sa.String(27), nullable=True))
