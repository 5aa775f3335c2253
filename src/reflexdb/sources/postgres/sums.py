"""Statements by which a PostgreSQL server sums up the rows of a table by spans of its key (`sources/spans.py`).

A row's digest is the server's 64-bit hash of its text, which keeps values apart; a span's sum is that of all of them,
and their number. Sums are compared with sums of the same server alone. Pure.
"""

from __future__ import annotations

from reflexdb.model.plan import PlannedTable
from reflexdb.sources.postgres.connect import quoted
from reflexdb.sources.spans import Range, condition, limits_of


def key_column(table: PlannedTable) -> str | None:
    """The quoted first column of its primary key, if that is an integer."""
    if not table.primary_key:
        return None
    column = table.columns[table.primary_key[0]]
    return None if limits_of(column.storage) is None else quoted(column.source_name)


def key_range(schema: str, table: PlannedTable, key: str) -> str:
    return f"SELECT min({key})::text, max({key})::text FROM {_rows(schema, table)}{condition(table)}"  # noqa: S608 - quoted


def sums(schema: str, table: PlannedTable, key: str, size: int, keys: Range) -> str:
    """Rows of span, number of rows, sum: as texts."""
    row = ", ".join(quoted(column.source_name) for column in table.columns)
    digest = f'hashtextextended(ROW({row})::text COLLATE "C", 0)'
    rows = (
        f"SELECT {key}::int8 / {size:d} AS s, {digest} AS d FROM {_rows(schema, table)}{condition(table, key, [keys])}"  # noqa: S608 - quoted
    )
    return f"SELECT s::text, count(*)::text, sum(d)::text FROM ({rows}) AS summed GROUP BY s"  # noqa: S608 - quoted


def _rows(schema: str, table: PlannedTable) -> str:
    return f"{quoted(schema)}.{quoted(table.source_name)}"
