"""What builds and jobs remember of themselves: who asked, what passed when, and where it went wrong."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Plain additions: SQLite adds a nullable column without touching a row, and nothing that refers to these tables
    # has to be taken apart.
    for table in ("builds", "jobs"):
        op.add_column(table, sa.Column("trigger", sa.String(20), nullable=True))
        op.add_column(table, sa.Column("key_id", sa.String(32), nullable=True))
        op.add_column(table, sa.Column("key_name", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("error_code", sa.String(40), nullable=True))
        op.add_column(table, sa.Column("error_step", sa.Text(), nullable=True))
    large = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("builds", sa.Column("source_version", sa.Text(), nullable=True))
    op.add_column("builds", sa.Column("fingerprint", sa.String(64), nullable=True))
    op.add_column("builds", sa.Column("image_bytes", large, nullable=True))
    op.add_column("builds", sa.Column("phases", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("kind", sa.String(20), nullable=True))
    op.add_column("jobs", sa.Column("from_build_id", sa.String(36), nullable=True))
    op.add_column("deployments", sa.Column("source_position", sa.Text(), nullable=True))
