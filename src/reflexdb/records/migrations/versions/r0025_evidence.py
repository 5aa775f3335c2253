"""The signed statement on how a build was made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("provenance", sa.Text(), nullable=True))
