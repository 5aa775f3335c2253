"""Matches a TABLE_MAP with the plan: how to pass over each column at the source, and how to decode the planned ones.

The declared types of the plan say what a column means; the TABLE_MAP says what is in the event. Where the two do not
fit the definition has changed, and `layout` says what: nothing is decoded by a guess. Pure.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

from reflexdb.model.plan import PlannedColumn, PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.sources.mysql.binlog import cells, geojson, jsonb
from reflexdb.sources.mysql.binlog import tablemap as kinds
from reflexdb.sources.mysql.binlog.cells import Cell, Skip
from reflexdb.sources.mysql.binlog.charsets import Decode
from reflexdb.sources.mysql.binlog.images import Field
from reflexdb.sources.mysql.binlog.labels import labels_are_certain, labels_of
from reflexdb.sources.mysql.binlog.tablemap import MapColumn, TableMap
from reflexdb.sources.mysql.types import GEOMETRY, base_of, storage_of

_INTEGERS = {kinds.TINY: 1, kinds.SHORT: 2, kinds.INT24: 3, kinds.LONG: 4, kinds.LONGLONG: 8}
_SIZES = _INTEGERS | {kinds.FLOAT: 4, kinds.DOUBLE: 8, kinds.YEAR: 1, kinds.DATE: 3, kinds.NEWDATE: 3, kinds.TIME: 3,
                      kinds.DATETIME: 8, kinds.TIMESTAMP: 4, kinds.NULL: 0}  # fmt: skip
_FRACTIONS = {kinds.TIMESTAMP2: 4, kinds.DATETIME2: 5, kinds.TIME2: 3}
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BLOBS = {"tiny": 1, "": 2, "medium": 3, "long": 4}
_STRINGS = {kinds.STRING, kinds.VARCHAR, kinds.VAR_STRING}
_COMPRESSED = {kinds.BLOB_COMPRESSED, kinds.VARCHAR_COMPRESSED}
# fmt: off
_EXPECTED: dict[str, set[int]] = {
    "tinyint": {kinds.TINY}, "smallint": {kinds.SHORT}, "mediumint": {kinds.INT24}, "int": {kinds.LONG},
    "bigint": {kinds.LONGLONG}, "float": {kinds.FLOAT}, "double": {kinds.DOUBLE}, "decimal": {kinds.NEWDECIMAL},
    "bit": {kinds.BIT}, "year": {kinds.YEAR}, "date": {kinds.DATE, kinds.NEWDATE},
    "datetime": {kinds.DATETIME, kinds.DATETIME2}, "timestamp": {kinds.TIMESTAMP, kinds.TIMESTAMP2},
    "time": {kinds.TIME, kinds.TIME2}, "enum": {kinds.ENUM}, "set": {kinds.SET}, "json": {kinds.JSON},
    "char": {kinds.STRING}, "binary": {kinds.STRING}, "uuid": {kinds.STRING}, "inet6": {kinds.STRING},
    "inet4": {kinds.STRING}, "varchar": {kinds.VARCHAR, kinds.VAR_STRING, kinds.VARCHAR_COMPRESSED},
    "varbinary": {kinds.VARCHAR, kinds.VAR_STRING, kinds.VARCHAR_COMPRESSED},
    **{f"{size}{what}": {kinds.BLOB, kinds.BLOB_COMPRESSED} for size in _BLOBS for what in ("text", "blob")},
    **{name: {kinds.GEOMETRY} for name in GEOMETRY},
}
# fmt: on
_NUMBERS = re.compile(r"\((\d+)(?:,(\d+))?\)")


@dataclass(frozen=True, slots=True)
class Described:
    """What information_schema says of a column, in the order of the table."""

    name: str
    declared: str
    charset: str | None


@dataclass(frozen=True, slots=True)
class Charsets:
    """How text is decoded: the character set of each collation, and a decoder of each set."""

    of_collation: Mapping[int, str]
    decoders: Mapping[str, Decode]


@dataclass(frozen=True, slots=True)
class Layout:
    """One table as its events have it."""

    fields: tuple[Field, ...]
    planned: tuple[int, ...]
    """For each planned column, its place in `fields`."""
    by_name: Mapping[str, int]


class Drift(Exception):
    """The table in the log is not the table of the plan; the message says in what."""


class Hidden(Exception):
    """The table is that of the plan, and rows of it in the log cannot be read; the message says why."""


def layout(
    found: TableMap, table: PlannedTable, described: tuple[Described, ...], charsets: Charsets, *, mariadb: bool
) -> Layout:
    """How to decode the rows that follow a TABLE_MAP. Raises Drift."""
    names = _names(found, described)
    by_name = {name: index for index, name in enumerate(names)}
    wanted = {column.source_name: column for column in table.columns}
    declared_charsets = {column.name: column.charset for column in described}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise Drift(f"column {missing[0]!r} is no longer there")
    fields = []
    for name, column in zip(names, found.columns, strict=True):
        cell = None
        if name in wanted:
            _compare(column, wanted[name])
            charset = _charset(column, declared_charsets.get(name), charsets)
            cell = _cell(column, wanted[name], charset, charsets, mariadb=mariadb)
        fields.append(Field(name, skip_of(column), cell))
    return Layout(tuple(fields), tuple(by_name[name] for name in wanted), by_name)


def bare_layout(found: TableMap, described: tuple[Described, ...]) -> Layout:
    """A layout in which nothing is decoded, for tables of which only keys are compared. Raises Drift."""
    names = _names(found, described)
    fields = tuple(Field(name, skip_of(column), None) for name, column in zip(names, found.columns, strict=True))
    return Layout(fields, (), {name: index for index, name in enumerate(names)})


def some_layout(
    found: TableMap, described: tuple[Described, ...], wanted: tuple[str, ...], charsets: Charsets, *, mariadb: bool
) -> Layout | None:
    """How to decode some columns of a table that need not be planned, whose names are compared without case; None where
    that is not known."""
    try:
        names = [name.lower() for name in _names(found, described)]
        declared = {column.name.lower(): column for column in described}
        fields, cells = [], {}
        for name in dict.fromkeys(map(str.lower, wanted)):
            column, storage = declared[name], storage_of(declared[name].declared)
            if storage is None:
                return None
            planned = PlannedColumn(name, name, storage, column.declared, True)
            place = names.index(name)
            _compare(found.columns[place], planned)
            cells[place] = _cell(found.columns[place], planned, column.charset, charsets, mariadb=mariadb)
        fields = [Field(name, skip_of(column), cells.get(place)) for place, (name, column) in
                  enumerate(zip(names, found.columns, strict=True))]  # fmt: skip
    except (Drift, Hidden, KeyError, ValueError):
        return None
    return Layout(tuple(fields), tuple(names.index(name.lower()) for name in wanted), {})


def _names(found: TableMap, described: tuple[Described, ...]) -> list[str]:
    """The columns' names: from the event where it has them, else in the order the server describes them."""
    names = [column.name for column in found.columns]
    if all(name is not None for name in names):
        return [str(name) for name in names]
    if len(described) != len(names):
        raise Drift(f"it has {len(names)} columns in the log and {len(described)} now")
    return [column.name for column in described]


