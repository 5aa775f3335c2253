"""By which collation the columns of keys compare, so that relations join as the source's keys do.

Called by build/relations.py, which leaves out the keys that can't be followed exactly, and by build/plan.py. The
columns of a relation compare by the collation of those that they refer to. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from reflexdb.build.keys import Key
from reflexdb.build.selection import Selected
from reflexdb.model.folding import Folding
from reflexdb.model.plan import Plan, PlannedColumn, PlannedTable
from reflexdb.model.schema import SourceSchema
from reflexdb.model.storage import Storage
from reflexdb.model.suggest import quoted

Place = tuple[str, str]
"""A table and a column of it, by the source's names."""


class Compared:
    """What is decided for the columns of one schema; keys are added in the order of the plan."""

    def __init__(self, schema: SourceSchema, tables: Mapping[str, Selected]) -> None:
        self._foldings = {folding.name: folding for folding in schema.foldings}
        self._own = {
            (name, column.name): column.collation
            for name, table in tables.items()
            for column in table.source.columns
            if column.storage is Storage.TEXT and column.retyped is None
        }
        self._decided: dict[Place, str] = {}
        for name, table in tables.items():
            for column in table.source.primary_key:
                self._decided[name, column] = self._own.get((name, column), "")

    def obstacle(self, key: Key) -> str:
        """Why the key can't be joined as the source joins it; empty where it can, and is from now on."""
        wanted = dict(self._pairs(key))
        for child, parent in wanted.items():
            collation = self._decided.get(parent, self._own.get(parent, ""))
            if collation and collation not in self._foldings:
                return f"the source compares it by the collation {quoted(collation)}, which can't be followed exactly"
            other = self._decided.get(child, collation)
            if other != collation:
                return (
                    f"{quoted(child[1])} compares by {_words(other)} and {quoted(parent[1])} by {_words(collation)}; "
                    "give both the same collation"
                )
        for child, parent in wanted.items():
            collation = self._decided.setdefault(parent, self._own.get(parent, ""))
            self._decided.setdefault(child, collation)
        return ""

    def _pairs(self, key: Key) -> Iterator[tuple[Place, Place]]:
        for column, other in zip(key.columns, key.parent_columns, strict=True):
            if (key.child, column) in self._own and (key.parent, other) in self._own:
                yield (key.child, column), (key.parent, other)

    def planned(self, plan: Plan) -> Plan:
        """The plan with the foldings that its keys need."""
        used = {
            name
            for table in plan.tables
            for column in table.columns
            if (name := self._decided.get((table.source_name, column.source_name), "")) in self._foldings
        }
        numbers = {name: index for index, name in enumerate(sorted(used))}
        tables = tuple(
            replace(table, columns=tuple(self._column(table, column, numbers) for column in table.columns))
            for table in plan.tables
        )
        foldings: tuple[Folding, ...] = tuple(self._foldings[name] for name in numbers)
        return replace(plan, tables=tables, foldings=foldings)

    def _column(self, table: PlannedTable, column: PlannedColumn, numbers: Mapping[str, int]) -> PlannedColumn:
        place = table.source_name, column.source_name
        number = numbers.get(self._decided.get(place, ""))
        return column if number is None else replace(column, folding=number, collation=self._own[place])


def _words(collation: str) -> str:
    return f"the collation {quoted(collation)}" if collation else "its bytes"
