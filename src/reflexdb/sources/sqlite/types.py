"""Which storage a declared SQLite type gets.

SQLite checks no types, so this is a promise about the values that reading (values.py) holds every value to. Exact
names come first, then SQLite's own rules of affinity by substring. A type that none of them knows, and a view's
column without one, is decided by the values that are there (introspect.py). Pure; docs/reference/types.md is pinned
to these tables.
"""

from __future__ import annotations

import re

from reflexdb.model.storage import Storage

BY_NAME: dict[str, Storage] = {
    "BOOLEAN": Storage.BOOL,
    "BOOL": Storage.BOOL,
    "BIT": Storage.I64,
    "DATE": Storage.DATE,
    "DATETIME": Storage.DATETIME,
    "TIMESTAMP": Storage.DATETIME,
    "TIME": Storage.TIME,
    "DECIMAL": Storage.DECIMAL,
    "NUMERIC": Storage.DECIMAL,
    "DEC": Storage.DECIMAL,
    "NUMBER": Storage.DECIMAL,
    "MONEY": Storage.DECIMAL,
    "JSON": Storage.JSON,
    "UUID": Storage.UUID,
    "BINARY": Storage.BINARY,
    "VARBINARY": Storage.BINARY,
    "STRING": Storage.TEXT,
}
"""By the declared type's words before any parenthesis."""

BY_SUBSTRING: tuple[tuple[str, Storage], ...] = (
    ("INT", Storage.I64),
    ("CHAR", Storage.TEXT),
    ("CLOB", Storage.TEXT),
    ("TEXT", Storage.TEXT),
    ("BLOB", Storage.BINARY),
    ("REAL", Storage.F64),
    ("FLOA", Storage.F64),
    ("DOUB", Storage.F64),
)
"""SQLite's rules of affinity, in its order (sqlite.org/datatype3.html, 3.1)."""

_WORDS = re.compile(r"[^(]*")


def storage_of(declared: str) -> Storage | None:
    """The storage of a declared type; None where only the values can tell."""
    words = " ".join((_WORDS.match(declared.upper()) or [""])[0].split())
    if words in BY_NAME:
        return BY_NAME[words]
    for part, storage in BY_SUBSTRING:
        if part in words:
            return storage
    return None


def storage_of_values(types: frozenset[str]) -> Storage:
    """The storage of a column by the kinds of value (`typeof`) it has."""
    kinds = types - {"null"}
    if kinds == {"integer"}:
        return Storage.I64
    if kinds and kinds <= {"integer", "real"}:
        return Storage.F64
    if kinds == {"blob"}:
        return Storage.BINARY
    return Storage.TEXT
