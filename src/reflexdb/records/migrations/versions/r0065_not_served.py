"""Builds keep what their image does not serve; jobs, whether serving less was asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("not_served", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("builds", sa.Column("not_served_total", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("allow_breaking", sa.Boolean(), nullable=True))
