"""Values of columns whose type reflexdb.yaml sets: converted here for snapshots and streams alike.

Called by the readers and followers of every adapter, which decode the values as `Retype.read_as` and know nothing of
the type that was set. A value that does not fit is a SourceData error that names table, column and row. Pure.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from reflexdb.model.errors import SourceData
from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.retype import EPOCHS
from reflexdb.model.storage import Storage
from reflexdb.sources.base import ARROW_TYPES
from reflexdb.sources.changes import UNCHANGED, ChangeStream, Event, Rows, Stale

Convert = Callable[[Any], Any]
"""From a value as it was read to the value that is kept. Raises ValueError."""

_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_INTEGERS = frozenset({Storage.I16, Storage.I32, Storage.I64, Storage.U64})
_FLOATS = frozenset({Storage.F32, Storage.F64})
_TEXTS = frozenset({Storage.TEXT, Storage.ENUM, Storage.TIME, Storage.JSON})
_FIRST_US = -62_135_596_800_000_000
_LAST_US = 253_402_300_799_999_999
"""The years 1 to 9999."""
_SHOWN = 60
_MISFITS = (ValueError, ArithmeticError, RecursionError)


def conversion(read_as: Storage, wanted: Storage, epoch: str = "") -> Convert | None:
    """How a value of one storage becomes one of another; None where that can't be done."""
    if epoch:
        return _epoch(EPOCHS[epoch]) if read_as in _INTEGERS | {Storage.DECIMAL, *_TEXTS} else None
    if read_as is wanted:
        return _same
    return _CONVERSIONS.get(wanted, {}).get(read_as)


def as_read(plan: Plan) -> Plan:
    """The plan in the storages that the adapters read."""
    return replace(plan, tables=tuple(map(table_as_read, plan.tables)))


def table_as_read(table: PlannedTable) -> PlannedTable:
    if not _places(table):
        return table
    return replace(table, columns=tuple(_column_as_read(column) for column in table.columns))


def _column_as_read(column: PlannedColumn) -> PlannedColumn:
    return replace(column, storage=column.retyped.read_as, retyped=None) if column.retyped else column


