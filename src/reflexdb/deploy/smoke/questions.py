"""What a new server is asked, and what it must answer: made from its plan and the rows that it was given. Pure.

Every table is asked for all its columns and for how many rows it has, every relation for what it leads to, in both
directions and one inside another. Of an answer, the fields and their order, the JSON type of each value, and how many
rows there are in all are compared with what the rows say. Where the equality of a relation's keys can't be told here
(floating point, say), how many rows are related is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reflexdb.model.plan import ForwardRelation, Plan, PlannedColumn, PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.sources.base import Key
from reflexdb.sources.sample import Sample, comparable

MAX_INSIDE = 3
"""Relations of a related table that are asked for inside of one."""

_NUMBERS = (int, float)
_TYPES: Mapping[Storage, tuple[type, ...]] = {
    Storage.BOOL: (bool,),
    Storage.I16: (int,),
    Storage.I32: (int,),
    Storage.I64: (int,),
    Storage.U64: (int,),
    Storage.F32: _NUMBERS,
    Storage.F64: _NUMBERS,
    Storage.DECIMAL: _NUMBERS,
}
"""What a value may be as JSON; a string where nothing is said, and anything of a column of JSON."""
_HAVE_NULLS_OF_THEIR_OWN = frozenset({Storage.F32, Storage.F64, Storage.DECIMAL, Storage.JSON})
"""NaN and infinities have no JSON, and JSON has a null itself."""

Json = Any
Check = Callable[[Json], str]
"""What was found, in a few words. Raises Wrong."""


class Wrong(Exception):
    """An answer that is not what the rows say; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    query: str
    check: Check


@dataclass(frozen=True, slots=True)
class _Relation:
    """One direction of a foreign key, as queries see it."""

    name: str
    table: int
    to: int
    many: bool
    child: int
    forward: ForwardRelation


def questions(plan: Plan, sample: Sample) -> Iterator[Question]:
    """Tables first: where one of them can't be asked, neither can its relations."""
    for index in range(len(plan.tables)):
        yield from _of_table(plan, sample, index)
    for index in range(len(plan.tables)):
        for relation in _relations(plan, index):
            yield _of_relation(plan, sample, relation)
            yield from _nested(plan, sample, relation)


def _of_table(plan: Plan, sample: Sample, index: int) -> Iterator[Question]:
    table, rows = plan.tables[index], sample[index].rows
    nulls = [
        sum(batch.column(place).null_count for batch in sample[index].batches) for place in range(len(table.columns))
    ]
    columns = [(column, nulls[place]) for place, column in enumerate(table.columns) if column.visible]
    if columns:
        fields = " ".join(_quoted(column.name) for column, _ in columns)
        yield Question(table.name, f"{_quoted(table.name)} {{ {fields} }}", lambda answer: _rows(answer, columns, rows))

    def counted(answer: Json) -> str:
        if answer != {"count": rows}:
            raise Wrong(f"expected a count of {rows}, got {_shown(answer)}")
        return f"{rows} counted"

    yield Question(f"{table.name} count", f"{_quoted(table.name)} {{ count() }}", counted)


def _of_relation(plan: Plan, sample: Sample, relation: _Relation) -> Question:
    table, other = plan.tables[relation.table], plan.tables[relation.to]
    rows, related = sample[relation.table].rows, _related(plan, sample, relation)
    query = f"{_quoted(table.name)} {{ {_quoted(relation.name)} {{ {_first(other)} }} }}"

    def check(answer: Json) -> str:
        found = list(_through(_array(answer, rows), relation))
        _same(found, related, f"rows by {relation.name!r}")
        return f"{rows} rows with {len(found)} related"

    return Question(f"{table.name}.{relation.name}", query, check)


def _nested(plan: Plan, sample: Sample, outer: _Relation) -> Iterator[Question]:
    """From each related row on: back, too, where the relation has another direction."""
    table = plan.tables[outer.table]
    for inner in islice(_relations(plan, outer.to), MAX_INSIDE):
        field = f"{_quoted(inner.name)} {{ {_first(plan.tables[inner.to])} }}"
        query = f"{_quoted(table.name)} {{ {_quoted(outer.name)} {{ {field} }} }}"
        yield Question(f"{table.name}.{outer.name}.{inner.name}", query, _nested_check(plan, sample, outer, inner))


