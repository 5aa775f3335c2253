"""Whether the source's tables are still those the image was built for. Asked by a mode when the source refuses a table.

Pure. Only what the plan needs counts: a new column or table is no drift.
"""

from __future__ import annotations

from reflexdb.model.errors import SourceError
from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import SourceColumn, SourceSchema, SourceTable
from reflexdb.model.storage import Storage


class SchemaChanged(SourceError):
    """The source's definition differs from the image's plan; a rebuild takes it in."""

    code = "schema_changed"

    def __init__(self, findings: list[str]) -> None:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(f"{findings[0]}{more}; rebuild the database to serve it as it is now")


def drift(plan: Plan, schema: SourceSchema) -> list[str]:
    """What is missing or different, a phrase each, in the plan's order."""
    present = {table.name: table for table in schema.tables}
    findings = []
    for planned in plan.tables:
        table = present.get(planned.source_name)
        if table is None:
            findings.append(_absent(schema, planned.source_name, None, f"table {planned.source_name!r}"))
        else:
            findings += _columns(planned, table, schema)
            findings += _key(planned, table)
    return findings


def _absent(schema: SourceSchema, table: str, column: str | None, where: str) -> str:
    """Why the source does not show it: what may not be read is not gone, and a grant mends it."""
    for entry in schema.not_served:
        if entry.table == table and entry.column == column and entry.relation is None:
            return entry.line()
    return f"{where} is gone from the source"


def _columns(planned: PlannedTable, table: SourceTable, schema: SourceSchema) -> list[str]:
    present = {column.name: column for column in table.columns}
    findings = []
    for column in planned.columns:
        where = f"column {column.source_name!r} of table {planned.source_name!r}"
        now = present.get(column.source_name)
        if now is None:
            findings.append(_absent(schema, planned.source_name, column.source_name, where))
        elif not _is_as_planned(column, now):
            was = _type(column.declared_type, column.retyped.source if column.retyped else column.storage)
            findings.append(f"{where} was {was} and is now {_type(now.declared_type, now.storage)}")
        elif column.folding is not None and column.collation != now.collation:
            was, collation = column.collation or "its bytes", now.collation or "its bytes"
            findings.append(f"{where}, of a key, compared by {was} and now compares by {collation}")
    return findings


def _type(declared: str, storage: Storage | None) -> str:
    """A column of SQLite may have no declared type; its values then say what it holds."""
    return declared or f"a column of {storage.name if storage else 'mixed'} values"


def _is_as_planned(column: PlannedColumn, now: SourceColumn) -> bool:
    if column.retyped is None:
        return now.storage is column.storage
    return column.retyped.source is None or now.storage is column.retyped.source


def _key(planned: PlannedTable, table: SourceTable) -> list[str]:
    """Rows are told apart by the planned key: under another one they would be taken for each other."""
    wanted = [planned.columns[index].source_name for index in planned.primary_key]
    if not wanted or table.is_view or set(wanted) == set(table.primary_key):
        return []
    now = f"({', '.join(table.primary_key)})" if table.primary_key else "none"
    return [f"the primary key of table {planned.source_name!r} was ({', '.join(wanted)}) and is now {now}"]
