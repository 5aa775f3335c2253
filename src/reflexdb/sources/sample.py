"""A small part of a source that hangs together: the first rows of each table, and the rows that those lead to.

Taken by control for the tests of a build. Whatever the source holds, a sample is small: rows and bytes are bounded,
and the source is asked for no more. Rows that are led to are looked for by key, where the key is of a kind whose
values every source knows by the same text; a relation by another kind is left as it is. Knows no SQL.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from reflexdb.model.plan import ForwardRelation, Plan, PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.sources.base import Key, SnapshotReader, Some

ROWS = 100
"""First rows of a table, and rows led to by one relation at a time."""
TABLE_ROWS = 200
TABLE_BYTES = 4 << 20
ALL_BYTES = 64 << 20
"""Where these are reached the rest of a table, or of the source, is left out."""

INTEGERS = frozenset({Storage.I16, Storage.I32, Storage.I64, Storage.U64})
TEXTS = frozenset({Storage.TEXT, Storage.ENUM})


@dataclass(slots=True)
class Sampled:
    """A table's rows, in batches with the plan's columns."""

    batches: list[pa.RecordBatch]
    rows: int = 0
    bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self.batches.append(batch)
            self.rows += batch.num_rows
            self.bytes += batch.nbytes

    def keys(self, columns: Sequence[int]) -> list[Key | None]:
        """Of each row; None where a part of it is null."""
        found: list[Key | None] = []
        for batch in self.batches:
            values = [_readable(batch.column(index)).to_pylist() for index in columns]
            found += [None if None in key else tuple(map(_plain, key)) for key in zip(*values, strict=True)]
        return found


Sample = tuple[Sampled, ...]
"""One for each of the plan's tables."""


def take(reader: SnapshotReader, plan: Plan, heard: Callable[[str], None] = lambda _doing: None) -> Sample:
    """`heard` is told before each question to the source; what it raises ends the sampling. Raises SourceError."""
    sample = tuple(Sampled([]) for _ in plan.tables)
    for table, sampled in zip(plan.tables, sample, strict=True):
        heard(f"reading rows of table {table.source_name!r} for the smoke tests")
        _gather(reader, table, Some(ROWS), sample, sampled)
    for child, relation in _led(plan):
        target = plan.tables[relation.target].source_name
        heard(f"reading rows of table {target!r} by key for the smoke tests")
        _follow(reader, plan, sample, child, relation)
    return sample


def comparable(plan: Plan, child: PlannedTable, relation: ForwardRelation) -> bool:
    """Whether the relation's keys are of kinds that are equal here exactly where the server finds them equal."""
    target = plan.tables[relation.target]
    pairs = zip(relation.columns, relation.target_columns, strict=True)
    kinds = [(child.columns[own].storage, target.columns[other].storage) for own, other in pairs]
    groups = (INTEGERS, TEXTS, frozenset({Storage.UUID}))
    return all(any({own, other} <= group for group in groups) for own, other in kinds)


def _led(plan: Plan) -> Iterator[tuple[int, ForwardRelation]]:
    """Children before what they lead to, as far as there is such an order: what was found leads on."""
    left, seen, order = list(range(len(plan.tables))), set[int](), list[int]()
    led_by: dict[int, set[int]] = {index: set() for index in left}
    for index, table in enumerate(plan.tables):
        for relation in table.forward:
            led_by[relation.target].add(index)
    while left:
        free = [index for index in left if led_by[index] - {index} <= seen] or left[:1]
        order += free
        seen.update(free)
        left = [index for index in left if index not in seen]
    for index in order:
        for relation in plan.tables[index].forward:
            yield index, relation


def _follow(reader: SnapshotReader, plan: Plan, sample: Sample, child: int, relation: ForwardRelation) -> None:
    target, there = plan.tables[relation.target], sample[relation.target]
    if not target.primary_key or not comparable(plan, plan.tables[child], relation):
        return
    known = set(there.keys(relation.target_columns))
    missing = [key for key in dict.fromkeys(sample[child].keys(relation.columns)) if key and key not in known]
    if missing:
        keys = tuple(missing[:ROWS])
        wanted = Some(len(keys), relation.target_columns, keys)
        _gather(reader, target, wanted, sample, there, known_by=target.primary_key)


def _gather(
    reader: SnapshotReader,
    table: PlannedTable,
    wanted: Some,
    sample: Sample,
    sampled: Sampled,
    known_by: tuple[int, ...] = (),
) -> None:
    """Add rows, each once, as long as there is room."""
    known = set(sampled.keys(known_by)) if known_by else set()
    others = sum(each.bytes for each in sample) - sampled.bytes
    if others + sampled.bytes >= ALL_BYTES:
        return
    for batch in reader.some(table, wanted):
        fresh = batch
        if known_by:
            one = Sampled([batch])
            fresh = batch.filter(pa.array([key not in known for key in one.keys(known_by)]))
        room = TABLE_ROWS - sampled.rows
        sampled.add(fresh.slice(0, room))
        if sampled.rows >= TABLE_ROWS or sampled.bytes >= TABLE_BYTES or others + sampled.bytes >= ALL_BYTES:
            return


def _readable(array: pa.Array) -> pa.Array:
    """Moments as the numbers that they are: some are beyond Python's."""
    if pa.types.is_timestamp(array.type):
        return array.view(pa.int64())
    return array.view(pa.int32()) if pa.types.is_date32(array.type) else array


def _plain(value: Any) -> int | str:
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()
    return value if isinstance(value, int) else str(value)
