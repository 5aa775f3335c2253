"""Which of the queries that were seen a change between two plans would break. Pure.

A query is known by its shape: the tables, columns and relations it uses, by the names of the query API, never a value.
A change that breaks queries in general breaks a shape where the shape uses what is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reflexdb.model.plan_diff import Change

EXAMPLES = 3
_SHOWN = 6
Pair = tuple[str, str]
"""A table, and a column or relation of it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Queries of one shape."""

    tables: frozenset[str]
    columns: frozenset[Pair]
    """That are answered."""
    filters: frozenset[Pair]
    """That are tested, ordered or grouped by."""
    relations: frozenset[Pair]
    queries: int

    @classmethod
    def of(cls, shape: Mapping[str, Any], queries: int) -> Seen:
        """Raises KeyError, TypeError or ValueError for what no engine has said."""
        pairs = ({(table, name) for table, name in shape[kind]} for kind in ("columns", "filters", "relations"))
        columns, filters, relations = map(frozenset, pairs)
        return cls(frozenset(shape["tables"]), columns, filters, relations, queries)

    def text(self) -> str:
        """For a person: `posts { id, title } by author_id through author`."""
        parts = [f"{_names(sorted(self.tables))} {{ {_names(_listed(self.columns))} }}"]
        if self.filters:
            parts.append(f"by {_names(_listed(self.filters))}")
        if self.relations:
            parts.append(f"through {_names(_listed(self.relations))}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Broken:
    """What a change breaks of what was seen."""

    shapes: int
    queries: int
    examples: tuple[str, ...]
    """The most asked, in words."""


def broken(change: Change, seen: Iterable[Seen]) -> Broken:
    hit = sorted((each for each in seen if _uses(each, change)), key=lambda each: -each.queries)
    return Broken(len(hit), sum(each.queries for each in hit), tuple(each.text() for each in hit[:EXAMPLES]))


def _uses(seen: Seen, change: Change) -> bool:
    kind, _, _ = change.kind.partition(".")
    if not change.breaking or change.table is None:
        return False
    if kind == "table":
        return change.table in seen.tables
    if change.name is None:
        return False
    pair = (change.table, change.name)
    return pair in seen.relations if kind == "relation" else pair in seen.columns or pair in seen.filters


def _listed(pairs: Iterable[Pair]) -> list[str]:
    return [f"{table}.{name}" for table, name in sorted(pairs)]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
