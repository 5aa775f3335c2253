"""Puts the cells of one table together: row events in, keys and rows out.

A layout is made once for each TABLE_MAP and set of columns present. The bytes of an event were checked by its
checksum, so a row that cannot be decoded is a misunderstanding of ours: it raises ValueError, with the column's name
where it can be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import error as struct_error
from typing import Any

from reflexdb.sources.changes import UNCHANGED, Row
from reflexdb.sources.mysql.binlog.cells import Cell, Skip

MALFORMED = (ValueError, IndexError, struct_error, OverflowError)
"""What decoding bytes that are no rows may raise; KeyError and TypeError would be mistakes of ours."""
Image = Callable[[bytes, int], tuple[Row, int]]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table at the source: how to pass over it, and how to decode it if it is wanted."""

    name: str
    skip: Skip
    cell: Cell | None
    """None where the column is of no interest."""


def image(fields: Sequence[Field], wanted: Sequence[int], present: bytes) -> Image:
    """A decoder of one row: the values of `wanted`, which are indices of fields, in that order. A wanted field that
    is not in the event is UNCHANGED.
    """
    here = [index for index in range(len(fields)) if present[index >> 3] >> (index & 7) & 1]
    place = {index: number for number, index in enumerate(here)}
    bitmap = (len(here) + 7) // 8
    steps = [_step(fields[index], index in wanted) for index in here]
    order = [place.get(index, -1) for index in wanted]
    straight = order == list(range(len(here)))

    def decode(data: bytes, at: int) -> tuple[Row, int]:
        start = at + bitmap
        nulls = int.from_bytes(data[at:start], "little")
        at = start
        values: list[Any] = []
        append = values.append
        if nulls:
            for step in steps:
                if nulls & 1:
                    append(None)
                else:
                    value, at = step(data, at)
                    append(value)
                nulls >>= 1
        else:
            for step in steps:
                value, at = step(data, at)
                append(value)
        if straight:
            return tuple(values), at
        return tuple([values[index] if index >= 0 else UNCHANGED for index in order]), at

    return decode


def _step(field: Field, is_wanted: bool) -> Cell:
    if is_wanted and field.cell is not None:
        return field.cell
    skip = field.skip
    return lambda data, at: (None, skip(data, at))


def raw_image(fields: Sequence[Field], wanted: Sequence[int], present: bytes) -> Image:
    """The bytes of some columns as they are in the event, to see whether they changed; None for null or absent."""
    return image([Field(field.name, field.skip, _raw(field.skip)) for field in fields], wanted, present)


def _raw(skip: Skip) -> Cell:
    def cell(data: bytes, at: int) -> tuple[bytes, int]:
        end = skip(data, at)
        return data[at:end], end

    return cell


def singles(data: bytes, at: int, decode: Image) -> Iterator[Row]:
    """The rows of an event that inserts or deletes. Raises one of MALFORMED."""
    end = len(data)
    while at < end:
        row, following = decode(data, at)
        if following <= at:
            raise ValueError("a row without any bytes")
        at = following
        if at > end:
            raise ValueError("a row runs past the end of its event")
        yield row


def pairs(data: bytes, at: int, before: Image, after: Image) -> Iterator[tuple[Row, Row]]:
    """The images before and after, of an event that updates. Raises one of MALFORMED."""
    end = len(data)
    while at < end:
        old, middle = before(data, at)
        new, following = after(data, middle)
        if following <= at:
            raise ValueError("a row without any bytes")
        at = following
        if at > end:
            raise ValueError("a row runs past the end of its event")
        yield old, new


def culprit(fields: Sequence[Field], present: tuple[bytes, bytes], data: bytes, *, is_update: bool) -> str | None:
    """The name of the first column of an event that cannot be decoded; None where it cannot be said."""
    at, number = 0, 0
    while at < len(data):
        bits = present[number & 1 if is_update else 0]
        number += 1
        here = [field for index, field in enumerate(fields) if bits[index >> 3] >> (index & 7) & 1]
        start = at + (len(here) + 7) // 8
        nulls = int.from_bytes(data[at:start], "little")
        at = start
        for index, field in enumerate(here):
            if nulls >> index & 1:
                continue
            try:
                _, at = _step(field, True)(data, at)
            except MALFORMED:
                return field.name
        if not here:
            break
    return None
