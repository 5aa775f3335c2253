"""The relations to many that lead through a table of nothing but two keys, as the engine derives them (through.h).

Called where two plans are compared: a joining table that comes or goes may rename such a relation. Pure. The engine's
tests hold both derivations together.
"""

from __future__ import annotations

from collections import Counter

from reflexdb.model.plan import Plan, PlannedTable


def through_relations(plan: Plan, table: PlannedTable) -> dict[str, str]:
    """By name: the table that the relation leads to, and the one that joins."""
    steps: list[tuple[PlannedTable, int, int]] = []
    for reverse in table.reverse:
        joining = plan.tables[reverse.child]
        if _joins(joining) and joining.forward[1 - reverse.forward].visible:
            steps.append((joining, reverse.forward, joining.forward[1 - reverse.forward].target))
    taken = _taken(table)
    leading = Counter(target for _, _, target in steps)
    named: list[tuple[str, str]] = []
    for joining, back, target in steps:
        name = plan.tables[target].name
        leads_to = f"{name} through {joining.name}"
        if leading[target] > 1 or name in _columns(table):
            name += f"_by_{joining.forward[back].name if plan.tables[target] is table else joining.name}"
        if name not in taken:
            named.append((name, leads_to))
    uses = Counter(name for name, _ in named)
    return {name: leads_to for name, leads_to in named if uses[name] == 1}


def _joins(table: PlannedTable) -> bool:
    """Two keys, and no column that is in neither."""
    if len(table.forward) != 2:
        return False
    return {*table.forward[0].columns, *table.forward[1].columns} == set(range(len(table.columns)))


def _columns(table: PlannedTable) -> set[str]:
    return {column.name for column in table.columns if column.visible}


def _taken(table: PlannedTable) -> set[str]:
    forward = (name for relation in table.forward for name in (relation.name, *relation.also))
    reverse = (name for relation in table.reverse for name in (relation.name, *relation.also))
    return {*_columns(table), *forward, *reverse}
