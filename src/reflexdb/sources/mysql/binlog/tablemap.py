"""Reads TABLE_MAP events: which table the rows that follow belong to, and how its columns are laid out.

The optional metadata (binlog_row_metadata) is read as far as it is there: with FULL it has names, signs, character
sets and the labels of enumerations; without it only the types are known. Pure; raises ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reflexdb.sources.mysql.binlog.reader import Reader

# fmt: off
DECIMAL, TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24, DATE, TIME, DATETIME, YEAR = range(14)
NEWDATE, VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2, TYPED_ARRAY = range(14, 21)
BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR, JSON, NEWDECIMAL, ENUM, SET = 140, 141, 242, 245, 246, 247, 248
TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, VAR_STRING, STRING, GEOMETRY = 249, 250, 251, 252, 253, 254, 255

_ONE_BYTE = {FLOAT, DOUBLE, BLOB, GEOMETRY, JSON, TIMESTAMP2, DATETIME2, TIME2, BLOB_COMPRESSED, VECTOR}
_TWO_BYTES = {VARCHAR, BIT, NEWDECIMAL, VAR_STRING, STRING, ENUM, SET, VARCHAR_COMPRESSED}
_PLAIN = {TINY, SHORT, LONG, TIMESTAMP, LONGLONG, INT24, DATE, TIME, DATETIME, YEAR, NEWDATE, NULL}
_NUMERIC = {TINY, SHORT, INT24, LONG, LONGLONG, NEWDECIMAL, FLOAT, DOUBLE}
_CHARACTER = {STRING, VAR_STRING, VARCHAR, BLOB, BLOB_COMPRESSED, VARCHAR_COMPRESSED}
# fmt: on


@dataclass(slots=True)
class MapColumn:
    """One column of a TABLE_MAP. `kind` is ENUM or SET where STRING only carries them."""

    kind: int
    meta: int
    """STRING: bytes at most. NEWDECIMAL: precision << 8 | scale. BIT: bits. Others as they come."""
    nullable: bool = True
    name: str | None = None
    collation: int | None = None
    labels: tuple[bytes, ...] | None = None
    unsigned: bool | None = None


@dataclass(frozen=True, slots=True)
class TableMap:
    schema: str
    table: str
    columns: tuple[MapColumn, ...]
    key: tuple[int, ...] | None = field(default=None)
    """Columns of the primary key, where the metadata tells."""


def table_id(body: bytes) -> int:
    """The number by which the rows that follow name this table; it is first in the body of TABLE_MAP and of rows."""
    return int.from_bytes(body[:6], "little")


def table_map(body: bytes, *, mariadb: bool) -> TableMap:
    """Read a TABLE_MAP event's body. Raises ValueError."""
    reader = Reader(body)
    reader.take(8)
    schema = _zero_ended(reader)
    table = _zero_ended(reader)
    kinds = reader.take(reader.packed())
    metas = Reader(reader.string())
    columns = tuple(_column(kind, metas) for kind in kinds)
    nulls = reader.take((len(kinds) + 7) // 8)
    for index, column in enumerate(columns):
        column.nullable = bool(nulls[index >> 3] >> (index & 7) & 1)
    key = _metadata(reader, columns, mariadb=mariadb)
    return TableMap(schema, table, columns, key)


def _zero_ended(reader: Reader) -> str:
    name = reader.take(reader.integer(1)).decode("utf-8", "surrogateescape")
    reader.take(1)
    return name


def _column(kind: int, metas: Reader) -> MapColumn:
    if kind in _PLAIN:
        return MapColumn(kind, 0)
    if kind in _ONE_BYTE:
        return MapColumn(kind, metas.integer(1))
    if kind not in _TWO_BYTES:
        raise ValueError(f"column type {kind} is not known")
    low, high = metas.integer(1), metas.integer(1)
    if kind == BIT:
        return MapColumn(kind, low + 8 * high)
    if kind == NEWDECIMAL:
        return MapColumn(kind, low << 8 | high)
    if kind == STRING:
        if low in (ENUM, SET):
            return MapColumn(low, high)
        return MapColumn(kind, high | ((low & 0x30) ^ 0x30) << 4)
    return MapColumn(kind, low | high << 8)


def _metadata(reader: Reader, columns: tuple[MapColumn, ...], *, mariadb: bool) -> tuple[int, ...] | None:
    also = GEOMETRY if mariadb else VECTOR
    characters = [column for column in columns if column.kind in _CHARACTER or column.kind == also]
    choices = [column for column in columns if column.kind in (ENUM, SET)]
    key = None
    while reader.left:
        field_type = reader.integer(1)
        value = Reader(reader.string())
        if field_type == 1:
            _signs(value.rest(), columns, mariadb=mariadb)
        elif field_type in (2, 10):
            _default_collations(value, characters if field_type == 2 else choices)
        elif field_type in (3, 11):
            for column in characters if field_type == 3 else choices:
                column.collation = value.packed()
        elif field_type == 4:
            for column in columns:
                column.name = value.string().decode("utf-8", "surrogateescape")
        elif field_type in (5, 6):
            for column in columns:
                if column.kind == (SET if field_type == 5 else ENUM):
                    column.labels = tuple(value.string() for _ in range(value.packed()))
        elif field_type in (8, 9):
            key = tuple(_key(value, has_prefix=field_type == 9))
    return key


def _signs(bits: bytes, columns: tuple[MapColumn, ...], *, mariadb: bool) -> None:
    numeric = [column for column in columns if column.kind in _NUMERIC or (mariadb and column.kind == YEAR)]
    for index, column in enumerate(numeric):
        if index >> 3 >= len(bits):
            raise ValueError("the signs of a table's columns are cut short")
        column.unsigned = bool(bits[index >> 3] & 0x80 >> (index & 7))


def _default_collations(value: Reader, columns: list[MapColumn]) -> None:
    common = value.packed()
    for column in columns:
        column.collation = common
    while value.left:
        index = value.packed()
        if index >= len(columns):
            raise ValueError("a character set is given for a column that is not there")
        columns[index].collation = value.packed()


def _key(value: Reader, *, has_prefix: bool) -> list[int]:
    found = []
    while value.left:
        found.append(value.packed())
        if has_prefix:
            value.packed()
    return found
