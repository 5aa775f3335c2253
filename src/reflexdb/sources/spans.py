"""Spans of a table's key: equal shares of the integers that the first column of a primary key may have.

Both the sources, which sum up rows by span, and the safety net, which knows the spans of changed rows, count them
alike: `span` is the key divided by the size, cut towards zero as SQL does it. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from reflexdb.model.plan import PlannedTable
from reflexdb.model.storage import Storage

Range = tuple[int, int]
"""First and last key, both within."""
SIGNED: Range = (-(1 << 63), (1 << 63) - 1)
UNSIGNED: Range = (0, (1 << 64) - 1)


def limits_of(storage: Storage) -> Range | None:
    """Between which a key of this storage is; None where it is no integer."""
    if storage in (Storage.I16, Storage.I32, Storage.I64):
        return SIGNED
    return UNSIGNED if storage is Storage.U64 else None


def span_of(key: int, size: int) -> int:
    return key // size if key >= 0 else -(-key // size)


def keys_of(span: int, size: int) -> Range:
    """The keys of a span. That of 0 has both the positive and the negative ones."""
    if span == 0:
        return (1 - size, size - 1)
    return (span * size, span * size + size - 1) if span > 0 else (span * size - size + 1, span * size)


def ranges_of(spans: Iterable[int], size: int, limits: Range, most: int) -> tuple[Range, ...]:
    """The keys of these spans, in order and apart, within the limits; at most so many ranges, for which the narrowest
    gaps are filled."""
    found: list[Range] = []
    for first, last in sorted(keys_of(span, size) for span in spans):
        first, last = max(first, limits[0]), min(last, limits[1])
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    if len(found) <= most:
        return tuple(found)
    widest = sorted(range(1, len(found)), key=lambda at: found[at - 1][1] - found[at][0])[: most - 1]
    ends = [0, *sorted(widest), len(found)]
    return tuple((found[start][0], found[end - 1][1]) for start, end in pairwise(ends))


def is_within(key: int, ranges: Sequence[Range]) -> bool:
    at = bisect_right(ranges, key, key=lambda each: each[0])
    return at > 0 and key <= ranges[at - 1][1]


def condition(table: PlannedTable, key: str = "", ranges: Sequence[Range] = ()) -> str:
    """What follows a statement that reads the table's rows in these ranges of the quoted column; the SQL of both."""
    found = [" OR ".join(f"{key} BETWEEN {first:d} AND {last:d}" for first, last in ranges)] if ranges else []
    if table.where is not None:
        found.append(f"{table.where}\n")
    return f" WHERE {' AND '.join(f'({each})' for each in found)}" if found else ""
