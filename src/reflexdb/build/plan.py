"""From what the source has and what reflexdb.yaml wants to the checked plan: the contents page of the planning passes.

Called by the builders. Pure and deterministic: tables in the order of their names, columns in the source's order. All
that is wrong is reported together. It refuses to know sources, files and C++.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reflexdb.build.compared import Compared
from reflexdb.build.findings import Findings
from reflexdb.build.keys import Key
from reflexdb.build.relations import relate
from reflexdb.build.selection import Selected, obstacle, select
from reflexdb.model.config import SchemaConfig
from reflexdb.model.not_served import in_order
from reflexdb.model.plan import ForwardRelation, Plan, PlannedColumn, PlannedTable, ReverseRelation
from reflexdb.model.schema import SourceSchema
from reflexdb.model.suggest import quoted


@dataclass(frozen=True, slots=True)
class Planned:
    plan: Plan
    notes: tuple[str, ...]
    """What was decided and may surprise, a sentence each, for the build's log."""


def make_plan(schema: SourceSchema, config: SchemaConfig | None) -> Planned:
    """Raises InvalidConfig where only reflexdb.yaml is at fault, else InvalidSchema; both list every finding."""
    findings = Findings()
    chosen = config or SchemaConfig()
    tables = select(schema, chosen, findings)
    compared = Compared(schema, tables)
    keys = relate(schema, tables, compared, findings)
    _check_indexes(tables, findings)
    findings.finish()
    plan = _assemble(schema, chosen, tables, keys, findings)
    plan = compared.planned(plan)
    return Planned(plan, tuple(findings.notes))


def _check_indexes(tables: Mapping[str, Selected], findings: Findings) -> None:
    for table in tables.values():
        for index in table.config.indexes if table.config else ():
            for column in index:
                if column.text not in table.visible:
                    hint = findings.hint(column.text, table.visible)
                    findings.config(
                        column.at,
                        f"The table {quoted(table.source.name)} shows no column {quoted(column.text)} to index.{hint}",
                    )


def _assemble(
    schema: SourceSchema,
    config: SchemaConfig,
    tables: Mapping[str, Selected],
    keys: tuple[Key, ...],
    findings: Findings,
) -> Plan:
    primary = {name: _primary_key(table, findings) for name, table in tables.items()}
    needed = {name: {*table.visible, *primary[name]} for name, table in tables.items()}
    by_child: defaultdict[str, list[Key]] = defaultdict(list)
    by_parent: defaultdict[str, list[Key]] = defaultdict(list)
    for key in keys:
        needed[key.child].update(key.columns)
        needed[key.parent].update(key.parent_columns)
        by_child[key.child].append(key)
        if key.reverse_visible:
            by_parent[key.parent].append(key)
    places = _Places(
        tables={name: index for index, name in enumerate(tables)},
        columns={name: _positions(table, needed[name]) for name, table in tables.items()},
        forward={key: index for child in by_child.values() for index, key in enumerate(child)},
    )
    planned = tuple(
        PlannedTable(
            source_name=name,
            name=table.name,
            columns=_columns(table, needed[name]),
            primary_key=places.indices(name, primary[name]),
            forward=tuple(places.forward_relation(key) for key in by_child[name]),
            reverse=tuple(
                places.reverse_relation(key) for key in sorted(by_parent[name], key=lambda key: key.reverse.name)
            ),
            where=table.where,
            indexes=_indexes(table, places),
            is_view=table.source.is_view,
        )
        for name, table in tables.items()
    )
    not_served = in_order(findings.not_served)
    return Plan(schema.backend, schema.name, planned, config.sync, not_served)


@dataclass(frozen=True, slots=True)
class _Places:
    """Positions of names in the plan."""

    tables: Mapping[str, int]
    columns: Mapping[str, Mapping[str, int]]
    forward: Mapping[Key, int]

    def indices(self, table: str, columns: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.columns[table][column] for column in columns)

    def forward_relation(self, key: Key) -> ForwardRelation:
        return ForwardRelation(
            name=key.forward.name,
            columns=self.indices(key.child, key.columns),
            target=self.tables[key.parent],
            target_columns=self.indices(key.parent, key.parent_columns),
            visible=key.forward_visible,
            also=key.forward.also,
        )

    def reverse_relation(self, key: Key) -> ReverseRelation:
        return ReverseRelation(
            name=key.reverse.name,
            child=self.tables[key.child],
            forward=self.forward[key],
            also=key.reverse.also,
        )


def _primary_key(table: Selected, findings: Findings) -> tuple[str, ...]:
    columns = table.columns()
    for name in table.source.primary_key:
        column = columns.get(name)
        if column is None or obstacle(column):
            why = "may not be read" if column is None else "can't be served"
            findings.note(
                f"The table {quoted(table.source.name)} is treated as one without a primary key: "
                f"its key column {quoted(name)} {why}."
            )
            return ()
    return table.source.primary_key


def _positions(table: Selected, needed: set[str]) -> dict[str, int]:
    return {
        column.name: index
        for index, column in enumerate(column for column in table.source.columns if column.name in needed)
    }


def _columns(table: Selected, needed: set[str]) -> tuple[PlannedColumn, ...]:
    columns: list[PlannedColumn] = []
    for column in table.source.columns:
        if column.name not in needed:
            continue
        assert column.storage is not None, "findings stop the build before an unsupported column is planned"
        columns.append(
            PlannedColumn(
                source_name=column.name,
                name=table.column_name(column.name),
                storage=column.storage,
                declared_type=column.declared_type,
                nullable=column.nullable,
                visible=column.name in table.visible,
                note=table.notes.get(column.name, column.comment),
                retyped=column.retyped,
                in_star=not column.invisible,
            )
        )
    return tuple(columns)


def _indexes(table: Selected, places: _Places) -> tuple[tuple[int, ...], ...]:
    asked = table.config.indexes if table.config else ()
    indices = [places.indices(table.source.name, (column.text for column in index)) for index in asked]
    return tuple(dict.fromkeys(indices))
