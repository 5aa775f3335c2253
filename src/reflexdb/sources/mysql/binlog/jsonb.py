"""Prints MySQL's binary JSON as the server prints the value: keys in their stored order, `", "` and `": "` between.

The format is nested: an object or array begins with counts, sizes and entries that point into it; small values are in
the entries themselves. Pure; raises ValueError, IndexError or struct.error for bytes that are no such value. MariaDB
keeps JSON as text and has none of this.
"""

from __future__ import annotations

import json
from base64 import b64encode
from struct import Struct

from reflexdb.sources.mysql.binlog import cells
from reflexdb.sources.mysql.binlog.geojson import mysql_number

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = range(5)
_I16, _U16, _I32, _U32, _I64, _U64, _DOUBLE, _STRING = range(5, 13)
_OPAQUE = 15
_LITERALS = {0: "null", 1: "true", 2: "false"}
_NUMBERS = {_I16: Struct("<h"), _U16: Struct("<H"), _I32: Struct("<i"), _U32: Struct("<I"), _I64: Struct("<q"),
            _U64: Struct("<Q")}  # fmt: skip
_REAL = Struct("<d")
_DEEPEST = 100
_DATE, _TIME, _DATETIME, _TIMESTAMP, _NEWDECIMAL = 10, 11, 12, 7, 246


def text(data: bytes) -> str:
    """The value as the server prints it; no bytes at all are `null`."""
    if not data:
        return "null"
    return _value(data[0], data[1:], 0)


def _value(kind: int, data: bytes, depth: int) -> str:
    """The value whose bytes begin `data`."""
    if depth > _DEEPEST:
        raise ValueError("a JSON value is nested too deeply")
    if kind in (_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY):
        return _container(kind, data, depth)
    if kind == _LITERAL:
        if data[0] not in _LITERALS:
            raise ValueError(f"JSON literal {data[0]} is not known")
        return _LITERALS[data[0]]
    if kind in _NUMBERS:
        return str(_NUMBERS[kind].unpack_from(data)[0])
    if kind == _DOUBLE:
        return mysql_number(_REAL.unpack_from(data)[0])
    if kind == _STRING:
        content, _ = _sized(data, 0)
        return _quoted(content)
    if kind == _OPAQUE:
        content, _ = _sized(data, 1)
        return _opaque(data[0], content)
    raise ValueError(f"JSON type {kind} is not known")


def _container(kind: int, data: bytes, depth: int) -> str:
    is_object, width = kind in (_SMALL_OBJECT, _LARGE_OBJECT), 4 if kind in (_LARGE_OBJECT, _LARGE_ARRAY) else 2
    count, size = _number(data, 0, width), _number(data, width, width)
    if size > len(data):
        raise ValueError("a JSON value runs past its end")
    at = 2 * width
    keys = []
    if is_object:
        for _ in range(count):
            start, length = _number(data, at, width), _number(data, at + width, 2)
            if start + length > size:
                raise ValueError("a JSON key runs past its value")
            keys.append(_quoted(data[start : start + length]))
            at += width + 2
    values = []
    for _ in range(count):
        inner = data[at]
        is_inlined = inner in (_LITERAL, _I16, _U16) or (width == 4 and inner in (_I32, _U32))
        start = at + 1 if is_inlined else _number(data, at + 1, width)
        if not is_inlined and not at < start < size:
            raise ValueError("a JSON value points outside its container")
        values.append(_value(inner, data[start:size], depth + 1))
        at += 1 + width
    if is_object:
        return "{" + ", ".join(f"{key}: {value}" for key, value in zip(keys, values, strict=True)) + "}"
    return "[" + ", ".join(values) + "]"


def _number(data: bytes, at: int, width: int) -> int:
    if at + width > len(data):
        raise ValueError("a JSON value is cut short")
    return int.from_bytes(data[at : at + width], "little")


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes behind a length of seven bits a byte."""
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
        if shift > 28:
            raise ValueError("a JSON length is too long")
    if at + length > len(data):
        raise ValueError("a JSON string runs past its end")
    return data[at : at + length], at + length


def _quoted(content: bytes) -> str:
    return json.dumps(content.decode(), ensure_ascii=False)


def _opaque(kind: int, content: bytes) -> str:
    if kind == _NEWDECIMAL:
        precision, scale = content[0], content[1]
        if scale > precision:
            raise ValueError("a decimal in JSON has more decimals than digits")
        return str(cells.decimal(precision, scale)(content, 2)[0])
    if kind in (_DATE, _TIME, _DATETIME, _TIMESTAMP):
        return f'"{_temporal(kind, int.from_bytes(content[:8], "little", signed=True))}"'
    return _quoted(f"base64:type{kind}:".encode() + b64encode(content))


def _temporal(kind: int, packed: int) -> str:
    """Dates and times are one number: microseconds in the low 24 bits, then seconds, minutes, hours, and the date."""
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    micro, clock, date = packed & 0xFFFFFF, packed >> 24 & 0x1FFFF, packed >> 41
    if kind == _TIME:
        hours = packed >> 36 & 1023
        return f"{sign}{hours:02d}:{clock >> 6 & 63:02d}:{clock & 63:02d}.{micro:06d}"
    year, month = divmod(date >> 5, 13)
    day = f"{year:04d}-{month:02d}-{date & 31:02d}"
    if kind == _DATE:
        return day
    return f"{day} {clock >> 12:02d}:{clock >> 6 & 63:02d}:{clock & 63:02d}.{micro:06d}"
