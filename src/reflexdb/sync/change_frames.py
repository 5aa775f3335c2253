"""Row changes as the bytes of CHANGES frames. The page is engine/doc/feed.md.

Called by the streaming mode with what a `ChangeStream` handed over. Pure: no sockets. It assumes values as
`sources.changes` promises them; one of another kind is SourceData, with its table and column.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from reflexdb.model.errors import SourceData
from reflexdb.model.plan import PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.sources.base import ARROW_TYPES
from reflexdb.sources.changes import UNCHANGED, Op, Row, Rows
from reflexdb.sync import feed
from reflexdb.sync.columns import Columns, Part

_ROWS_MAX = 8_192
"""Changes in one frame; more are cut, so that neither side holds much."""


def changes_begin(version: int, compares: bool = False) -> feed.Frame:
    """What follows changes this version, and no other. `compares`: all of it should be there already, and where it is
    not, the server's checkpoints are wrong too."""
    return feed.Frame(feed.Kind.CHANGES_BEGIN, (struct.pack("<QB", version, compares),))


def changes_commit(committed_at: datetime, position: str) -> feed.Frame:
    return feed.Frame(feed.Kind.CHANGES_COMMIT, (feed.moment(committed_at, position),))


def changes_abort() -> feed.Frame:
    return feed.Frame(feed.Kind.CHANGES_ABORT)


def table_part(table: int, ranges: Sequence[tuple[int, int]]) -> feed.Frame:
    """Within changes: the ROWS that follow are all that the table has where the first column of its key, an integer,
    is in one of the ranges, both ends included. They are in order and apart. No range at all means the whole table,
    whatever the type of its key."""
    body = bytearray(struct.pack("<II", table, len(ranges)))
    for bounds in ranges:
        for bound in bounds:
            body += (bound % (1 << 64)).to_bytes(8, "little")
    return feed.Frame(feed.Kind.TABLE_PART, (bytes(body),))


def table_keys(table: int, planned: PlannedTable, keys: Sequence[Row]) -> feed.Frame:
    """Within changes: the ROWS that follow are all that the table has of these primary keys."""
    head = struct.pack("<II", table, len(keys))
    return feed.Frame(feed.Kind.TABLE_KEYS, (head, *_chosen(planned, planned.primary_key, keys)))


def table_find(
    table: int, planned: PlannedTable, columns: Sequence[int], values: Sequence[Row], wanted: Sequence[int], most: int
) -> feed.Frame:
    """Within changes: ask for some columns of the rows, as they are with all that was sent before, that have one of the
    values in these columns; of at most so many."""
    head = struct.pack("<II", table, most) + b"".join(
        struct.pack(f"<H{len(part)}H", len(part), *part) for part in (columns, wanted)
    )
    body = (head, struct.pack("<I", len(values)), *_chosen(planned, columns, values))
    return feed.Frame(feed.Kind.TABLE_FIND, body)


def found(planned: PlannedTable, wanted: Sequence[int], rows: Sequence[Sequence[Any]]) -> list[Row]:
    """What the server answered to a search, as values of a stream."""
    forms = [_FOUND.get(planned.columns[column].storage, _same) for column in wanted]
    return [
        tuple([None if value is None else form(value) for form, value in zip(forms, row, strict=True)]) for row in rows
    ]


def _same(value: Any) -> Any:
    return value


_FOUND: dict[Storage, Callable[[Any], Any]] = {
    Storage.BOOL: bool,
    Storage.UUID: bytes.fromhex,
    Storage.BINARY: bytes.fromhex,
}


def changes(planned: PlannedTable, rows: Rows, wanted: int = feed.FRAME_BYTES_WANTED) -> Iterator[feed.Frame]:
    """The changes as frames of about `wanted` bytes. Raises SourceData for a change that fits no frame."""
    pending = [(at, min(_ROWS_MAX, len(rows.ops) - at)) for at in range(0, len(rows.ops), _ROWS_MAX)][::-1]
    while pending:
        start, count = pending.pop()
        frame = _frame(planned, rows, slice(start, start + count))
        size = 1 + frame.body_bytes()
        if count > 1 and size > wanted:
            half = count // 2
            pending += [(start + half, count - half), (start, half)]
            continue
        if size > feed.FRAME_BYTES_MAX:
            raise SourceData(
                f"table {planned.source_name!r}: a changed row is larger than {feed.FRAME_BYTES_MAX} bytes; leave its "
                "largest column out in reflexdb.yaml or shorten the value"
            )
        yield frame


def _frame(planned: PlannedTable, rows: Rows, part: slice) -> feed.Frame:
    ops = rows.ops[part]
    keys = [key for key, op in zip(rows.keys[part], ops, strict=True) if op is not Op.INSERT]
    values = [row for row, op in zip(rows.rows[part], ops, strict=True) if op is not Op.DELETE]
    head = struct.pack("<II", rows.table, len(ops)) + bytes(ops)
    return feed.Frame(feed.Kind.CHANGES, (head, *_keys(planned, keys), *_values(planned, values)))


def _keys(planned: PlannedTable, keys: Sequence[Row | None]) -> list[Part]:
    return _chosen(planned, planned.primary_key, keys) if planned.primary_key else []


def _chosen(planned: PlannedTable, columns: Sequence[int], values: Sequence[Row | None]) -> list[Part]:
    """Values of some columns."""
    some = tuple(planned.columns[column] for column in columns)
    return _columns(dataclasses.replace(planned, columns=some), values).encode(0, len(values))


def _values(planned: PlannedTable, rows: Sequence[Row | None]) -> list[Part]:
    columns = _columns(planned, rows)
    parts: list[Part] = []
    for index in range(len(planned.columns)):
        parts += _left_out([row is not None and row[index] is UNCHANGED for row in rows])
        parts += columns.encode_column(index, 0, len(rows))
    return parts


def _left_out(flags: list[bool]) -> list[Part]:
    """Which values stay as they are."""
    if not any(flags):
        return [b"\x00"]
    bits = sum(1 << i for i, flag in enumerate(flags) if flag)
    return [b"\x01", bits.to_bytes((len(flags) + 7) // 8, "little")]


def _columns(planned: PlannedTable, rows: Sequence[Row | None]) -> Columns:
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(planned.columns)
    arrays = [_array(planned, index, values) for index, values in enumerate(by_column)]
    names = [str(index) for index in range(len(arrays))]
    return Columns(planned, pa.RecordBatch.from_arrays(arrays, names=names))


def _array(planned: PlannedTable, index: int, values: Sequence[Any]) -> pa.Array:
    column = planned.columns[index]
    try:
        return pa.array([None if value is UNCHANGED else value for value in values], ARROW_TYPES[column.storage])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as exc:
        raise SourceData(
            f"A change of table {planned.source_name!r} has a value in column {column.source_name!r} "
            f"({column.declared_type}) that can't be taken; correct the value, or exclude the column in reflexdb.yaml."
        ) from exc
