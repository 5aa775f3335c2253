"""A record batch's columns as the bytes of a ROWS frame: validity bits, fixed-width values, offsets and text.

Called by `feed.rows` with ranges of rows. Values stay where Arrow has them; only bit maps, booleans and the offsets of
a range that does not start at its buffer's beginning are made anew. It assumes the types of
`sources.base.ARROW_TYPES` (large_string, large_binary and the UUID extension type are accepted beside them) and refuses
to look at any value.
"""

from __future__ import annotations

from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from reflexdb.model.plan import PlannedColumn, PlannedTable
from reflexdb.model.storage import FIXED_WIDTH, Storage
from reflexdb.sources.base import ARROW_TYPES

Part: TypeAlias = bytes | memoryview
_LARGE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}


class Columns:
    """One batch, ready to be cut. Raises TypeError where it is not what the plan says: the reader's fault."""

    def __init__(self, planned: PlannedTable, batch: pa.RecordBatch) -> None:
        if batch.num_columns != len(planned.columns):
            raise TypeError(
                f"table {planned.source_name!r}: the reader gave {batch.num_columns} columns, "
                f"the plan has {len(planned.columns)}"
            )
        self._table = planned.source_name
        self._columns = [_column(planned, column, batch.column(i)) for i, column in enumerate(planned.columns)]

    def size(self, start: int, count: int) -> int:
        """Bytes that `encode` will give."""
        return sum(column.size(start, count) for column in self._columns)

    def encode(self, start: int, count: int) -> list[Part]:
        return [part for column in self._columns for part in column.encode(start, count)]

    def encode_column(self, index: int, start: int, count: int) -> list[Part]:
        return self._columns[index].encode(start, count)

    def too_large(self, row: int, limit: int) -> str:
        """Why this one row fits no frame, in a sentence that names the largest column."""
        largest = max(self._columns, key=lambda column: column.size(row, 1))
        return (
            f"table {self._table!r}: a row is larger than {limit} bytes, mostly for column {largest.name!r} with "
            f"{largest.size(row, 1)} bytes; leave the column out in reflexdb.yaml or shorten the value"
        )


class _Fixed:
    def __init__(self, name: str, array: pa.Array, width: int) -> None:
        self.name = name
        self._validity = _validity(array)
        self._width = width
        self._values = memoryview(b"")
        if len(array):
            buffer = memoryview(array.buffers()[1]).cast("B")
            self._values = buffer[array.offset * width : (array.offset + len(array)) * width]

    def size(self, _start: int, count: int) -> int:
        return 1 + _bitmap_bytes(self._validity, count) + count * self._width

    def encode(self, start: int, count: int) -> list[Part]:
        values = self._values[start * self._width : (start + count) * self._width]
        return [*_nulls(self._validity, start, count), values]


class _Variable:
    def __init__(self, name: str, array: pa.Array) -> None:
        self.name = name
        large = array.type in _LARGE.values()
        self._type, self._wide = (pa.int64(), 8) if large else (pa.int32(), 4)
        self._validity = _validity(array)
        _, offsets, values = array.buffers()
        self._buffer, self._first = offsets, array.offset
        if offsets is None or offsets.size == 0:
            self._buffer = pa.py_buffer(bytes(self._wide))
        raw = memoryview(self._buffer).cast("B")
        self._offsets = raw.cast("q") if large else raw.cast("i")
        self._values = memoryview(b"") if values is None else memoryview(values).cast("B")

    def size(self, start: int, count: int) -> int:
        low, high = self._range(start, count)
        return 1 + _bitmap_bytes(self._validity, count) + 4 * (count + 1) + high - low

    def encode(self, start: int, count: int) -> list[Part]:
        low, high = self._range(start, count)
        return [*_nulls(self._validity, start, count), self._rebased(start, count, low), self._values[low:high]]

    def _range(self, start: int, count: int) -> tuple[int, int]:
        at = self._first + start
        return self._offsets[at], self._offsets[at + count]

    def _rebased(self, start: int, count: int, low: int) -> Part:
        """The offsets of these rows, the first one 0, as u32."""
        at = self._first + start
        if low == 0 and self._wide == 4:
            return self._offsets[at : at + count + 1].cast("B")
        offsets = pa.Array.from_buffers(self._type, count + 1, [None, self._buffer], 0, at)
        moved = pc.cast(pc.subtract(offsets, pa.scalar(low, self._type)), pa.uint32())
        raw = memoryview(moved.buffers()[1]).cast("B")
        return raw[moved.offset * 4 : (moved.offset + count + 1) * 4]


def _column(planned: PlannedTable, column: PlannedColumn, array: pa.Array) -> _Fixed | _Variable:
    wanted = ARROW_TYPES[column.storage]
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if array.type != wanted and array.type != _LARGE.get(wanted):
        raise TypeError(
            f"table {planned.source_name!r}, column {column.source_name!r}: the reader gave {array.type}, "
            f"storage {column.storage.name} needs {wanted}"
        )
    if column.storage is Storage.BOOL:
        array = pc.cast(array, pa.uint8())
    width = FIXED_WIDTH.get(column.storage)
    name = column.source_name
    return _Variable(name, array) if width is None else _Fixed(name, array, width)


_Validity: TypeAlias = tuple[memoryview, int] | None
"""A bit map and the bit of the first row; None where every row has a value."""


def _validity(array: pa.Array) -> _Validity:
    if array.null_count == 0:
        return None
    return memoryview(array.buffers()[0]).cast("B"), array.offset


def _bitmap_bytes(validity: _Validity, count: int) -> int:
    return 0 if validity is None else (count + 7) // 8


def _nulls(validity: _Validity, start: int, count: int) -> list[Part]:
    if validity is None:
        return [b"\x00"]
    bitmap, first = validity
    at = first + start
    covering = bitmap[at // 8 : (at + count + 7) // 8]
    bits = (int.from_bytes(covering, "little") >> (at % 8)) & ((1 << count) - 1)
    return [b"\x01", bits.to_bytes((count + 7) // 8, "little")]
