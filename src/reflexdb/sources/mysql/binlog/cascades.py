"""What foreign keys do to planned tables without row events, when rows of a table are deleted or their keys updated.

InnoDB performs ON DELETE CASCADE, SET NULL and ON UPDATE CASCADE inside the engine, and the log has nothing of it
(MySQL writes it from 9.6 on). So rows of a planned table below such keys must be read again. `Cascades` says which:
those that are led to by the values of the parent's row, step by step, where each table in between is planned with all
its rows and the key's columns; else the whole table, through any number of tables in between, planned or not. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from reflexdb.sources.changes import Step

Name = tuple[str, str]
ANY: Name = ("", "")
"""Stands for the parent of a key that may be there unseen: a change of any table may act by it."""
ACTING = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})
"""Rules by which the engine changes children; RESTRICT and NO ACTION change none."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A foreign key with at least one acting rule."""

    child: Name
    parent: Name
    columns: tuple[str, ...]
    """Empty where they cannot be seen."""
    referenced: tuple[str, ...]
    """Empty where they cannot be seen; any update of the parent then counts."""
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True)
class Led:
    """Rows that a parent's row leads to."""

    referenced: tuple[str, ...]
    """Columns of the parent: their values lead to the first step."""
    steps: tuple[Step, ...]
    """The first of them is where it begins."""

    @property
    def tables(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(step.table for step in self.steps))


@dataclass(frozen=True, slots=True)
class Consequence:
    """What happens to planned tables once a row of a parent is deleted, or some of its columns change."""

    columns: tuple[str, ...]
    """Whose change it is; empty where they cannot be seen, for then any column may be one of them."""
    tables: tuple[int, ...]
    """That must be read again as a whole, and views."""
    led: Led | None

    @property
    def all_tables(self) -> tuple[int, ...]:
        """Those too of which only the rows led to are concerned."""
        return (*self.tables, *(() if self.led is None else self.led.tables))


class Planned(Protocol):
    """What the plan knows of tables by their names."""

    def index(self, name: Name) -> int | None:
        """Its place in the plan."""
        ...

    def views(self, name: Name) -> Iterable[int]:
        """Planned views made of it."""
        ...

    def places(self, name: Name, columns: tuple[str, ...]) -> tuple[int, ...] | None:
        """Where in the planned table the columns are; None where they are not all there."""
        ...

    def is_exact(self, edge: Edge) -> bool:
        """Whether values of both ends are equal here exactly where the server finds them equal."""
        ...

    def has_all_rows(self, name: Name) -> bool:
        """Whether every row of a planned table is served, and told by the stream unless a foreign key changed it."""
        ...

    def keeps_keys(self, name: Name, changed: tuple[int, ...]) -> bool:
        """Whether rows of a planned table have keys, and keep them where these columns change."""
        ...


@dataclass(frozen=True, slots=True)
class _Node:
    """A foreign key that acts on its child's rows: deletes them, or changes these columns of them."""

    edge: Edge
    changed: frozenset[str] | None
    """None: they are deleted."""


class Cascades:
    """What changes of each parent table do to planned tables."""

    def __init__(self, edges: Iterable[Edge], planned: Planned) -> None:
        self._planned = planned
        self._below: dict[Name, list[Edge]] = {}
        for edge in edges:
            self._below.setdefault(edge.parent, []).append(edge)
        self.deletes: dict[Name, tuple[Consequence, ...]] = {}
        self.updates: dict[Name, tuple[Consequence, ...]] = {}
        for parent, below in self._below.items():
            deletes = [self._consequence(node) for edge in below if (node := _deleted(edge)) is not None]
            updates = [self._consequence(node) for edge in below if (node := _updated(edge, None)) is not None]
            self.deletes |= {parent: tuple(found)} if (found := [each for each in deletes if _matters(each)]) else {}
            self.updates |= {parent: tuple(found)} if (found := [each for each in updates if _matters(each)]) else {}

    @property
    def parents(self) -> set[Name]:
        """The tables whose row events matter."""
        return set(self.deletes) | set(self.updates)

    def _consequence(self, first: _Node) -> Consequence:
        arcs = self._reached(first)
        broken = self._broken(first, arcs)
        tables = {view for node in arcs for view in self._planned.views(node.edge.child)}
        tables |= {index for node in broken if (index := self._planned.index(node.edge.child)) is not None}
        led = None if first in broken else Led(first.edge.referenced, self._steps(arcs, broken))
        return Consequence(first.edge.referenced, tuple(sorted(tables)), led)

    def _reached(self, first: _Node) -> dict[_Node, list[_Node]]:
        """Every key that acts because of the first, and which act because of each. The first one comes first."""
        arcs: dict[_Node, list[_Node]] = {}
        waiting = [first]
        while waiting:
            node = waiting.pop()
            if node in arcs:
                continue
            below = self._below.get(node.edge.child, ())
            following = [_deleted(edge) if node.changed is None else _updated(edge, node.changed) for edge in below]
            arcs[node] = [each for each in following if each is not None]
            waiting += arcs[node]
        return arcs

    def _broken(self, first: _Node, arcs: Mapping[_Node, list[_Node]]) -> set[_Node]:
        """Where the rows concerned are not known: the whole table is to be read, and those below it."""
        broken: set[_Node] = set()
        waiting = [node for node in arcs if not self._is_known(node)]
        if not first.edge.referenced:
            waiting.append(first)
        for node, following in arcs.items():
            child = node.edge.child
            is_complete = self._planned.has_all_rows(child)
            waiting += [
                each
                for each in following
                if not is_complete or self._planned.places(child, each.edge.referenced) is None
            ]
        while waiting:
            node = waiting.pop()
            if node not in broken:
                broken.add(node)
                waiting += arcs[node]
        return broken

    def _is_known(self, node: _Node) -> bool:
        """Whether rows of the child are found by the values of its key, and keep their own keys."""
        edge = node.edge
        places = self._planned.places(edge.child, edge.columns)
        if not places or not self._planned.is_exact(edge):
            return False
        return self._planned.keeps_keys(edge.child, () if node.changed is None else places)

    def _steps(self, arcs: Mapping[_Node, list[_Node]], broken: set[_Node]) -> tuple[Step, ...]:
        known = [node for node in arcs if node not in broken]
        numbers = {node: number for number, node in enumerate(known)}
        steps = []
        for node in known:
            child = node.edge.child
            table, columns = self._planned.index(child), self._planned.places(child, node.edge.columns)
            assert table is not None
            assert columns is not None
            further = []
            for each in arcs[node]:
                referenced = self._planned.places(child, each.edge.referenced) if each in numbers else None
                if referenced is not None:
                    further.append((referenced, numbers[each]))
            steps.append(Step(table, columns, tuple(dict.fromkeys(further))))
        return tuple(steps)


def _deleted(edge: Edge) -> _Node | None:
    """What the key does once rows of its parent are deleted."""
    if edge.on_delete not in ACTING:
        return None
    return _Node(edge, None if edge.on_delete == "CASCADE" else frozenset(edge.columns))


def _updated(edge: Edge, changed: frozenset[str] | None) -> _Node | None:
    """What it does once these columns of its parent change; None: those it refers to. An empty set: any of them."""
    is_touched = not changed or not edge.referenced or changed & set(edge.referenced)
    return _Node(edge, frozenset(edge.columns)) if edge.on_update in ACTING and is_touched else None


def _matters(consequence: Consequence) -> bool:
    return bool(consequence.tables) or consequence.led is not None