def _compare(column: MapColumn, planned: PlannedColumn) -> None:
    declared = planned.declared_type.lower()
    base = base_of(declared)
    if column.kind not in _EXPECTED.get(base, set()):
        raise Drift(f"column {planned.source_name!r} is no longer {declared}")
    numbers = _NUMBERS.search(declared.partition("'")[0])
    first, second = (int(numbers[1]), int(numbers[2] or 0)) if numbers else (0, 0)
    fits = True
    if column.kind == kinds.NEWDECIMAL:
        fits = column.meta == (first << 8 | second)
    elif column.kind == kinds.BIT or column.kind in _FRACTIONS:
        fits = column.meta == first
    elif column.kind in (kinds.TIMESTAMP, kinds.DATETIME, kinds.TIME):
        fits = first == 0
    elif column.kind == kinds.BLOB:
        fits = column.meta == _BLOBS[base.removesuffix("text").removesuffix("blob")]
    elif column.labels is not None and column.kind in (kinds.ENUM, kinds.SET):
        fits = len(column.labels) == len(labels_of(declared))
    if column.unsigned is not None and column.kind in _INTEGERS:
        fits = fits and column.unsigned == _is_unsigned(declared)
    if not fits:
        raise Drift(f"column {planned.source_name!r} is no longer {declared}")


