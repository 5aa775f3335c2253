"""What is different between two plans, and whether a query that one answers is answered alike by the other.

Pure. Tables, columns and relations are those of the query API. What is known by the source's name is the same thing
under another name: renamed, not dropped and added; so is a table that is gone where one with the same columns has come.
`breaking` is judged against every query that could be asked, not against those that were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.storage import Storage
from reflexdb.model.through import through_relations

_WIDENED = {
    (Storage.I16, Storage.I32),
    (Storage.I16, Storage.I64),
    (Storage.I32, Storage.I64),
    (Storage.F32, Storage.F64),
    (Storage.TEXT, Storage.ENUM),
    (Storage.ENUM, Storage.TEXT),
}
"""Changes of how a column is kept that JSON does not show."""


@dataclass(frozen=True, slots=True)
class Change:
    kind: str
    """`table`, `column`, `relation` or `configuration`, a dot, and what happened to it."""
    table: str | None
    name: str | None
    """Of the column, the relation or the setting."""
    before: str | None
    after: str | None
    breaking: bool
    why: str | None = None
    """Of what is no longer served: the reason, where the new plan knows it."""


def compare(old: Plan, new: Plan) -> list[Change]:
    """From the old to the new, in the order of the old one's tables, then what is new."""
    pairs = _pairs(old, new)
    why = {(entry.table, entry.column): entry.reason for entry in new.not_served if entry.relation is None}
    changes: list[Change] = []
    for table in old.tables:
        other = pairs.get(table.source_name)
        if other is None:
            reason = why.get((table.source_name, None))
            changes.append(Change("table.removed", table.name, None, table.name, None, breaking=True, why=reason))
        else:
            changes += [_explained(change, table, why) for change in _table(old, table, new, other)]
    known = {table.source_name for table in pairs.values()}
    for table in new.tables:
        if table.source_name not in known:
            changes.append(Change("table.added", table.name, None, None, table.name, breaking=False))
    return [*changes, *_settings(old, new)]


def _explained(change: Change, table: PlannedTable, why: Mapping[tuple[str, str | None], str]) -> Change:
    if change.kind != "column.removed":
        return change
    source = {column.name: column.source_name for column in table.columns}
    return replace(change, why=why.get((table.source_name, source[change.name or ""])))


def _pairs(old: Plan, new: Plan) -> Mapping[str, PlannedTable]:
    """The new table for each old one's source name."""
    present = {table.source_name: table for table in new.tables}
    pairs = {table.source_name: present[table.source_name] for table in old.tables if table.source_name in present}
    came = [table for table in new.tables if table.source_name not in pairs]
    for table in old.tables:
        if table.source_name in pairs:
            continue
        alike = [other for other in came if _shape(other) == _shape(table)]
        if len(alike) == 1:
            pairs[table.source_name] = alike[0]
            came.remove(alike[0])
    return pairs


def _shape(table: PlannedTable) -> tuple[object, ...]:
    return tuple((column.source_name, column.storage) for column in table.columns), table.primary_key


def _table(old: Plan, table: PlannedTable, new: Plan, other: PlannedTable) -> Iterator[Change]:
    if table.name != other.name:
        yield Change("table.renamed", table.name, None, table.name, other.name, breaking=True)
    yield from _columns(table, other)
    if _key(table) != _key(other):
        yield Change("table.key", table.name, None, _key(table), _key(other), breaking=False)
    yield from _relations(table.name, _related(old, table), _related(new, other))
    if table.where != other.where:
        yield Change("configuration.where", table.name, "where", table.where, other.where, breaking=False)
    if _indexes(table) != _indexes(other):
        yield Change("configuration.indexes", table.name, "indexes", _indexes(table), _indexes(other), breaking=False)


def _columns(table: PlannedTable, other: PlannedTable) -> Iterator[Change]:
    old, new = _visible(table), _visible(other)
    for source_name, column in old.items():
        now = new.get(source_name)
        if now is None:
            yield Change("column.removed", table.name, column.name, column.declared_type, None, breaking=True)
            continue
        if now.name != column.name:
            yield Change("column.renamed", table.name, column.name, column.name, now.name, breaking=True)
        if now.storage is not column.storage or now.declared_type != column.declared_type:
            breaking = now.storage is not column.storage and (column.storage, now.storage) not in _WIDENED
            yield Change(
                "column.type", table.name, column.name, column.declared_type, now.declared_type, breaking=breaking
            )
        if now.nullable != column.nullable:
            before, after = _null(column), _null(now)
            yield Change("column.nullable", table.name, column.name, before, after, breaking=now.nullable)
    for source_name, column in new.items():
        if source_name not in old:
            yield Change("column.added", table.name, column.name, None, column.declared_type, breaking=False)


def _relations(table: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """By every name: a query may use any of them, and `...` answers under the first."""
    first = {target: name for name, target in reversed(list(new.items()))}
    before = {target: name for name, target in reversed(list(old.items()))}
    for name, target in old.items():
        if name not in new:
            yield Change("relation.removed", table, name, target, None, breaking=True)
        elif new[name] != target:
            yield Change("relation.changed", table, name, target, new[name], breaking=True)
        elif before[target] == name != first[target]:
            yield Change("relation.renamed", table, name, name, first[target], breaking=True)
    for target, name in first.items():
        if target not in before:
            yield Change("relation.added", table, name, None, target, breaking=False)


def _settings(old: Plan, new: Plan) -> Iterator[Change]:
    for name in ("interval_s", "cdc_reconnect_mode", "safety_net_s"):
        before, after = getattr(old.sync, name), getattr(new.sync, name)
        if before != after:
            yield Change("configuration.sync", None, name, _text(before), _text(after), breaking=False)


def _visible(table: PlannedTable) -> dict[str, PlannedColumn]:
    return {column.source_name: column for column in table.columns if column.visible}


def _related(plan: Plan, table: PlannedTable) -> dict[str, str]:
    """What each name of a relation leads to, by the columns it is made of; of one relation, its first name first."""
    found: dict[str, str] = {}
    for key in table.forward:
        if key.visible:
            target = plan.tables[key.target]
            to = f"{_names(table, key.columns)} to one {target.name}{_names(target, key.target_columns)}"
            found |= dict.fromkeys((key.name, *key.also), to)
    for back in table.reverse:
        child = plan.tables[back.child]
        to = f"to many {child.name}{_names(child, child.forward[back.forward].columns)}"
        found |= dict.fromkeys((back.name, *back.also), to)
    return found | {name: f"to many {leads_to}" for name, leads_to in through_relations(plan, table).items()}


def _names(table: PlannedTable, columns: tuple[int, ...]) -> str:
    return f"({', '.join(table.columns[index].name for index in columns)})"


def _key(table: PlannedTable) -> str | None:
    return _names(table, table.primary_key) if table.primary_key else None


def _indexes(table: PlannedTable) -> str | None:
    return ", ".join(sorted(_names(table, index) for index in table.indexes)) or None


def _null(column: PlannedColumn) -> str:
    return "may be null" if column.nullable else "never null"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
