"""The images that a build made for other platforms than the control plane's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("other_images", sa.JSON(none_as_null=True), nullable=True))