def _is_unsigned(declared: str) -> bool:
    return "unsigned" in declared or "zerofill" in declared


def _charset(column: MapColumn, declared: str | None, charsets: Charsets) -> str | None:
    if column.collation is None:
        return declared
    return charsets.of_collation.get(column.collation, declared)


def skip_of(column: MapColumn) -> Skip:
    """How to pass over a value of this column."""
    kind, meta = column.kind, column.meta
    if kind in _SIZES:
        return cells.fixed(_SIZES[kind])
    if kind in _FRACTIONS:
        return cells.fixed(_FRACTIONS[kind] + (meta + 1) // 2)
    if kind in (kinds.ENUM, kinds.SET):
        return cells.fixed(meta)
    if kind == kinds.BIT:
        return cells.fixed((meta + 7) // 8)
    if kind == kinds.NEWDECIMAL:
        return cells.fixed(cells.decimal_bytes(meta >> 8, meta & 255))
    return cells.prefixed(_prefix(column))


def _prefix(column: MapColumn) -> int:
    """Bytes of the length before a value."""
    if column.kind in _STRINGS or column.kind == kinds.VARCHAR_COMPRESSED:
        return 1 if column.meta < 256 else 2
    if column.meta not in (1, 2, 3, 4):
        raise ValueError(f"a length cannot have {column.meta} bytes")
    return column.meta


def _cell(column: MapColumn, planned: PlannedColumn, charset: str | None, charsets: Charsets, *, mariadb: bool) -> Cell:
    kind, meta, declared = column.kind, column.meta, planned.declared_type.lower()
    if kind in _INTEGERS:
        if planned.storage is Storage.BOOL:
            return cells.boolean(1)
        return cells.integer(_INTEGERS[kind], unsigned=_is_unsigned(declared))
    numbers = _NUMBERS.search(declared.partition("'")[0])
    if kind == kinds.DOUBLE and numbers is not None and numbers[2] is not None:
        return cells.rounded(int(numbers[2]))
    simple = _simple(kind, meta)
    if simple is not None:
        return simple
    if kind == kinds.BIT:
        return cells.boolean(1) if planned.storage is Storage.BOOL else cells.bits(meta)
    if kind == kinds.NEWDECIMAL:
        return cells.decimal(meta >> 8, meta & 255)
    if kind in (kinds.ENUM, kinds.SET):
        return _choice(column, planned, charset, charsets)
    if kind == kinds.JSON:
        return cells.prefixed_value(_prefix(column), jsonb.text)
    if kind == kinds.GEOMETRY:
        number = geojson.mariadb_number if mariadb else geojson.mysql_number
        return cells.prefixed_value(_prefix(column), lambda data: geojson.geojson(data, number))
    return _string(column, planned, charset, charsets)


def _simple(kind: int, meta: int) -> Cell | None:
    """Cells of the types that have one form each."""
    if kind in (kinds.FLOAT, kinds.DOUBLE):
        return cells.floating(_SIZES[kind])
    if kind == kinds.TIMESTAMP2:
        return cells.instant(meta)
    if kind == kinds.DATETIME2:
        return cells.moment(meta)
    if kind == kinds.TIME2:
        return cells.duration(meta)
    return {
        kinds.YEAR: cells.year,
        kinds.DATE: cells.day,
        kinds.NEWDATE: cells.day,
        kinds.TIMESTAMP: cells.old_instant,
        kinds.DATETIME: cells.old_moment,
        kinds.TIME: cells.old_duration,
    }.get(kind)


def _choice(column: MapColumn, planned: PlannedColumn, charset: str | None, charsets: Charsets) -> Cell:
    labels = labels_of(planned.declared_type)
    decode = charsets.decoders.get(charset or "")
    if column.labels is not None and decode is not None:
        labels = tuple(decode(label) for label in column.labels)
    elif not labels_are_certain(planned.declared_type):
        raise Hidden(f"the catalog has no certain labels of column {planned.source_name!r}, and the log has none")
    if column.kind == kinds.ENUM:
        return cells.chosen(column.meta, labels)

    @lru_cache(4096)
    def written(bits: int) -> str:
        return json.dumps([label for index, label in enumerate(labels) if bits >> index & 1], ensure_ascii=False)

    return cells.members(column.meta, written)


def _string(column: MapColumn, planned: PlannedColumn, charset: str | None, charsets: Charsets) -> Cell:
    """Text and bytes, and the types MariaDB keeps as bytes."""
    prefix, base = _prefix(column), base_of(planned.declared_type)
    if base in _TEXTS:
        if charset == "utf8mb4" and column.kind not in _COMPRESSED:
            return cells.utf8_text(prefix)
        decode = charsets.decoders.get(charset or "")
        if decode is None:
            raise ValueError(
                f"column {planned.source_name!r} is in character set {charset!r}, which cannot be followed; exclude "
                "the column in reflexdb.yaml, or convert it to utf8mb4"
            )
        return cells.prefixed_value(prefix, _unpacked(decode) if column.kind in _COMPRESSED else decode)
    if column.kind in _COMPRESSED:
        return cells.prefixed_value(prefix, uncompressed)
    return cells.prefixed_value(prefix, _bytes_converter(base, column.meta))


def _bytes_converter(base: str, size: int) -> Callable[[bytes], Any] | None:
    """The server strips zero bytes from the end of values that have a fixed length; they are put back."""
    if base in ("binary", "uuid"):
        return lambda data: data.ljust(size, b"\0")
    if base == "inet6":
        return lambda data: inet6(data.ljust(16, b"\0"))
    if base == "inet4":
        return lambda data: str(IPv4Address(data.ljust(4, b"\0")))
    return None


def _unpacked(decode: Decode) -> Decode:
    return lambda data: decode(uncompressed(data))


def uncompressed(data: bytes) -> bytes:
    """A value of a COMPRESSED column of MariaDB: its length and deflated bytes, or the bytes behind a zero."""
    if not data or data[0] == 0:
        return data[1:]
    first, length_bytes = data[0], data[0] & 7
    if first >> 4 != 8:
        raise ValueError("a compressed value has an unknown method")
    size = int.from_bytes(data[1 : 1 + length_bytes], "big")
    try:
        plain = zlib.decompressobj(-15 if first & 8 else 15).decompress(data[1 + length_bytes :], size + 1)
    except zlib.error as error:
        raise ValueError(f"a compressed value is damaged ({error})") from error
    if len(plain) != size:
        raise ValueError("a compressed value does not have its length")
    return plain


def inet6(data: bytes) -> str:
    """An address as MariaDB prints it: the longest run of zeros as `::`, and dotted where it holds an IPv4 address."""
    words = [data[at] << 8 | data[at + 1] for at in range(0, 16, 2)]
    start, length = _longest_zeros(words)
    tail = ""
    if start == 0 and (length == 6 or (length == 5 and words[5] == 0xFFFF)):
        tail, words = str(IPv4Address(data[12:])), words[:6]
    if not length:
        return ":".join(f"{word:x}" for word in words)
    before = ":".join(f"{word:x}" for word in words[:start])
    after = [f"{word:x}" for word in words[start + length :]] + ([tail] if tail else [])
    return f"{before}::{':'.join(after)}"


def _longest_zeros(words: list[int]) -> tuple[int, int]:
    best, best_length, start = 0, 0, 0
    for index in range(len(words) + 1):
        if index == len(words) or words[index]:
            if index - start > best_length:
                best, best_length = start, index - start
            start = index + 1
    return best, best_length
