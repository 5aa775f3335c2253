"""What foreign keys lead to: rows step by step where every step is exact, else whole tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from reflexdb.sources.changes import Step
from reflexdb.sources.mysql.binlog.cascades import Cascades, Consequence, Edge, Name

TABLES = {"a": ("id", "x"), "b": ("id", "a"), "c": ("id", "b"), "d": ("b", "n")}


@dataclass
class Plan:
    """Tables by name, the first column of each its key."""

    tables: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(TABLES))
    partial: set[str] = field(default_factory=set)
    inexact: set[str] = field(default_factory=set)
    made_of: dict[str, list[int]] = field(default_factory=dict)

    def index(self, name: Name) -> int | None:
        return list(self.tables).index(name[1]) if name[1] in self.tables else None

    def views(self, name: Name) -> Iterable[int]:
        return self.made_of.get(name[1], [])

    def places(self, name: Name, columns: tuple[str, ...]) -> tuple[int, ...] | None:
        known = self.tables.get(name[1], ())
        return tuple(known.index(column) for column in columns) if set(columns) <= set(known) else None

    def is_exact(self, edge: Edge) -> bool:
        return edge.child[1] not in self.inexact

    def has_all_rows(self, name: Name) -> bool:
        return name[1] in self.tables and name[1] not in self.partial

    def keeps_keys(self, name: Name, changed: tuple[int, ...]) -> bool:
        return name[1] in self.tables and 0 not in changed


def edge(child: str, column: str, parent: str, on_delete: str, on_update: str = "RESTRICT") -> Edge:
    return Edge(("s", child), ("s", parent), (column,), ("id",), on_delete, on_update)


CHAIN = (edge("b", "a", "a", "CASCADE", "CASCADE"), edge("c", "b", "b", "CASCADE", "CASCADE"))


def deleted(plan: Plan, *edges: Edge, table: str = "a") -> Consequence:
    [found] = Cascades(edges, plan).deletes["s", table]
    return found


def test_rows_lead_on_by_the_columns_that_keys_refer_to() -> None:
    found = deleted(Plan(made_of={"c": [9]}), *CHAIN)

    assert found.led is not None
    assert found.led.referenced == ("id",)
    assert found.led.steps == (Step(1, (1,), (((0,), 1),)), Step(2, (1,)))
    assert found.tables == (9,)  # the view


def test_a_key_set_to_null_leads_on_only_where_it_is_referred_to() -> None:
    found = deleted(Plan(), edge("b", "a", "a", "SET NULL"), CHAIN[1])

    assert found.led is not None
    assert found.led.steps == (Step(1, (1,)),)


def test_a_key_to_its_own_table_leads_back() -> None:
    found = deleted(Plan(), edge("a", "x", "a", "CASCADE"))

    assert found.led is not None
    assert found.led.steps == (Step(0, (1,), (((0,), 0),)),)


def test_what_is_not_known_of_a_table_makes_those_below_whole() -> None:
    for plan, whole, steps in (
        (Plan(inexact={"b"}), (1, 2), 0),
        (Plan(inexact={"c"}), (2,), 1),
        (Plan(partial={"b"}), (2,), 1),
        (Plan(tables={"a": ("id",), "c": ("id", "b")}), (1,), 0),
        (Plan(tables={"a": ("id",), "b": ("n", "a"), "c": ("id", "b")}), (2,), 1),
    ):
        found = deleted(plan, *CHAIN)
        assert found.tables == whole, plan
        assert (0 if found.led is None else len(found.led.steps)) == steps, plan


def test_hidden_columns_make_everything_below_whole() -> None:
    hidden = replace(CHAIN[0], columns=(), referenced=())

    found = deleted(Plan(), hidden, CHAIN[1])

    assert (found.tables, found.led) == ((1, 2), None)


def test_a_changed_key_of_the_child_makes_it_whole() -> None:
    [found] = Cascades([edge("d", "b", "b", "CASCADE", "CASCADE")], Plan()).updates["s", "b"]

    assert (found.columns, found.tables, found.led) == (("id",), (3,), None)
