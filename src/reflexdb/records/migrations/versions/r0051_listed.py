"""A list of databases finds in an index alone what changed since the last one."""

from __future__ import annotations

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("databases_of_customer", "databases")
    columns = ["customer_id", "created_at", "id", "updated_at", "connection_id", "deleted_at"]
    op.create_index("databases_of_customer", "databases", columns)
