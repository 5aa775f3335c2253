"""Decodes single values of row images: for each layout a function from bytes and offset to the value and the offset
after it.

It is the hot loop of following MySQL, so each function is made once per column, knows its sizes, and trusts the bytes:
a row that runs past the end is noticed by images.py, which compares where it ended. Values are those that reading the
table gives (`sources/changes.py`); pinned to a real server by tests. Functions raise ValueError, IndexError or
struct.error for bytes that are no value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from struct import Struct
from typing import Any

Cell = Callable[[bytes, int], tuple[Any, int]]
Skip = Callable[[bytes, int], int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGIT_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_FORMATS = {(1, False): "<b", (1, True): "<B", (2, False): "<h", (2, True): "<H", (4, False): "<i", (4, True): "<I",
            (8, False): "<q", (8, True): "<Q"}  # fmt: skip


def fixed(size: int) -> Skip:
    """Passes over values of one size."""
    return lambda _, at: at + size


def prefixed(width: int) -> Skip:
    """Passes over values whose length comes first, in so many bytes."""
    if width == 1:
        return lambda data, at: at + 1 + data[at]
    return lambda data, at: at + width + int.from_bytes(data[at : at + width], "little")


def integer(size: int, *, unsigned: bool) -> Cell:
    """A whole number of 1, 2, 3, 4 or 8 bytes."""
    if size == 3:
        return lambda data, at: (int.from_bytes(data[at : at + 3], "little", signed=not unsigned), at + 3)
    unpack = Struct(_FORMATS[size, unsigned]).unpack_from
    return lambda data, at: (unpack(data, at)[0], at + size)


def boolean(size: int) -> Cell:
    """True for all numbers but 0."""
    return lambda data, at: (data[at : at + size].strip(b"\0") != b"", at + size)


def floating(size: int) -> Cell:
    unpack = Struct("<f" if size == 4 else "<d").unpack_from
    return lambda data, at: (unpack(data, at)[0], at + size)


def rounded(digits: int) -> Cell:
    """A DOUBLE(M,D), which the server prints with so many digits after the point."""
    unpack = Struct("<d").unpack_from
    return lambda data, at: (round(unpack(data, at)[0], digits), at + 8)


def bits(count: int) -> Cell:
    size = (count + 7) // 8
    return lambda data, at: (int.from_bytes(data[at : at + size], "big"), at + size)


def year(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    return (value + 1900 if value else 0), at + 1


def decimal_bytes(precision: int, scale: int) -> int:
    """How many bytes a DECIMAL takes."""
    whole, fraction = precision - scale, scale
    return sum(count // 9 * 4 + _DIGIT_BYTES[count % 9] for count in (whole, fraction))


def decimal(precision: int, scale: int) -> Cell:
    """A DECIMAL as the server prints it: nine digits in four bytes, fewer in fewer, inverted where negative."""
    size = decimal_bytes(precision, scale)
    groups = _digit_groups(precision, scale)
    sign, every = 1 << 8 * size - 1, (1 << 8 * size) - 1
    integral_digits = 1 + scale

    def cell(data: bytes, at: int) -> tuple[str, int]:
        end = at + size
        packed = int.from_bytes(data[at:end], "big") ^ sign
        negative = packed & sign
        if negative:
            packed ^= every
        number = 0
        for shift, mask, weight in groups:
            number = number * weight + (packed >> shift & mask)
        text = str(number)
        if scale:
            text = text.zfill(integral_digits)
            text = f"{text[:-scale]}.{text[-scale:]}"
        return ("-" + text if negative else text), end

    return cell


def _digit_groups(precision: int, scale: int) -> list[tuple[int, int, int]]:
    """For each group of digits, from the left: how far to shift, what to keep, and 10 to its number of digits."""
    whole, fraction = precision - scale, scale
    digits = [whole % 9] if whole % 9 else []
    digits += [9] * (whole // 9) + [9] * (fraction // 9)
    digits += [fraction % 9] if fraction % 9 else []
    shift = 8 * decimal_bytes(precision, scale)
    groups = []
    for count in digits:
        width = 8 * _DIGIT_BYTES[count]
        shift -= width
        groups.append((shift, (1 << width) - 1, 10**count))
    return groups


def day(data: bytes, at: int) -> tuple[date | None, int]:
    """A DATE; None for one that no calendar has."""
    packed = int.from_bytes(data[at : at + 3], "little")
    try:
        return date(packed >> 9, packed >> 5 & 15, packed & 31), at + 3
    except ValueError:
        return None, at + 3


def moment(digits: int) -> Cell:
    """A DATETIME with so many digits of a second; None for one that no calendar has."""
    fraction = (digits + 1) // 2
    size, low, scale = 5 + fraction, 8 * fraction, 10 ** (6 - 2 * fraction)
    mask, base = (1 << low) - 1, 0x8000000000 << low

    def cell(data: bytes, at: int) -> tuple[datetime | None, int]:
        end = at + size
        packed = int.from_bytes(data[at:end], "big") - base
        micro = (packed & mask) * scale
        packed >>= low
        year_month = packed >> 22
        try:
            return datetime(  # noqa: DTZ001 - a DATETIME has no zone
                year_month // 13, year_month % 13, packed >> 17 & 31, packed >> 12 & 31, packed >> 6 & 63, packed & 63,
                micro,
            ), end  # fmt: skip
        except ValueError:
            return None, end

    return cell


def instant(digits: int) -> Cell:
    """A TIMESTAMP with so many digits of a second, in UTC; None for the zero timestamp."""
    fraction = (digits + 1) // 2
    size, scale = 4 + fraction, 10 ** (6 - 2 * fraction)

    def cell(data: bytes, at: int) -> tuple[datetime | None, int]:
        end, whole = at + size, at + 4
        seconds = int.from_bytes(data[at:whole], "big")
        micro = int.from_bytes(data[whole:end], "big") * scale
        return (_EPOCH + timedelta(0, seconds, micro) if seconds or micro else None), end

    return cell


def duration(digits: int) -> Cell:
    """A TIME with so many digits of a second, as the server prints it."""
    fraction = (digits + 1) // 2
    size, low = 3 + fraction, 8 * fraction
    base, mask, surplus = 0x800000 << low, (1 << low) - 1, 10 if digits % 2 else 1

    def cell(data: bytes, at: int) -> tuple[str, int]:
        end = at + size
        packed = int.from_bytes(data[at:end], "big") - base
        sign = "-" if packed < 0 else ""
        packed = abs(packed)
        whole = packed >> low
        text = f"{sign}{whole >> 12 & 1023:02d}:{whole >> 6 & 63:02d}:{whole & 63:02d}"
        return (f"{text}.{(packed & mask) // surplus:0{digits}d}" if digits else text), end

    return cell


def old_moment(data: bytes, at: int) -> tuple[datetime | None, int]:
    """A DATETIME of a table made before MySQL 5.6: its decimal digits."""
    packed = int.from_bytes(data[at : at + 8], "little")
    days, clock = divmod(packed, 1_000_000)
    try:
        return datetime(  # noqa: DTZ001 - a DATETIME has no zone
            days // 10_000, days // 100 % 100, days % 100, clock // 10_000, clock // 100 % 100, clock % 100
        ), at + 8
    except ValueError:
        return None, at + 8


def old_instant(data: bytes, at: int) -> tuple[datetime | None, int]:
    """A TIMESTAMP of a table made before MySQL 5.6."""
    seconds = int.from_bytes(data[at : at + 4], "little")
    return (_EPOCH + timedelta(0, seconds) if seconds else None), at + 4


def old_duration(data: bytes, at: int) -> tuple[str, int]:
    """A TIME of a table made before MySQL 5.6: its decimal digits."""
    packed = int.from_bytes(data[at : at + 3], "little", signed=True)
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    return f"{sign}{packed // 10_000:02d}:{packed // 100 % 100:02d}:{packed % 100:02d}", at + 3


def chosen(size: int, labels: tuple[str, ...]) -> Cell:
    """An ENUM's label; the empty string for an invalid index."""
    known = ("", *labels)
    if size == 1:
        return lambda data, at: (known[data[at]], at + 1)
    return lambda data, at: (known[int.from_bytes(data[at : at + size], "little")], at + size)


