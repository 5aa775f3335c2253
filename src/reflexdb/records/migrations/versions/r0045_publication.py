"""What a deployment shares at its source with those it succeeded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("capture_publication", sa.Text(), nullable=True))
