"""Column types that reflexdb.yaml sets (`types`), applied to what the source describes.

Called by build/selection.py before columns are chosen. It decides how each adapter reads such a column: as the source
declares it, and converted then; SQLite, whose declared types promise nothing, reads it as what is wanted. A type that
the column's values can't be converted to becomes a finding.
"""

from __future__ import annotations

from dataclasses import replace

from reflexdb.build.findings import Findings
from reflexdb.model.config import ColumnType, TableConfig
from reflexdb.model.retype import TYPES, Retype
from reflexdb.model.schema import Backend, SourceColumn, SourceTable
from reflexdb.model.storage import Storage
from reflexdb.model.suggest import quoted
from reflexdb.sources.retyped import conversion

_NUMBERS = frozenset({Storage.I64, Storage.F64, Storage.DECIMAL})


def with_types(table: SourceTable, entry: TableConfig | None, backend: Backend, findings: Findings) -> SourceTable:
    """The table with the types that its entry sets."""
    if entry is None or not entry.types:
        return table
    columns = {column.name: column for column in table.columns}
    for wanted in entry.types:
        column = columns.get(wanted.column.text)
        if column is None:
            hint = findings.hint(wanted.column.text, columns)
            findings.config(
                wanted.column.at,
                f"The table {quoted(table.name)} has no column {quoted(wanted.column.text)}.{hint}",
            )
        elif column.name in table.primary_key:
            findings.config(
                wanted.column.at,
                f"{quoted(column.name)} belongs to the primary key of {quoted(table.name)}, by which rows are found at "
                "the source; its type cannot be set.",
            )
        else:
            columns[column.name] = _retyped(column, wanted, backend, findings)
    return replace(table, columns=tuple(columns.values()))


def _retyped(column: SourceColumn, wanted: ColumnType, backend: Backend, findings: Findings) -> SourceColumn:
    storage = Storage.TIMESTAMP if wanted.epoch else TYPES[wanted.type]
    read_as = _read_as(column, storage, wanted.epoch, backend)
    if read_as is Storage.U64 and storage is Storage.I64:
        storage = Storage.U64
    if read_as is None or conversion(read_as, storage, wanted.epoch) is None:
        findings.config(
            wanted.at,
            f"The column {quoted(column.name)} is {quoted(column.declared_type or 'without a type')} in the source, "
            f"which cannot be served as {wanted.type}.",
        )
        return column
    source = None if backend is Backend.SQLITE else column.storage
    return replace(column, storage=storage, retyped=Retype(read_as, source, wanted.epoch), unsupported="")


def _read_as(column: SourceColumn, storage: Storage, epoch: str, backend: Backend) -> Storage | None:
    if backend is Backend.SQLITE:
        if epoch:
            return Storage.I64
        if storage is Storage.TEXT and column.storage is Storage.BINARY:
            return Storage.BINARY
        return Storage.DATETIME if storage is Storage.TIMESTAMP else storage
    if backend is Backend.MYSQL and column.storage is Storage.BOOL and storage in _NUMBERS:
        return Storage.I16 if column.declared_type.lower().startswith("tinyint") else Storage.BOOL
    return column.storage
