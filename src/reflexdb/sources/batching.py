"""Cuts a stream of rows into batches that are neither large nor many.

The reader that gets rows one by one (SQLite) takes them here in small steps and measures what it took, so that a
run of large values after thousands of small ones cannot fill the memory. Every reader checks the size of single
values here, since the feed cannot carry a value that is larger than a frame. Knows neither databases nor SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from sys import getsizeof
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reflexdb.model.errors import SourceData
from reflexdb.model.plan import PlannedTable
from reflexdb.model.storage import FIXED_WIDTH
from reflexdb.sources.base import ARROW_TYPES

BATCH_BYTES = 24 * 1024 * 1024
"""Stop filling a batch beyond this many bytes of Python values; their Arrow form is smaller."""
BATCH_ROWS = 65_536
VALUE_BYTES = 60 * 1024 * 1024
"""The largest single value; a feed frame takes 64 MiB, less the rest of the row."""
_STEP_ROWS = 16


def row_chunks(fetch: Callable[[int], Sequence[Sequence[Any]]], has_variable: bool) -> Iterator[list[Sequence[Any]]]:
    """Rows from `fetch(count)` in lists of at most BATCH_ROWS rows and about BATCH_BYTES bytes."""
    step_rows = _STEP_ROWS if has_variable else 4096
    chunk: list[Sequence[Any]] = []
    size = 0
    while step := fetch(step_rows):
        chunk.extend(step)
        if has_variable:
            size += sum(map(getsizeof, chain.from_iterable(step)))
        if len(chunk) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def has_variable(table: PlannedTable) -> bool:
    """Whether a row of this table has no fixed width."""
    return any(column.storage not in FIXED_WIDTH for column in table.columns)


def arrow_schema(table: PlannedTable) -> pa.Schema:
    """The Arrow schema of a table's batches: the plan's columns in order, under the source's names."""
    return pa.schema([pa.field(column.source_name, ARROW_TYPES[column.storage]) for column in table.columns])


def refuse_large_values(table: PlannedTable, arrays: Sequence[pa.Array]) -> None:
    """Raise SourceData if one value of a variable column is larger than VALUE_BYTES."""
    for column, array in zip(table.columns, arrays, strict=True):
        if column.storage in FIXED_WIDTH or array.nbytes <= VALUE_BYTES:
            continue
        longest = pc.max(pc.binary_length(array)).as_py()
        if longest is not None and longest > VALUE_BYTES:
            raise too_large(table, column.source_name, longest)


def too_large(table: PlannedTable, column: str, size: int | None = None) -> SourceData:
    """The error for a value that no frame can carry."""
    found = "a value" if size is None else f"a value of {size:,} bytes"
    return SourceData(
        f"Column {column!r} of table {table.source_name!r} has {found}; at most {VALUE_BYTES:,} bytes can be served. "
        "Exclude the column in reflexdb.yaml, or the row with `where`."
    )


def split(batch: pa.RecordBatch, limit: int = BATCH_BYTES) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of about `limit` bytes, cut at rows; a single row is never cut."""
    if batch.nbytes <= limit or batch.num_rows <= 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from split(batch.slice(0, half), limit)
    yield from split(batch.slice(half), limit)
