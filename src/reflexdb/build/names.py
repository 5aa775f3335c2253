"""The names of relations: every relation has one, whatever the schema (docs/reference/schema-config.md).

Called by build/relations.py. The names of one table's relations share a namespace. Published names come first, those of
forward relations before those of reverse ones, so that no rule beyond them changes what a published query means. Then
each end of a key that has no name yet gets its next wish, round by round, unless another relation has it or two ends
want it: the order of the keys never matters. Only a name that an alias of reflexdb.yaml asks for is refused where it is
taken. It refuses to know positions in the plan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from reflexdb.build.findings import Findings
from reflexdb.build.keys import Key, Names
from reflexdb.build.selection import Selected
from reflexdb.model.document import Word
from reflexdb.model.nouns import ends_in_table, without_key_suffix
from reflexdb.model.suggest import quoted


def without_id(name: str) -> str:
    """The published rule."""
    return name[: -len("_id")] if name.endswith("_id") and name != "_id" else name


def published_forward(columns: Sequence[str], parent: str) -> str:
    return without_id(columns[0]) if len(columns) == 1 else parent


@dataclass(slots=True, eq=False)
class _End:
    """One end of a key, while its names are looked for."""

    key: Key
    side: str
    published: str
    alias: Word | None = None
    """What reflexdb.yaml says, where the published name comes from it."""
    wishes: tuple[str, ...] = ()
    """Empty texts stand for rules that give this end no name; the last wish is never empty."""
    name: str = ""
    also: list[str] = field(default_factory=list)

    def named(self) -> Names:
        return Names(self.name, tuple(self.also))

    def described(self) -> str:
        return f"{self.side} over {self.key.described()}"


class _Namespace:
    """The names of one table's relations. A relation may share its published name with a column, no other name."""

    def __init__(self, table: Selected, findings: Findings) -> None:
        self._table = table
        self._findings = findings
        self._columns = frozenset(table.column_name(column) for column in table.visible)
        self._owners: dict[str, _End] = {}

    def publish(self, ends: Sequence[_End]) -> None:
        """A published name is its end's unless two ends claim it: then the one whose column is called so has it."""
        claims: defaultdict[str, list[_End]] = defaultdict(list)
        for end in ends:
            claims[end.published].append(end)
        for name, claiming in claims.items():
            exact = [end for end in claiming if end.key.columns == (name,)]
            winners = claiming if len(claiming) == 1 else exact if len(exact) == 1 else []
            rivals = [end for end in (*claiming, self._owners.get(name)) if end is not None]
            for end in claiming:
                if end.alias is not None and len(rivals) > 1:
                    self._refuse(end, next(rival for rival in rivals if rival is not end))
            for end in winners:
                self._owners.setdefault(name, end)

    def has_published(self, end: _End) -> bool:
        return self._owners.get(end.published) is end

    def choose(self, ends: Sequence[_End]) -> None:
        """The name of each end. All have equally many wishes."""

        def give(end: _End, name: str) -> None:
            end.name = name

        self._in_rounds(ends, self._is_free, give)

    def complete(self, ends: Sequence[_End]) -> None:
        """The other names of each end: the published one, and one for an answer that has the column of its name."""
        self._in_rounds(
            [end for end in ends if end.name in self._columns],
            lambda name, _: name not in self._columns and name not in self._owners,
            lambda end, name: end.also.append(name),
        )
        for end in ends:
            if self.has_published(end) and end.published != end.name:
                end.also.append(end.published)

    def keep(self, claims: Iterable[tuple[_End, str]]) -> None:
        """Further names that hold where no other relation has them and only one end claims them."""
        claiming: defaultdict[str, list[_End]] = defaultdict(list)
        for end, name in claims:
            if end not in claiming[name]:
                claiming[name].append(end)
        for name, ends in claiming.items():
            if len(ends) == 1 and name not in self._owners:
                self._owners[name] = ends[0]
                ends[0].also.append(name)

    def _refuse(self, end: _End, rival: _End) -> None:
        assert end.alias is not None
        self._findings.config(
            end.alias.at,
            f"The table {quoted(self._table.source.name)} would have two relations named {quoted(end.published)}: "
            f"{rival.described()}, and {end.described()}; choose another alias "
            f"than {quoted(end.alias.text)}, or exclude one of them.",
        )

    def _in_rounds(
        self, ends: Sequence[_End], is_free: Callable[[str, _End], bool], give: Callable[[_End, str], None]
    ) -> None:
        """Each end gets its first wish that is free and that no other end wants in the same round."""
        pending = list(ends)
        for rule in range(len(ends[0].wishes) if ends else 0):
            able = [end for end in pending if end.wishes[rule] and is_free(end.wishes[rule], end)]
            wanted = Counter(end.wishes[rule] for end in able)
            for end in able:
                if wanted[end.wishes[rule]] == 1:
                    self._owners[end.wishes[rule]] = end
                    give(end, end.wishes[rule])
            served = {end for end in able if wanted[end.wishes[rule]] == 1}
            pending = [end for end in pending if end not in served]
        for end in sorted(pending, key=lambda end: _order(end.key)):
            name = self._numbered(end)
            self._owners[name] = end
            give(end, name)

    def _is_free(self, name: str, end: _End) -> bool:
        return self._owners.get(name, end) is end and (name not in self._columns or name == end.published)

    def _numbered(self, end: _End) -> str:
        names = (f"{end.wishes[-1]}_{number}" for number in count(2))
        return next(name for name in names if name not in self._owners and name not in self._columns)


