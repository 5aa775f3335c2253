"""Values out of the text that PostgreSQL prints for them, exactly as reading the table would give them.

Dates and times become counts (days, microseconds) since 1970, because the server's reach beyond Python's calendar.
Assumes the session settings of `replication`: ISO dates, UTC, hexadecimal bytea. Pure.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from reflexdb.model.storage import Storage

_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_MOMENT = datetime(1970, 1, 1)  # noqa: DTZ001 - texts are in UTC already
_DAY_US = 86_400_000_000
_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)( BC)?")
_MOMENT = re.compile(r"(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\+00)?( BC)?")
_FLOAT32 = struct.Struct("<f")
_LAST_US = 2**63 - 1


def decoder(storage: Storage) -> Callable[[bytes], Any]:
    """How a value of the storage is made of its text. What it returns raises ValueError on other texts."""
    return _DECODERS[storage]


def _bool(text: bytes) -> bool:
    if text not in (b"t", b"f"):
        raise ValueError("not a boolean")
    return text == b"t"


def _float32(text: bytes) -> float:
    value: float = _FLOAT32.unpack(_FLOAT32.pack(float(text)))[0]
    return value


def _binary(text: bytes) -> bytes:
    if text[:2] != b"\\x":
        raise ValueError("not hexadecimal")
    return bytes.fromhex(text[2:].decode())


def _uuid(text: bytes) -> bytes:
    return uuid.UUID(text.decode()).bytes


def _days(text: bytes) -> int:
    if len(text) == 10:
        return date.fromisoformat(text.decode()).toordinal() - _EPOCH
    if text in (b"infinity", b"-infinity"):
        return 2**31 - 1 if text == b"infinity" else -(2**31)
    found = _DATE.fullmatch(text.decode())
    if found is None:
        raise ValueError("not a date")
    return _civil_days(*_year_month_day(found.groups()))


def _micros(text: bytes) -> int:
    if text[10:11] == b" " and text[4:5] == b"-" and len(text) > 18:  # nearly all are within Python's calendar
        try:
            since = datetime.fromisoformat(text.removesuffix(b"+00").decode()) - _EPOCH_MOMENT
        except (ValueError, TypeError):
            pass
        else:
            return since.days * _DAY_US + since.seconds * 1_000_000 + since.microseconds
    if text in (b"infinity", b"-infinity"):
        return _LAST_US if text == b"infinity" else -_LAST_US - 1
    found = _MOMENT.fullmatch(text.decode())
    if found is None:
        raise ValueError("not a moment")
    year, month, day, hour, minute, second, fraction, before = found.groups()
    days = _civil_days(*_year_month_day((year, month, day, before)))
    seconds = (int(hour) * 60 + int(minute)) * 60 + int(second)
    value = days * _DAY_US + seconds * 1_000_000 + (int(fraction.ljust(6, "0")) if fraction else 0)
    if value > _LAST_US:
        raise ValueError("the year is beyond 294246, which is the last that can be served")
    return value


def _year_month_day(parts: tuple[Any, ...]) -> tuple[int, int, int]:
    year, month, day, before = parts
    return 1 - int(year) if before else int(year), int(month), int(day)


def _civil_days(year: int, month: int, day: int) -> int:
    """Days since 1970 in the proleptic Gregorian calendar, for any year: 400 years are 146,097 days."""
    cycles, within = divmod(year - 1, 400)
    return cycles * 146_097 + date(within + 1, month, day).toordinal() - _EPOCH


_DECODERS: dict[Storage, Callable[[bytes], Any]] = {
    Storage.BOOL: _bool,
    Storage.I16: int,
    Storage.I32: int,
    Storage.I64: int,
    Storage.U64: int,
    Storage.F32: _float32,
    Storage.F64: float,
    Storage.DECIMAL: bytes.decode,
    Storage.DATE: _days,
    Storage.DATETIME: _micros,
    Storage.TIMESTAMP: _micros,
    Storage.TIME: bytes.decode,
    Storage.TEXT: bytes.decode,
    Storage.ENUM: bytes.decode,
    Storage.UUID: _uuid,
    Storage.JSON: bytes.decode,
    Storage.BINARY: _binary,
}
