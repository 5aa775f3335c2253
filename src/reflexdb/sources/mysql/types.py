"""Which storage a MySQL or MariaDB column type gets, and how its column is selected.

Unsigned integers take the next signed width that holds them. Floats are selected as doubles, because the server
prints single precision with six digits; bits as numbers; geometries as GeoJSON. Pure; docs/reference/types.md is
pinned to these tables.
"""

from __future__ import annotations

import re

from reflexdb.model.storage import Storage

SIGNED: dict[str, Storage] = {
    "tinyint": Storage.I16,
    "smallint": Storage.I16,
    "mediumint": Storage.I32,
    "int": Storage.I32,
    "bigint": Storage.I64,
}

UNSIGNED: dict[str, Storage] = {
    "tinyint": Storage.I16,
    "smallint": Storage.I32,
    "mediumint": Storage.I32,
    "int": Storage.I64,
    "bigint": Storage.U64,
}

OTHERS: dict[str, Storage] = {
    "bit": Storage.U64,
    "year": Storage.I16,
    "decimal": Storage.DECIMAL,
    "float": Storage.F32,
    "double": Storage.F64,
    "date": Storage.DATE,
    "datetime": Storage.DATETIME,
    "timestamp": Storage.TIMESTAMP,
    "time": Storage.TIME,
    "char": Storage.TEXT,
    "varchar": Storage.TEXT,
    "tinytext": Storage.TEXT,
    "text": Storage.TEXT,
    "mediumtext": Storage.TEXT,
    "longtext": Storage.TEXT,
    "enum": Storage.ENUM,
    "set": Storage.JSON,
    "json": Storage.JSON,
    "uuid": Storage.UUID,
    "inet4": Storage.TEXT,
    "inet6": Storage.TEXT,
    "binary": Storage.BINARY,
    "varbinary": Storage.BINARY,
    "tinyblob": Storage.BINARY,
    "blob": Storage.BINARY,
    "mediumblob": Storage.BINARY,
    "longblob": Storage.BINARY,
}

GEOMETRY: frozenset[str] = frozenset(
    {
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    }
)

_BASE = re.compile(r"[a-z0-9]+")


def base_of(declared: str) -> str:
    """The type's name without length, sign or options."""
    found = _BASE.match(declared.lower())
    return found[0] if found else ""


def storage_of(declared: str, *, is_json: bool = False) -> Storage | None:
    """The storage of a `COLUMN_TYPE`; None for a type we do not know. `is_json` says that a check demands valid
    JSON.
    """
    lower, base = declared.lower(), base_of(declared)
    if lower.startswith(("tinyint(1)", "bit(1)")):
        return Storage.BOOL
    if base in SIGNED:
        return (UNSIGNED if "unsigned" in lower or "zerofill" in lower else SIGNED)[base]
    if base in GEOMETRY or (is_json and OTHERS.get(base) is Storage.TEXT):
        return Storage.JSON
    return OTHERS.get(base)


def select_expression(column: str, declared: str) -> str:
    """What to put into SELECT for a column whose name is given quoted."""
    base = base_of(declared)
    if base == "float":
        return f"({column} + 0E0)"
    if base == "bit":
        return f"CAST({column} AS UNSIGNED)"
    if base in GEOMETRY:
        return f"ST_AsGeoJSON({column})"
    return column
