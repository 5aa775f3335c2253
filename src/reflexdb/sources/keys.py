"""Keys of rows as a source is asked for them: which columns can be asked for by value, and the form of the values.

A column can be asked for where the source finds a row by the value that was read of it, and by no rounded one. So
floats can't, nor what was converted on the way. Pure.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from reflexdb.model.plan import PlannedColumn, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage
from reflexdb.sources.base import Key

_DAY_ZERO = date(1970, 1, 1)
_MOMENT_ZERO = datetime(1970, 1, 1)  # noqa: DTZ001 - of DATETIME, which has no zone


def _same(value: Any) -> Any:
    return value


def _day(value: date | int) -> str:
    day = _DAY_ZERO + timedelta(days=value) if isinstance(value, int) else value
    return f"{day.year:04}-{day.month:02}-{day.day:02}"


def _moment(value: datetime | int) -> str:
    moment = _MOMENT_ZERO + timedelta(microseconds=value) if isinstance(value, int) else value
    return f"{_day(moment)} {moment.hour:02}:{moment.minute:02}:{moment.second:02}.{moment.microsecond:06}"


_FORMS: dict[Storage, Callable[[Any], int | str | bytes]] = {
    **dict.fromkeys((Storage.I16, Storage.I32, Storage.I64, Storage.U64), _same),
    **dict.fromkeys((Storage.TEXT, Storage.ENUM, Storage.BINARY), _same),
    Storage.UUID: lambda value: str(uuid.UUID(bytes=value)),
    Storage.DATE: _day,
    Storage.DATETIME: _moment,
}
_MORE: dict[Backend, dict[Storage, Callable[[Any], int | str | bytes]]] = {
    Backend.POSTGRES: {Storage.TIMESTAMP: lambda value: _moment(value) + "+00", Storage.DECIMAL: _same},
    Backend.MYSQL: {Storage.TIMESTAMP: _moment},  # its sessions are in UTC; decimals it would compare as doubles
}


def _form(backend: Backend, column: PlannedColumn) -> Callable[[Any], int | str | bytes] | None:
    if column.retyped is not None:
        return None
    return _FORMS.get(column.storage) or _MORE.get(backend, {}).get(column.storage)


def is_askable(backend: Backend, table: PlannedTable) -> bool:
    """Whether rows of the table can be asked for by their primary keys."""
    return bool(table.primary_key) and all(_form(backend, table.columns[index]) for index in table.primary_key)


def as_asked(backend: Backend, table: PlannedTable, key: Sequence[Any]) -> Key:
    """A primary key of an askable table, as a stream or a server told it. Raises ValueError for one that can't be asked
    for."""
    values = []
    for index, value in zip(table.primary_key, key, strict=True):
        form = _form(backend, table.columns[index])
        assert form is not None, "of an askable table"
        try:
            values.append(form(value))
        except OverflowError as exc:
            raise ValueError(f"{value!r} is beyond what can be written as a date") from exc
    return tuple(values)
