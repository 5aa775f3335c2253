"""Says what a followed plan costs because the user may not see something, each with the statement that mends it."""

from __future__ import annotations

from collections.abc import Iterator

from reflexdb.model.plan import Plan
from reflexdb.sources.mysql.binlog.catalog import Catalog
from reflexdb.sources.mysql.binlog.labels import labels_are_certain
from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.types import base_of


def unseen(catalog: Catalog, plan: Plan, account: str, *, log_has_columns: bool) -> Iterator[str]:
    """Warnings about hidden foreign keys, views, columns and labels. `log_has_columns` says that the log tells of
    columns: binlog_row_metadata is FULL."""
    if not log_has_columns:
        yield from _unread(catalog, plan, account)
    for schema, table in sorted(set(catalog.acting.hidden)):
        yield (
            f"User {account} may not see the foreign keys of table {table!r} in schema {schema!r}. They count as ON "
            "DELETE CASCADE ON UPDATE CASCADE, so that tables are read again more often than needed. Run: GRANT SELECT "
            f"ON {quoted(schema)}.{quoted(table)} TO {account};"
        )
    for name, made_of in sorted(catalog.views.items()):
        if made_of is None:
            yield (
                f"The server does not tell user {account} which tables view {name[1]!r} depends on, or the view calls "
                "a function, so that it is read again at intervals. If privileges are missing, run: GRANT SELECT, SHOW "
                f"VIEW ON {quoted(plan.schema)}.* TO {account}; and the same for other schemas that it reads."
            )


def _unread(catalog: Catalog, plan: Plan, account: str) -> Iterator[str]:
    """Tables whose rows in the log cannot be read while it has no names and no labels."""
    mend = "Run: SET GLOBAL binlog_row_metadata = 'FULL';"
    for table in plan.tables:
        if (plan.schema, table.source_name) in catalog.partly:
            yield (
                f"User {account} may read some columns of table {table.source_name!r} only, and the log does not name "
                f"columns, so that every change reads the table again. {mend}"
            )
        for column in table.columns:
            is_choice = base_of(column.declared_type) in ("enum", "set")
            if is_choice and not table.is_view and not labels_are_certain(column.declared_type):
                yield (
                    f"Column {column.source_name!r} of table {table.source_name!r} has labels that the catalog may "
                    f"not tell whole, and the log has none, so that every change reads the table again. {mend}"
                )
