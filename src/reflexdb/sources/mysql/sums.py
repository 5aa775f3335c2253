"""Statements by which a MySQL or MariaDB server sums up the rows of a table by spans of its key (`sources/spans.py`).

A row's digest is the CRC-32 of its values, each as it would be read, the cheapest that the server has; a span's sum is
that of all of them, which unlike an exclusive or tells that two rows have exchanged values, and their number. Sums are
compared with sums of the same server alone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from reflexdb.model.plan import PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.types import SIGNED, base_of, select_expression
from reflexdb.sources.spans import Range, condition

NO_SUM = 1 << 62
"""More than the digests of all rows that a table may have."""
_ANY_LENGTH = {Storage.TEXT, Storage.ENUM, Storage.JSON, Storage.BINARY, Storage.UUID}


def key_column(table: PlannedTable) -> str | None:
    """The quoted first column of its primary key, if that is an integer."""
    if not table.primary_key:
        return None
    column = table.columns[table.primary_key[0]]
    return quoted(column.source_name) if base_of(column.declared_type) in SIGNED else None


def key_range(schema: str, table: PlannedTable, key: str) -> str:
    return f"SELECT MIN({key}), MAX({key}) FROM {_rows(schema, table)}{condition(table)}"  # noqa: S608 - quoted


def sums(schema: str, table: PlannedTable, key: str, size: int, keys: Range) -> str:
    """Rows of span, number of rows, sum. It is NO_SUM or more where a row has no digest: it is larger than a packet."""
    digest = f"IFNULL(CRC32(CONCAT_WS(',', {', '.join(_values(table))})), {NO_SUM})"
    rows = f"{_rows(schema, table)}{condition(table, key, [keys])}"
    return f"SELECT {key} DIV {size:d} AS span, COUNT(*), SUM({digest}) FROM {rows} GROUP BY 1"  # noqa: S608 - quoted


def _values(table: PlannedTable) -> Iterator[str]:
    """What tells rows apart: for values of any length, the length too. No null, which CONCAT_WS would leave out."""
    for column in table.columns:
        value = select_expression(quoted(column.source_name), column.declared_type)
        if column.storage in _ANY_LENGTH:
            yield f"IFNULL(LENGTH({value}), '-')"
            yield f"IFNULL(CAST({value} AS BINARY), '')"  # texts of two collations do not go together
        else:
            yield f"IFNULL({value}, '-')"


def _rows(schema: str, table: PlannedTable) -> str:
    return f"{quoted(schema)}.{quoted(table.source_name)}"
