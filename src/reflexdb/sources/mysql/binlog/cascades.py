"""Which planned tables change without row events when rows of a table are deleted or their keys updated.

InnoDB performs ON DELETE CASCADE, SET NULL and ON UPDATE CASCADE inside the engine, and the log has nothing of it
(MySQL writes it from 9.6 on). So a planned table below such keys must be read again; `Cascades` says which, through any
number of tables in between, planned or not. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
class KeyUpdate:
    """Planned tables that change when these columns of a parent do."""

    columns: tuple[str, ...]
    """Empty where they cannot be seen: any column may be one of them."""
    tables: tuple[int, ...]


class Cascades:
    """What changes of each parent table do to planned tables. `planned` has for a table all that must be read again
    when its rows change unseen: itself, and the views made of it."""

    def __init__(self, edges: Iterable[Edge], planned: Mapping[Name, Iterable[int]]) -> None:
        self._planned = planned
        self._below: dict[Name, list[Edge]] = {}
        for edge in edges:
            self._below.setdefault(edge.parent, []).append(edge)
        self.deletes: dict[Name, tuple[int, ...]] = {}
        self.updates: dict[Name, tuple[KeyUpdate, ...]] = {}
        for parent, below in self._below.items():
            if deleted := self._deleted(parent):
                self.deletes[parent] = deleted
            updates = [KeyUpdate(edge.referenced, self._updated(parent, edge.referenced)) for edge in below]
            if updates := [update for update in updates if update.tables]:
                self.updates[parent] = tuple(updates)

    @property
    def parents(self) -> set[Name]:
        """The tables whose row events matter."""
        return set(self.deletes) | set(self.updates)

    def _deleted(self, parent: Name) -> tuple[int, ...]:
        found: set[Name] = set()
        self._follow_delete(parent, found, set())
        return self._indices(found)

    def _updated(self, parent: Name, columns: tuple[str, ...]) -> tuple[int, ...]:
        found: set[Name] = set()
        self._follow_update(parent, frozenset(columns), found, set())
        return self._indices(found)

    def _follow_delete(self, parent: Name, found: set[Name], seen: set[object]) -> None:
        if parent in seen:
            return
        seen.add(parent)
        for edge in self._below.get(parent, ()):
            if edge.on_delete not in ACTING:
                continue
            found.add(edge.child)
            if edge.on_delete == "CASCADE":
                self._follow_delete(edge.child, found, seen)
            else:
                self._follow_update(edge.child, frozenset(edge.columns), found, seen)

    def _follow_update(self, parent: Name, columns: frozenset[str], found: set[Name], seen: set[object]) -> None:
        if (parent, columns) in seen:
            return
        seen.add((parent, columns))
        for edge in self._below.get(parent, ()):
            is_touched = not columns or not edge.referenced or columns & set(edge.referenced)
            if edge.on_update in ACTING and is_touched:
                found.add(edge.child)
                self._follow_update(edge.child, frozenset(edge.columns), found, seen)

    def _indices(self, names: set[Name]) -> tuple[int, ...]:
        return tuple(sorted({index for name in names for index in self._planned.get(name, ())}))
