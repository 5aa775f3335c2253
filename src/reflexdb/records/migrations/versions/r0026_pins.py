"""That the image of a build is to stay, whatever comes after it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("pinned_at", sa.String(27), nullable=True))
