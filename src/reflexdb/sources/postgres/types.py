"""Which storage a PostgreSQL type gets, and how its column is selected.

Domains count as what they are made of, arrays and composites become JSON, and a type that nobody here knows is served
as the text the server prints for it. Pure; docs/reference/types.md is pinned to these tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from reflexdb.model.storage import Storage

BY_NAME: dict[str, Storage] = {
    "bool": Storage.BOOL,
    "int2": Storage.I16,
    "int4": Storage.I32,
    "int8": Storage.I64,
    "oid": Storage.I64,
    "float4": Storage.F32,
    "float8": Storage.F64,
    "numeric": Storage.DECIMAL,
    "money": Storage.TEXT,
    "char": Storage.TEXT,
    "bpchar": Storage.TEXT,
    "varchar": Storage.TEXT,
    "text": Storage.TEXT,
    "name": Storage.TEXT,
    "citext": Storage.TEXT,
    "uuid": Storage.UUID,
    "date": Storage.DATE,
    "timestamp": Storage.DATETIME,
    "timestamptz": Storage.TIMESTAMP,
    "time": Storage.TIME,
    "timetz": Storage.TIME,
    "interval": Storage.TEXT,
    "json": Storage.JSON,
    "jsonb": Storage.JSON,
    "hstore": Storage.JSON,
    "geometry": Storage.JSON,
    "geography": Storage.JSON,
    "bytea": Storage.BINARY,
    "inet": Storage.TEXT,
    "cidr": Storage.TEXT,
    "macaddr": Storage.TEXT,
    "macaddr8": Storage.TEXT,
    "bit": Storage.TEXT,
    "varbit": Storage.TEXT,
    "xml": Storage.TEXT,
    "tsvector": Storage.TEXT,
    "tsquery": Storage.TEXT,
}
"""By the server's internal name of the type (`typname`)."""

BY_KIND: dict[str, Storage] = {
    "e": Storage.ENUM,
    "c": Storage.JSON,
    "r": Storage.TEXT,
    "m": Storage.TEXT,
}
"""By `typtype`: enumerations, composites, ranges and multiranges."""


@dataclass(frozen=True, slots=True)
class PgType:
    """A row of pg_type, as far as it matters."""

    name: str
    kind: str
    category: str
    base: int
    """For a domain, the type it is made of; else 0."""


def base_of(oid: int, types: dict[int, PgType]) -> PgType:
    """The type itself, or what a domain is made of through every level."""
    found = types[oid]
    while found.kind == "d" and found.base in types:
        found = types[found.base]
    return found


def storage_of(oid: int, types: dict[int, PgType]) -> Storage:
    """The storage of a type by its oid; every type has one."""
    found = base_of(oid, types)
    if found.category == "A":
        return Storage.JSON
    if found.kind in BY_KIND:
        return BY_KIND[found.kind]
    return BY_NAME.get(found.name, Storage.TEXT)


_CASTS: dict[Storage, str] = {
    Storage.BOOL: "bool",
    Storage.I16: "int2",
    Storage.I32: "int4",
    Storage.I64: "int8",
    Storage.F32: "float4",
    Storage.F64: "float8",
    Storage.DATE: "date",
    Storage.DATETIME: "timestamp",
    Storage.TIMESTAMP: "timestamptz",
    Storage.BINARY: "bytea",
    Storage.DECIMAL: "text",
    Storage.TIME: "text",
    Storage.TEXT: "text",
    Storage.ENUM: "text",
}


def select_expression(column: str, declared: str, storage: Storage, postgis: str | None) -> str:
    """What to put into SELECT for a column whose name is given quoted; `postgis` is the quoted schema of that
    extension.
    """
    if storage is Storage.UUID:
        return f"uuid_send({column}::uuid)"
    if storage is Storage.JSON:
        if postgis is not None and declared.rsplit(".", 1)[-1].split("(")[0].strip('"') in ("geometry", "geography"):
            return f"{postgis}.ST_AsGeoJSON({column})::text"
        return f"to_json({column})::text"
    if declared.startswith(("character(", "bpchar")):
        return f"{column}::bpchar"  # a cast to text would strip the blanks that the server prints
    if declared == "inet":
        return f"inet_out({column})::text"  # a cast to text would add the netmask that the server leaves out
    return f"{column}::{_CASTS[storage]}"