def name_relations(
    keys: Sequence[Key], tables: Mapping[str, Selected], findings: Findings, former: Sequence[Key] = ()
) -> list[Key]:
    """The keys with the names of their visible ends. `former`, parallel to `keys`, has names that stay valid where
    they are free."""
    naming = _Naming(keys, tables, findings)
    naming.publish()
    naming.choose()
    naming.complete(former)
    return [naming.named(key) for key in keys]


class _Naming:
    """The ends of all keys, named in phases that each concern every table."""

    def __init__(self, keys: Sequence[Key], tables: Mapping[str, Selected], findings: Findings) -> None:
        self._keys = keys
        self._tables = tables
        self._spaces = {name: _Namespace(table, findings) for name, table in tables.items()}
        self._siblings: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
        for key in keys:
            self._siblings[key.child, key.parent].append(key)
        self._uses = Counter((key.child, self._published(key)) for key in keys)
        self._aliases = self._settling_aliases()
        self._forward: dict[Key, _End] = {}
        self._reverse: dict[Key, _End] = {}

    def publish(self) -> None:
        self._forward = {key: self._forward_end(key) for key in self._keys if key.forward_visible}
        for child, ends in _grouped(self._forward, by_child=True):
            self._spaces[child].publish(ends)
        self._reverse = {key: self._reverse_end(key) for key in self._keys if key.reverse_visible}
        for parent, ends in _grouped(self._reverse, by_child=False):
            only = [end for end in ends if self._is_only(end.key)]
            self._spaces[parent].publish(only)
            self._spaces[parent].publish([end for end in ends if not self._is_only(end.key)])

    def choose(self) -> None:
        for child, ends in _grouped(self._forward, by_child=True):
            self._spaces[child].choose(ends)
        for key, end in self._reverse.items():
            end.wishes = self._reverse_wishes(key)
        for parent, ends in _grouped(self._reverse, by_child=False):
            self._spaces[parent].choose(ends)

    def complete(self, former: Sequence[Key]) -> None:
        for child, ends in _grouped(self._forward, by_child=True):
            self._spaces[child].complete(ends)
        for parent, ends in _grouped(self._reverse, by_child=False):
            self._spaces[parent].complete(ends)
        before = dict(zip(self._keys, former, strict=True)) if former else {}
        claims: defaultdict[str, list[tuple[_End, str]]] = defaultdict(list)
        for key, end in self._forward.items():
            names = before[key].forward.all() if before else ()
            label = (self._label(key),) if len(key.columns) > 1 and not self._is_only(key) else ()
            claims[key.child] += [(end, name) for name in (*names, *label)]
        for key, end in self._reverse.items():
            claims[key.parent] += [(end, name) for name in (before[key].reverse.all() if before else ())]
        for table, made in claims.items():
            self._spaces[table].keep(made)

    def named(self, key: Key) -> Key:
        forward, reverse = self._forward.get(key), self._reverse.get(key)
        return replace(
            key,
            forward=forward.named() if forward else Names(self._published(key)),
            reverse=reverse.named() if reverse else key.reverse,
        )

    def _published(self, key: Key) -> str:
        return published_forward(key.columns, self._tables[key.parent].name)

    def _is_only(self, key: Key) -> bool:
        return len(self._siblings[key.child, key.parent]) == 1

    def _settling_aliases(self) -> dict[Key, Word]:
        """The aliases of columns that tell apart what the published rule names alike."""
        uses = Counter((key.child, self._published(key)) for key in self._keys if key.forward_visible)
        aliases = {key: self._column_alias(key) for key in self._keys if uses[key.child, self._published(key)] > 1}
        return {key: alias for key, alias in aliases.items() if alias is not None}

    def _column_alias(self, key: Key) -> Word | None:
        config = self._tables[key.child].config
        if len(key.columns) > 1 or config is None:
            return None
        return next((alias for column, alias in config.field_aliases if column.text == key.columns[0]), None)

    def _forward_end(self, key: Key) -> _End:
        parent = self._tables[key.parent].name
        alias = self._aliases.get(key)
        published = without_id(alias.text) if alias else self._published(key)
        stem = None if alias else self._stem(key)
        by_rule = (
            published if stem is None else "",
            stem if stem and ends_in_table(stem, (parent, key.parent)) else "",
            parent,
            f"{parent}_by_{self._label(key)}",
            f"{parent}_by_{'_'.join(key.columns)}",
        )
        return _End(key, "forward", published, alias, by_rule)

    def _stem(self, key: Key) -> str | None:
        """The name of a single column before an ending of keys that the published rule does not know; None where it
        has no such ending, or is the referenced table's name with it."""
        column = key.columns[0]
        if len(key.columns) > 1 or self._published(key) != column:
            return None
        if ends_in_table(column, (self._tables[key.parent].name, key.parent)):
            return None
        stem = without_key_suffix(column)
        return stem.rstrip("_") if stem is not None else None

    def _label(self, key: Key) -> str:
        """The key in `<table>_by_<key>`: its forward name by the published rule, or the columns that are its own."""
        if len(key.columns) == 1:
            alias = self._aliases.get(key)
            return without_id(alias.text if alias else key.columns[0])
        siblings = [other for other in self._siblings[key.child, key.parent] if other is not key]
        shared = {column for other in siblings for column in other.columns}
        own = [column for column in key.columns if column not in shared]
        if not own:
            common = set(key.columns).intersection(*(other.columns for other in siblings))
            own = [column for column in key.columns if column not in common]
        return without_id("_".join(own or key.columns))

    def _reverse_end(self, key: Key) -> _End:
        child = self._tables[key.child]
        side = "reverse"
        if self._is_only(key):
            alias = child.config.alias if child.config and child.name != key.child else None
            return _End(key, side, child.name, alias)
        return _End(key, side, f"{child.name}_by_{self._published_label(key)}")

    def _published_label(self, key: Key) -> str:
        """The forward name by the published rule, where it is the key's."""
        forward = self._forward.get(key)
        if forward is None:
            unique = self._uses[key.child, self._published(key)] == 1
            return self._published(key) if unique else self._label(key)
        return forward.published if self._spaces[key.child].has_published(forward) else self._label(key)

    def _reverse_wishes(self, key: Key) -> tuple[str, ...]:
        child = self._tables[key.child].name
        forward = self._forward.get(key)
        stem = forward.name if forward and forward.name == forward.wishes[1] else ""
        return (
            child if self._is_only(key) else "",
            f"{child}_by_{stem}" if stem else "",
            f"{child}_by_{self._published_label(key)}",
            f"{child}_by_{self._label(key)}",
            f"{child}_by_{'_'.join(key.columns)}",
        )


def _grouped(ends: Mapping[Key, _End], by_child: bool) -> list[tuple[str, list[_End]]]:
    groups: defaultdict[str, list[_End]] = defaultdict(list)
    for key, end in ends.items():
        groups[key.child if by_child else key.parent].append(end)
    return list(groups.items())


def _order(key: Key) -> tuple[str, tuple[str, ...], str, tuple[str, ...]]:
    return key.child, key.columns, key.parent, key.parent_columns
