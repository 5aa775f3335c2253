"""Turns the Python values of one SQLite column into an Arrow array, or finds the value that the declared type does
not allow.

Each storage has a vectorised way for values that are all as they should be, and a way value by value where they are
not; only the latter can refuse, with `Misfit`, which read.py completes with table, column and rowid. Pure; knows no
connection.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from reflexdb.model.storage import Storage
from reflexdb.sources.base import ARROW_TYPES

Value = int | float | str | bytes | None
_NONE = type(None)
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class Misfit(Exception):
    """A value that its column's declared type does not allow."""

    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value


def to_arrow(values: Sequence[Value], storage: Storage) -> pa.Array:
    """The column's values in the storage's Arrow type. Raises Misfit."""
    kinds = set(map(type, values))
    kinds.discard(_NONE)
    plain = _PLAIN.get(storage)
    if plain is not None and kinds <= {plain}:
        return pa.array(values, type=ARROW_TYPES[storage])
    if kinds <= {str} and storage in (Storage.DATE, Storage.DATETIME):
        try:
            return pa.array(values, type=pa.string()).cast(ARROW_TYPES[storage])
        except pa.ArrowInvalid:
            pass  # some value is written in another way; look at each
    convert = _CONVERT[storage]
    return pa.array([None if value is None else convert(value) for value in values], type=ARROW_TYPES[storage])


_PLAIN: dict[Storage, type] = {
    Storage.I64: int,
    Storage.F64: float,
    Storage.TEXT: str,
    Storage.TIME: str,
    Storage.BINARY: bytes,
}


def digits(value: float | int) -> str:
    """A number as the shortest decimal digits that read back the same, never with an exponent."""
    if isinstance(value, int):
        return str(value)
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def _bool(value: Value) -> bool:
    if value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Misfit(value)


def _i64(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise Misfit(value)


def _f64(value: Value) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise Misfit(value)


def _decimal(value: Value) -> str:
    if isinstance(value, int | float):
        return digits(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return value.removeprefix("+")
    raise Misfit(value)


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return digits(value)
    raise Misfit(value)


def _date(value: Value) -> date:
    parsed = _instant(value)
    if parsed.time() != datetime.min.time():
        raise Misfit(value)
    return parsed.date()


def _instant(value: Value) -> datetime:
    if not isinstance(value, str):
        raise Misfit(value)
    try:
        parsed = datetime.fromisoformat(value.strip())
        return parsed if parsed.tzinfo is None else parsed.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise Misfit(value) from None


def _uuid(value: Value) -> bytes:
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value).bytes
        except ValueError:
            pass
    raise Misfit(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _json(value: Value) -> str:
    if isinstance(value, int | float):
        text = digits(value)
    elif isinstance(value, str):
        text = value
    else:
        raise Misfit(value)
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        raise Misfit(value) from None
    return text


def _binary(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise Misfit(value)


_CONVERT: dict[Storage, Callable[[Value], Any]] = {
    Storage.BOOL: _bool,
    Storage.I64: _i64,
    Storage.F64: _f64,
    Storage.DECIMAL: _decimal,
    Storage.TEXT: _text,
    Storage.TIME: _text,
    Storage.DATE: _date,
    Storage.DATETIME: _instant,
    Storage.UUID: _uuid,
    Storage.JSON: _json,
    Storage.BINARY: _binary,
}
