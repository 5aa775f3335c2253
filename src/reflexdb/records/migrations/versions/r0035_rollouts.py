"""Deployments in steps, instances that stand by, and how many requests failed meanwhile."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("requests_failed", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("steps", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "rollouts",
        sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("database_id", sa.String(36), sa.ForeignKey("databases.id"), nullable=False),
        sa.Column("deployment_id", sa.String(36), sa.ForeignKey("deployments.id"), nullable=False),
        sa.Column("former_id", sa.String(36), sa.ForeignKey("deployments.id"), nullable=False),
        sa.Column("former_serving_at", sa.String(27), nullable=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_at", sa.String(27), nullable=False),
        sa.Column("wanted", sa.String(20), nullable=True),
        sa.Column("began", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("seen", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.String(27), nullable=True),
    )
    unfinished = sa.text("ended_at IS NULL")
    op.create_index(
        "rollouts_unfinished",
        "rollouts",
        ["database_id"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