def _nested_check(plan: Plan, sample: Sample, outer: _Relation, inner: _Relation) -> Check:
    rows = sample[outer.table].rows
    expected = _related_twice(plan, sample, outer, inner)

    def check(answer: Json) -> str:
        between = list(_through(_array(answer, rows), outer))
        found = list(_through(between, inner))
        _same(between, _related(plan, sample, outer), f"rows by {outer.name!r}")
        _same(found, expected, f"rows by {outer.name!r} and {inner.name!r}")
        return f"{rows} rows with {len(between)} related, and {len(found)} to those"

    return check


def _relations(plan: Plan, index: int) -> Iterator[_Relation]:
    """Those to a table of which something can be seen."""
    table = plan.tables[index]
    for key in table.forward:
        if key.visible and _visible(plan.tables[key.target]):
            yield _Relation(key.name, index, key.target, False, index, key)
    for back in table.reverse:
        if _visible(plan.tables[back.child]):
            yield _Relation(
                back.name, index, back.child, True, back.child, plan.tables[back.child].forward[back.forward]
            )


def _related(plan: Plan, sample: Sample, relation: _Relation) -> int | None:
    """How many rows are reached from all rows together; None where that can't be told."""
    steps = _steps(plan, sample, relation)
    return None if steps is None else sum(len(each) for each in steps)


def _related_twice(plan: Plan, sample: Sample, outer: _Relation, inner: _Relation) -> int | None:
    first, second = _steps(plan, sample, outer), _steps(plan, sample, inner)
    if first is None or second is None:
        return None
    return sum(len(second[row]) for rows in first for row in rows)


def _steps(plan: Plan, sample: Sample, relation: _Relation) -> list[Sequence[int]] | None:
    """For each row, the rows that it is related to."""
    child, key = plan.tables[relation.child], relation.forward
    if not comparable(plan, child, key):
        return None
    own, theirs = sample[relation.child].keys(key.columns), sample[key.target].keys(key.target_columns)
    here, there = (theirs, own) if relation.many else (own, theirs)
    places: dict[Key, list[int]] = {}
    for place, value in enumerate(there):
        if value is not None:
            places.setdefault(value, []).append(place)
    return [places.get(value, ()) if value is not None else () for value in here]


def _rows(answer: Json, columns: Sequence[tuple[PlannedColumn, int]], rows: int) -> str:
    """Each of the columns comes with how many of its values are null."""
    found = _array(answer, rows)
    names = [column.name for column, _ in columns]
    for row in found:
        if list(row) != names:
            raise Wrong(f"expected the fields {', '.join(names)}, got {', '.join(row)}")
    for column, nulls in columns:
        kinds = Counter(type(row[column.name]) for row in found)
        got = kinds.pop(type(None), 0)
        if got != nulls and column.storage not in _HAVE_NULLS_OF_THEIR_OWN:
            raise Wrong(f"expected {nulls} nulls in field {column.name!r}, got {got}")
        for kind in kinds:
            if column.storage is not Storage.JSON and kind not in _TYPES.get(column.storage, (str,)):
                raise Wrong(f"field {column.name!r} ({column.declared_type}) has a JSON {_word(kind)}")
    return f"{rows} rows of {len(columns)} fields"


def _array(answer: Json, rows: int) -> list[dict[str, Json]]:
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise Wrong("expected an array of objects")
    if len(answer) != rows:
        raise Wrong(f"expected {rows} rows, got {len(answer)}")
    return answer


def _through(rows: Sequence[dict[str, Json]], relation: _Relation) -> Iterator[dict[str, Json]]:
    """The related rows of all."""
    for row in rows:
        value = row.get(relation.name)
        if relation.many:
            if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
                raise Wrong(f"expected an array for {relation.name!r}")
            yield from value
        elif isinstance(value, dict):
            yield value
        elif value is not None or relation.name not in row:
            raise Wrong(f"expected an object or null for {relation.name!r}")


def _same(found: Sequence[Json], expected: int | None, what: str) -> None:
    if expected is not None and len(found) != expected:
        raise Wrong(f"expected {expected} {what}, got {len(found)}")


def _visible(table: PlannedTable) -> list[PlannedColumn]:
    return [column for column in table.columns if column.visible]


def _first(table: PlannedTable) -> str:
    """A field of a table that has one to be seen."""
    return _quoted(_visible(table)[0].name)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _shown(answer: Json) -> str:
    """Without values: an answer of the wrong shape may hold some."""
    if isinstance(answer, dict) and isinstance(answer.get("count"), int):
        return str(answer["count"])
    return f"a JSON {_word(type(answer))}"


def _word(kind: type) -> str:
    return {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}.get(kind, "number")
