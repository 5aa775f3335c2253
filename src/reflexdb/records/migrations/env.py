"""Run by Alembic for each command; uses the connection and the transaction that `records.store` hands over."""

from __future__ import annotations

from alembic import context

from reflexdb.records.columns import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
