"""Rebuilding by itself where a source's definitions change, and why a build or a job was begun."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("reason", sa.Text(), nullable=True))
    op.create_table(
        "auto_rebuilds",
        sa.Column("database_id", sa.String(36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("deployment_id", sa.String(36), nullable=True),
        sa.Column("definitions", sa.String(64), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.String(27), nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.String(27), nullable=False),
        sa.ForeignKeyConstraint(["database_id"], ["databases.id"]),
        sa.PrimaryKeyConstraint("database_id"),
    )
