"""What the safety net remembers of a table that it found, or made, equal to the source: a sum of each span of its key.

The sums are the source's own, of the rows as they were then, and compared with nothing but later sums of the same
source (docs/decisions/0040). A span that has its sum still, and that the stream has not touched since, is what it was
at both ends: neither has to be read. Belongs to the stream's thread, but for what says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reflexdb.sources.changes import UNCHANGED, Op, Row, Rows
from reflexdb.sources.spans import Range, is_within, ranges_of, span_of

WHOLE_EVERY = 24
"""Every so many times a table is read whole: an hour's safety net does it once a day."""
SPANS_WANTED = 1_024
SPANS_MAX = 4_096
"""A table whose keys have grown beyond so many spans is read whole, and divided anew."""
RANGES_MAX = 200
"""Of one statement."""

Sums = Mapping[int, str | None]


def size_for(keys: Range) -> int:
    """Keys in a span, for a table whose keys lie between these."""
    return max(1, -(-(keys[1] - keys[0] + 1) // SPANS_WANTED))


class Touched:
    """Spans that the stream has changed."""

    def __init__(self, size: int, column: int) -> None:
        """`column` of the plan is the first of the table's primary key."""
        self.size = size
        self._column = column
        self._spans: set[int] = set()

    def add(self, rows: Rows) -> None:
        size, column = self.size, self._column
        self._spans.update(span_of(key[0], size) for key in rows.keys if key is not None)
        self._spans.update(
            span_of(row[column], size) for row in rows.rows if row is not None and row[column] is not UNCHANGED
        )

    def anew(self) -> Touched:
        """Nothing has been changed yet."""
        return Touched(self.size, self._column)

    def spans(self) -> set[int]:
        """A copy; from any thread."""
        return self._spans.copy()


class Ledger:
    """One table's."""

    def __init__(self, sums: Sums, touched: Touched, rounds: int) -> None:
        """`touched` has what was changed since the rows were summed up, and goes on to be told."""
        self.sums = sums
        self.touched = touched
        self.rounds = rounds
        """Since the table was last read whole."""

    def is_due(self) -> bool:
        """The table is to be read whole again."""
        return self.rounds >= WHOLE_EVERY or len(self.sums) > SPANS_MAX

    def doubtful(self, now: Sums, limits: Range) -> tuple[Range, ...]:
        """The keys whose rows may not be what they were. From any thread."""
        spans = self.touched.spans()
        spans.update(span for span in self.sums if span not in now)
        spans.update(span for span, total in now.items() if total is None or self.sums.get(span) != total)
        return ranges_of(spans, self.touched.size, limits, RANGES_MAX)


class Crossing(Exception):
    """A row came into the ranges with values that were not sent."""


def within(rows: Rows, column: int, ranges: Sequence[Range]) -> Rows:
    """What these changes are to somebody who knows the rows of the ranges alone. Raises Crossing."""
    found = Rows(rows.table)
    for op, key, row in zip(rows.ops, rows.keys, rows.rows, strict=True):
        was = key is not None and is_within(key[0], ranges)
        stays = row is not None and row[column] is UNCHANGED
        now = was if stays else row is not None and is_within(row[column], ranges)
        if was and now:
            _add(found, op, key, row)
        elif was:
            _add(found, Op.DELETE, key, None)
        elif now:
            assert row is not None
            if any(value is UNCHANGED for value in row):
                raise Crossing
            _add(found, Op.INSERT, None, row)
    return found


def _add(rows: Rows, op: Op, key: Row | None, row: Row | None) -> None:
    rows.ops.append(op)
    rows.keys.append(key)
    rows.rows.append(row)
