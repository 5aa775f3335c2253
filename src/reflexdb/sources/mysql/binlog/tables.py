"""Which tables of the log matter to a plan, and why: because they are planned, because a planned table hangs on their
keys, or because a planned view is made of them.

Holds the catalog and renews what of it a statement in the log may have changed. Knows names, not rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.changes import Redefined
from reflexdb.sources.mysql.binlog.cascades import ANY, Cascades, Consequence, Edge, Name
from reflexdb.sources.mysql.binlog.catalog import Catalog
from reflexdb.sources.mysql.binlog.layout import Described
from reflexdb.sources.mysql.types import SIGNED, base_of

_SYSTEM = {"mysql", "sys", "performance_schema", "information_schema"}


def are_exact(own: str | None, other: str | None) -> bool:
    """Whether columns of these types hold equal values exactly where the server finds them equal: whole numbers, and
    bytes of one length. Texts are compared by a collation."""
    if own is None or other is None:
        return False
    if base_of(own) in SIGNED and base_of(other) in SIGNED:
        return True
    return own.lower() == other.lower() and base_of(own) in ("binary", "uuid")


@dataclass(frozen=True, slots=True)
class Watched:
    """A table whose row events matter."""

    name: Name
    index: int | None
    """Its place in the plan, if it is planned."""
    stale: str | None
    """Why any change of it means that it must be read again; None where rows can be told one by one."""
    by_key: bool
    """Only the changed rows must be read again."""
    views: tuple[int, ...]
    """Planned views made of it."""
    deletes: tuple[Consequence, ...]
    """Where planned tables lose rows or references when rows of it are deleted."""
    updates: tuple[Consequence, ...]


class Watch:
    """What a stream looks out for. `recall` asks the server for the present catalog."""

    def __init__(self, plan: Plan, catalog: Catalog, recall: Callable[[], Catalog]) -> None:
        self.plan = plan
        self.catalog = catalog
        self._recall = recall
        self._folds = catalog.server.folds_case
        self._planned = {self.folded((plan.schema, table.source_name)): i for i, table in enumerate(plan.tables)}
        self._cascades = self._cascading()
        self._found: dict[Name, Watched | None] = {}

    @property
    def mariadb(self) -> bool:
        return self.catalog.server.mariadb

    def folded(self, name: Name) -> Name:
        """The name as it is compared."""
        return (name[0].lower(), name[1].lower()) if self._folds else name

    def index(self, name: Name) -> int | None:
        """The place in the plan of a table or view."""
        return self._planned.get(self.folded(name))

    def in_schema(self, schema: str) -> list[int]:
        """Every planned table, if this is the plan's schema."""
        own = self.folded((self.plan.schema, ""))[0]
        return list(range(len(self.plan.tables))) if self.folded((schema, ""))[0] == own else []

    def find(self, name: Name) -> Watched | None:
        """What is to be done about changes of this table; None where they do not matter."""
        name = self.folded(name)
        if name not in self._found:
            if len(self._found) > 10_000:
                self._found.clear()
            self._found[name] = self._watched(name)
        return self._found[name]

    def is_partly_visible(self, name: Name) -> bool:
        """Whether the user may see some columns of the table only."""
        return self.folded(name) in {self.folded(partly) for partly in self.catalog.partly}

    def described(self, name: Name) -> tuple[Described, ...]:
        """The table's columns as the server describes them now."""
        folded = self.folded(name)
        for known, columns in self.catalog.columns.items():
            if self.folded(known) == folded:
                return columns
        return ()

    def changed_already(self) -> Iterator[Redefined]:
        """Planned tables that are not as planned even before the stream begins."""
        for index, table in enumerate(self.plan.tables):
            what = self._difference(table)
            if what is not None:
                yield Redefined(index, what)

    def affected(self, names: Iterable[Name]) -> set[int]:
        """Planned tables and views that the engine may have changed by foreign keys of these tables, or below them."""
        found: set[int] = set()
        for name in names:
            watched = self.find(name)
            if watched is not None:
                found |= {*watched.views}
                found |= {i for each in (*watched.deletes, *watched.updates) for i in each.all_tables}
                found |= set() if watched.index is None else {watched.index}
        return found

    def refresh(self, names: Iterable[Name]) -> None:
        """Ask again for keys, views and columns, if one of these tables may be part of them."""
        schemas = {self.folded((self.plan.schema, ""))[0]} | {parent[0] for parent in self._cascades.parents}
        if any(self.folded(name)[0] in schemas for name in names):
            self.catalog = self._recall()
            self._cascades = self._cascading()
            self._found.clear()

    def is_system(self, names: Iterable[Name], schema: str) -> bool:
        """Whether a statement is about the server's own tables only."""
        schemas = {name[0].lower() for name in names} or {schema.lower()}
        return schemas <= _SYSTEM and bool(tuple(names))

    def _cascading(self) -> Cascades:
        edges = [
            replace(edge, child=self.folded(edge.child), parent=self.folded(edge.parent))
            for edge in self.catalog.acting.edges
        ]
        return Cascades(edges, self)

    def views(self, name: Name) -> Iterable[int]:
        return self._views_of(name)

    def places(self, name: Name, columns: tuple[str, ...]) -> tuple[int, ...] | None:
        index = self.index(name)
        if index is None:
            return None
        known = {column.source_name.lower(): place for place, column in enumerate(self.plan.tables[index].columns)}
        found = [known.get(column.lower()) for column in columns]
        return tuple(place for place in found if place is not None) if None not in found else None

    def is_exact(self, edge: Edge) -> bool:
        if not edge.columns or len(edge.columns) != len(edge.referenced):
            return False
        own, other = (self._types(name) for name in (edge.child, edge.parent))
        pairs = zip(edge.columns, edge.referenced, strict=True)
        return all(are_exact(own.get(one.lower()), other.get(two.lower())) for one, two in pairs)

    def has_all_rows(self, name: Name) -> bool:
        index = self.index(name)
        return index is not None and self._why_stale(index, name)[0] is None and not self.is_partly_visible(name)

    def keeps_keys(self, name: Name, changed: tuple[int, ...]) -> bool:
        index, server = self.index(name), self.catalog.server
        is_exact = server.mariadb or not server.gtid  # the position of a view; else rows may be of later than it
        if index is None or not is_exact or self.is_partly_visible(name):
            return False
        why, by_key = self._why_stale(index, name)
        return (why is None or by_key) and not set(changed) & set(self.plan.tables[index].primary_key)

    def _types(self, name: Name) -> dict[str, str]:
        return {column.name.lower(): column.declared for column in self.described(name)}

    def _watched(self, name: Name) -> Watched | None:
        index = self._planned.get(name)
        views = tuple(self._views_of(name))
        deletes = (*self._cascades.deletes.get(name, ()), *self._cascades.deletes.get(ANY, ()))
        updates = (*self._cascades.updates.get(name, ()), *self._cascades.updates.get(ANY, ()))
        if index is None and not (views or deletes or updates):
            return None
        stale, by_key = (None, False) if index is None else self._why_stale(index, name)
        return Watched(name, index, stale, by_key, views, deletes, updates)

    def _why_stale(self, index: int, name: Name) -> tuple[str | None, bool]:
        """And whether that is true of the changed rows alone."""
        table = self.plan.tables[index]
        if not table.primary_key:
            return "rows changed, and without a primary key they cannot be told apart", False
        if name in {self.folded(versioned) for versioned in self.catalog.versioned}:
            return "rows changed in a table that keeps its history", False
        if table.where is not None:
            return "rows changed, and whether they satisfy its `where` only the source can tell", True
        return None, False

    def _views_of(self, name: Name) -> Iterator[int]:
        for view, made_of in self.catalog.views.items():
            index = self.index(view)
            if index is not None and made_of is not None and name in {self.folded(part) for part in made_of}:
                yield index

    def _difference(self, table: PlannedTable) -> str | None:
        now = {column.name: column for column in self.described((self.plan.schema, table.source_name))}
        if not now:
            return "the table is no longer there, or may not be seen"
        for column in table.columns:
            if column.source_name not in now:
                return f"column {column.source_name!r} is no longer there"
            if now[column.source_name].declared != column.declared_type:
                return (
                    f"column {column.source_name!r} was {column.declared_type} and is "
                    f"{now[column.source_name].declared}"
                )
        return None
