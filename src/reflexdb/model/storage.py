"""How one column's values are kept in memory and travel in the feed.

A source maps each of its column types to a `Storage`; the build writes it into the generated header; the feed encodes
by it; the engine stores, compares and prints by it. The numbers are part of the feed format (engine/doc/feed.md) and of
the generated header (engine/doc/header.md): never renumber, only append.
"""

from __future__ import annotations

from enum import IntEnum


class Storage(IntEnum):
    """One way of keeping a column's values; the comment gives the feed's encoding and the JSON a query answers."""

    BOOL = 1  # u8 0 or 1; true, false
    I16 = 2  # little-endian two's complement; number
    I32 = 3
    I64 = 4
    U64 = 5  # unsigned 64 bit (MySQL BIGINT UNSIGNED, BIT(n)); number
    F32 = 6  # IEEE 754 binary32; shortest number that reads back the same; NaN and infinities are null
    F64 = 7
    DECIMAL = 8  # varlen: the digits as the source prints them, "-12.50"; number, every digit kept
    DATE = 9  # i32 days since 1970-01-01; "2026-04-15". INT32_MIN/MAX are "-infinity"/"infinity"
    DATETIME = 10  # i64 microseconds since 1970-01-01T00:00:00, no zone; "2026-04-15T12:00:00". INT64_MIN/MAX as above
    TIMESTAMP = 11  # the same, an instant in UTC; "2026-04-15T12:00:00Z"
    TIME = 12  # varlen text as the source prints it; string
    TEXT = 13  # varlen UTF-8; string
    ENUM = 14  # varlen UTF-8, few distinct values; string
    UUID = 15  # 16 bytes in network order; "3f2b..." lower-case with hyphens
    JSON = 16  # varlen UTF-8 JSON text (arrays, SETs and GeoJSON too); the value itself
    BINARY = 17  # varlen bytes; base64 string


FIXED_WIDTH: dict[Storage, int] = {
    Storage.BOOL: 1,
    Storage.I16: 2,
    Storage.I32: 4,
    Storage.I64: 8,
    Storage.U64: 8,
    Storage.F32: 4,
    Storage.F64: 8,
    Storage.DATE: 4,
    Storage.DATETIME: 8,
    Storage.TIMESTAMP: 8,
    Storage.UUID: 16,
}
"""Bytes a value takes in the feed; a storage that is not here is variable in length."""
