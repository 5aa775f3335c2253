"""What is served now and would not be after a rebuild, though nobody chose that: the source does not show it any more.

Pure. A table or column that reflexdb.yaml no longer includes was left out on purpose and is not told here; neither is
one that is served under its name from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reflexdb.model.not_served import Cause, NotServed
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import Backend, SourceSchema

SHOWN = 5
_Unread = Mapping[tuple[str, str | None], NotServed]


def vanished(served: Plan, planned: Plan, schema: SourceSchema) -> tuple[NotServed, ...]:
    """In the order of what is served; `planned` was made of `schema`."""
    left_out = (*schema.not_served, *planned.not_served)
    unread = {(entry.table, entry.column): entry for entry in left_out if entry.relation is None}
    readable = {table.name: {column.name for column in table.columns} for table in schema.tables}
    present = {table.name: table for table in planned.tables}
    found: list[NotServed] = []
    for table in served.tables:
        other = present.get(table.name)
        if other is not None:
            found += _columns(table, other, readable[other.source_name], unread, schema)
        elif (table.source_name, None) in unread:
            found.append(unread[table.source_name, None])
        elif table.source_name not in readable:
            reason = f"The source does not show it any more: {_possibly(schema)}."
            found.append(NotServed.of_table(table.source_name, Cause.NOT_VISIBLE, reason, _remedy(schema)))
    return tuple(found)


def told(entries: Sequence[NotServed]) -> str:
    """Some of them in one line."""
    more = f"; and {len(entries) - SHOWN:,} more" if len(entries) > SHOWN else ""
    return "; ".join(entry.line() for entry in entries[:SHOWN]) + more


def _columns(
    table: PlannedTable, other: PlannedTable, readable: set[str], unread: _Unread, schema: SourceSchema
) -> Iterator[NotServed]:
    present = {column.name for column in other.columns if column.visible}
    for column in table.columns:
        if not column.visible or column.name in present:
            continue
        entry = unread.get((other.source_name, column.source_name))
        if entry is not None:
            yield entry
        elif column.source_name not in readable:
            reason = f"The source does not show it any more: {_possibly(schema)}."
            where = other.source_name, column.source_name
            yield NotServed.of_column(*where, Cause.NOT_VISIBLE, reason, _remedy(schema))


def _possibly(schema: SourceSchema) -> str:
    """MySQL hides what the user has no privilege on; the other sources show that it is there."""
    hides = schema.backend is Backend.MYSQL
    return "it was dropped or renamed" + (", or the user lost every privilege on it" if hides else "")


def _remedy(schema: SourceSchema) -> str:
    return f"If it is still there, run: {schema.grant}" if schema.backend is Backend.MYSQL else ""