def retyped(table: PlannedTable, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch that was read by `table_as_read`, in the plan's storages. Raises SourceData."""
    places = _places(table)
    if not places:
        return batch
    arrays = list(batch.columns)
    for place in places:
        column = table.columns[place]
        convert = _convert(column)
        found = _values(batch.column(place))
        values: list[Any] = []
        for row, value in enumerate(found):
            try:
                values.append(None if value is None else convert(value))
            except _MISFITS as exc:
                key = [batch.column(index)[row].as_py() for index in table.primary_key]
                raise _misfit(table, column, value, key) from exc
        arrays[place] = pa.array(values, type=ARROW_TYPES[column.storage])
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _values(array: pa.Array) -> Sequence[Any]:
    """Moments as the numbers that they are: some are beyond Python's."""
    values: list[Any] = (array.view(pa.int64()) if pa.types.is_timestamp(array.type) else array).to_pylist()
    return values


def retyped_stream(stream: ChangeStream, plan: Plan) -> ChangeStream:
    """A stream that was opened with `as_read`, in the plan's storages."""
    return _Retyped(stream, plan) if any(map(_places, plan.tables)) else stream


class _Retyped:
    def __init__(self, stream: ChangeStream, plan: Plan) -> None:
        self._stream = stream
        self._plan = plan

    @property
    def warning(self) -> str | None:
        return self._stream.warning

    @property
    def definitions(self) -> str | None:
        return self._stream.definitions

    def next(self, timeout_s: float) -> Event | None:
        event = self._stream.next(timeout_s)
        if isinstance(event, Rows):
            try:
                _convert_rows(self._plan.tables[event.table], event)
            except SourceData as error:
                return Stale(event.table, error.message)
        return event

    def confirm(self, position: str) -> None:
        self._stream.confirm(position)

    def close(self) -> None:
        self._stream.close()


def _convert_rows(table: PlannedTable, event: Rows) -> None:
    """In place."""
    converts = [(place, table.columns[place], _convert(table.columns[place])) for place in _places(table)]
    if not converts:
        return
    for index, row in enumerate(event.rows):
        if row is None:
            continue
        values = list(row)
        for place, column, convert in converts:
            if values[place] is None or values[place] is UNCHANGED:
                continue
            try:
                values[place] = convert(values[place])
            except _MISFITS as exc:
                raise _misfit(table, column, row[place], [row[place] for place in table.primary_key]) from exc
        event.rows[index] = tuple(values)


def _places(table: PlannedTable) -> list[int]:
    return [index for index, column in enumerate(table.columns) if column.retyped is not None]


def _convert(column: PlannedColumn) -> Convert:
    assert column.retyped is not None
    found = conversion(column.retyped.read_as, column.storage, column.retyped.epoch)
    assert found is not None, "the planning pass has refused what can't be converted"
    return found


def _misfit(table: PlannedTable, column: PlannedColumn, value: Any, key: Sequence[Any]) -> SourceData:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
    where = f" in the row with the key ({', '.join(map(str, key))})" if key else ""
    return SourceData(
        f"Column {column.source_name!r} of table {table.source_name!r} holds {shown}{where}, which is no "
        f"{column.storage.name.lower()} as reflexdb.yaml sets it. Correct the value, or the column's type there."
    )


def _same(value: Any) -> Any:
    return value


def _epoch(scale: int) -> Convert:
    def convert(value: Any) -> int:
        moment = Decimal(_decimal(value)) * scale
        if moment != int(moment) or not _FIRST_US <= moment <= _LAST_US:
            raise ValueError(value)
        return int(moment)

    return convert


def _decimal(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else str(int(value))
    if not _DECIMAL.match(text):
        raise ValueError(value)
    return text.removeprefix("+")


def _integer(value: Any) -> int:
    number = int(value) if not isinstance(value, str) else int(_whole(value))
    if number != value and not isinstance(value, str):
        raise ValueError(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(value)
    return number


def _whole(text: str) -> Decimal:
    number = Decimal(_decimal(text))
    if number != number.to_integral_value():
        raise ValueError(text)
    return number


def _number(value: Any) -> float:
    return float(_decimal(value)) if isinstance(value, str) else float(value)


def _digits(value: float) -> str:
    return format(Decimal(repr(value)), "f") if value == value and abs(value) != float("inf") else _refuse(value)


def _refuse(value: Any) -> str:
    raise ValueError(value)


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if word not in ("0", "1", "true", "false"):
        raise ValueError(value)
    return word in ("1", "true")


def _decoded(value: bytes) -> str:
    return value.decode("utf-8")


def _json(value: str) -> str:
    json.loads(value, parse_constant=_refuse)
    return value


def _instant(value: str) -> datetime:
    moment = datetime.fromisoformat(value.strip())
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC)


def _naive(value: str) -> datetime:
    moment = datetime.fromisoformat(value.strip())
    if moment.tzinfo is not None:
        raise ValueError(value)
    return moment


def _as_utc(value: datetime | int) -> datetime | int:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


_CONVERSIONS: dict[Storage, dict[Storage, Convert]] = {
    Storage.I64: dict.fromkeys((Storage.BOOL, *_INTEGERS, Storage.DECIMAL, *_FLOATS, Storage.TEXT), _integer),
    Storage.F64: dict.fromkeys((Storage.BOOL, *_INTEGERS, Storage.DECIMAL, Storage.F32, Storage.TEXT), _number),
    Storage.DECIMAL: {
        **dict.fromkeys((Storage.BOOL, *_INTEGERS, Storage.TEXT), _decimal),
        **dict.fromkeys(_FLOATS, _digits),
    },
    Storage.TEXT: {
        **dict.fromkeys((*_INTEGERS, Storage.DECIMAL, *_TEXTS), str),
        Storage.BINARY: _decoded,
        Storage.UUID: lambda value: str(uuid.UUID(bytes=value)),
    },
    Storage.BOOL: dict.fromkeys((*_INTEGERS, Storage.DECIMAL, Storage.TEXT, Storage.ENUM), _boolean),
    Storage.DATE: {Storage.TEXT: lambda value: date.fromisoformat(value.strip())},
    Storage.DATETIME: {Storage.TEXT: _naive},
    Storage.TIMESTAMP: {Storage.TEXT: _instant, Storage.DATETIME: _as_utc},
    Storage.JSON: {Storage.TEXT: _json, Storage.BINARY: lambda value: _json(_decoded(value))},
    Storage.BINARY: {Storage.TEXT: lambda value: value.encode(), Storage.UUID: _same},
}