def members(size: int, written: Callable[[int], str]) -> Cell:
    """A SET; `written` prints the members whose bits are set."""
    return lambda data, at: (written(int.from_bytes(data[at : at + size], "little")), at + size)


def prefixed_value(width: int, convert: Callable[[bytes], Any] | None) -> Cell:
    """A value whose length comes first in so many bytes; `convert` makes of its bytes what is wanted."""

    def as_it_is(data: bytes, at: int) -> tuple[Any, int]:
        start = at + width
        end = start + int.from_bytes(data[at:start], "little")
        return data[start:end], end

    def converted(data: bytes, at: int) -> tuple[Any, int]:
        start = at + width
        end = start + int.from_bytes(data[at:start], "little")
        if end > len(data):
            raise ValueError("a value runs past the end of its event")
        return convert(data[start:end]), end  # type: ignore[misc] # not None where this function is used

    return as_it_is if convert is None else converted


def utf8_text(width: int) -> Cell:
    """Text that is UTF-8 at the source, which is the common case."""
    if width == 1:

        def short(data: bytes, at: int) -> tuple[str, int]:
            start = at + 1
            end = start + data[at]
            return data[start:end].decode(), end

        return short

    def long(data: bytes, at: int) -> tuple[str, int]:
        start = at + width
        end = start + int.from_bytes(data[at:start], "little")
        return data[start:end].decode(), end

    return long
