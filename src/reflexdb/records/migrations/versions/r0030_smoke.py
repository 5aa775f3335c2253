"""Results of a build's smoke tests, the version of its engine, and what its tables take of memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("engine_version", sa.String(40), nullable=True))
    op.add_column("builds", sa.Column("smoke_tests", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("deployments", sa.Column("table_bytes", sa.JSON(none_as_null=True), nullable=True))
