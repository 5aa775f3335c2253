"""Statements by which a MySQL or MariaDB server sums up the rows of a table by spans of its key (`sources/spans.py`).

A row's digest is half of an MD5 over the lengths of its values and the values, each as it would be read; a span's sum
is all of them joined by exclusive or, and their number. Sums are compared with sums of the same server alone. Pure.
"""

from __future__ import annotations

from reflexdb.model.plan import PlannedTable
from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.types import SIGNED, base_of, select_expression
from reflexdb.sources.spans import Range, condition


def key_column(table: PlannedTable) -> str | None:
    """The quoted first column of its primary key, if that is an integer."""
    if not table.primary_key:
        return None
    column = table.columns[table.primary_key[0]]
    return quoted(column.source_name) if base_of(column.declared_type) in SIGNED else None


def key_range(schema: str, table: PlannedTable, key: str) -> str:
    return f"SELECT MIN({key}), MAX({key}) FROM {_rows(schema, table)}{condition(table)}"  # noqa: S608 - quoted


def sums(schema: str, table: PlannedTable, key: str, size: int, keys: Range) -> str:
    """Rows of span, number of rows, number of digests, sum. A row that is larger than a packet has no digest."""
    values = [
        f"CAST({select_expression(quoted(column.source_name), column.declared_type)} AS BINARY)"
        for column in table.columns
    ]
    lengths = [f"IFNULL(LENGTH({value}), '-')" for value in values]
    digest = f"CAST(CONV(LEFT(MD5(CONCAT_WS(',', {', '.join(lengths + values)})), 16), 16, 10) AS UNSIGNED)"
    rows = f"SELECT {key} DIV {size:d} AS s, {digest} AS d FROM {_rows(schema, table)}{condition(table, key, [keys])}"  # noqa: S608 - quoted
    return f"SELECT s, COUNT(*), COUNT(d), BIT_XOR(d) FROM ({rows}) AS summed GROUP BY s"  # noqa: S608 - quoted


def _rows(schema: str, table: PlannedTable) -> str:
    return f"{quoted(schema)}.{quoted(table.source_name)}"
