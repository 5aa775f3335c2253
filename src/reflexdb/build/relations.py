"""Second planning pass: the relations between shown tables, with the names a query uses for them.

Called by build/plan.py. It decides which keys become relations, and applies `relations` and `reverse_relations` of
reflexdb.yaml; build/names.py names both ends of each. Keys that cannot be served are left out, and listed. It refuses
to know positions in the plan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reflexdb.build.compared import Compared
from reflexdb.build.findings import Findings
from reflexdb.build.keys import Key, Names
from reflexdb.build.names import name_relations, published_forward
from reflexdb.build.selection import Selected, obstacle
from reflexdb.model.config import AddedRelation
from reflexdb.model.document import Word
from reflexdb.model.not_served import Cause, NotServed, as_utf8
from reflexdb.model.schema import SourceSchema
from reflexdb.model.storage import Storage
from reflexdb.model.suggest import quoted

_FAMILIES: dict[Storage, str] = {
    **dict.fromkeys((Storage.BOOL, Storage.I16, Storage.I32, Storage.I64, Storage.U64, Storage.DECIMAL), "number"),
    **dict.fromkeys((Storage.F32, Storage.F64), "float"),
    **dict.fromkeys((Storage.TEXT, Storage.ENUM), "text"),
}
"""Storages that the engine compares by value as keys (engine/key.h); one that is not here only goes with itself."""


def relate(
    schema: SourceSchema, tables: Mapping[str, Selected], compared: Compared, findings: Findings
) -> tuple[Key, ...]:
    """Every key that a visible relation needs, in the order of tables and their keys."""
    keys: list[Key] = []
    for table in tables.values():
        declared = _declared(table, tables, compared, findings)
        keys += _without_twins([*declared, *_added(table, tables, compared, findings)], findings)
    named = name_relations(keys, tables, Findings())
    choices = _Choices(named, tables)
    _check_choices(choices.known(named), schema, tables, findings)
    final = name_relations([choices.apply(key) for key in named], tables, findings, named)
    return tuple(key for key in final if key.forward_visible or key.reverse_visible)


def _declared(table: Selected, tables: Mapping[str, Selected], compared: Compared, findings: Findings) -> list[Key]:
    keys: list[Key] = []
    for foreign in table.source.foreign_keys:
        key = Key(table.source.name, foreign.columns, foreign.references, foreign.referenced_columns)
        reason = _why_not(key, tables, compared)
        if reason:
            sentence = f"It is {key.described()}, and {reason.words}."
            name = as_utf8(foreign.name)
            findings.leave_out(NotServed.of_relation(table.source.name, name, reason.cause, sentence, reason.remedy))
        else:
            keys.append(key)
    return keys


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why a key can't become a relation."""

    words: str
    cause: Cause = Cause.MISSING_TARGET
    remedy: str = ""


def _why_not(key: Key, tables: Mapping[str, Selected], compared: Compared) -> _Reason | None:
    """None for a key that can become a relation."""
    parent = tables.get(key.parent)
    if parent is None:
        return _Reason(f"the table {quoted(key.parent)} is not included", remedy="Serve that table, too.")
    if not key.columns or len(key.columns) != len(key.parent_columns):
        return _Reason("it does not pair its columns with those it references")
    child_columns, parent_columns = tables[key.child].columns(), parent.columns()
    for name, other_name in zip(key.columns, key.parent_columns, strict=True):
        column, other = child_columns.get(name), parent_columns.get(other_name)
        if column is None or other is None:
            return _Reason(f"the column {quoted(other_name if column else name)} does not exist, or may not be read")
        if column.storage is None or other.storage is None:
            unsupported = other_name if column.storage else name
            return _Reason(f"the type of {quoted(unsupported)} is not supported", Cause.UNSUPPORTED_TYPE)
        if cause := obstacle(column) or obstacle(other):
            return _Reason("a column's name is not valid UTF-8", cause, "Rename it.")
        if Storage.JSON in (column.storage, other.storage) or _family(column.storage) != _family(other.storage):
            types = f"{quoted(column.declared_type)} and {quoted(other.declared_type)}"
            return _Reason(f"{types} cannot be compared", Cause.NOT_COMPARABLE)
    if obstacle_words := compared.obstacle(key):
        return _Reason(obstacle_words, Cause.NOT_COMPARABLE)
    return None


def _family(storage: Storage) -> str:
    return _FAMILIES.get(storage, storage.name)


def _added(table: Selected, tables: Mapping[str, Selected], compared: Compared, findings: Findings) -> list[Key]:
    keys: list[Key] = []
    for added in table.config.relations.add if table.config else ():
        if added.column.text not in table.columns():
            hint = findings.hint(added.column.text, table.columns())
            findings.config(
                added.column.at,
                f"The table {quoted(table.source.name)} has no column {quoted(added.column.text)}.{hint}",
            )
            continue
        target = _target(added, tables, findings)
        if target is None:
            continue
        key = Key(table.source.name, (added.column.text,), target[0], (target[1],), added=True)
        reason = _why_not(key, tables, compared)
        if reason:
            findings.config(added.references.at, f"The relation cannot be added: {reason.words}.")
        else:
            keys.append(key)
    return keys


def _target(added: AddedRelation, tables: Mapping[str, Selected], findings: Findings) -> tuple[str, str] | None:
    """Table and column of `references`. Either may contain dots: the longest table name that fits is taken."""
    text = added.references.text
    fitting = sorted((name for name in tables if text.startswith(name + ".")), key=len, reverse=True)
    for table in fitting:
        column = text[len(table) + 1 :]
        if column in tables[table].columns():
            return table, column
    if fitting:
        column = text[len(fitting[0]) + 1 :]
        hint = findings.hint(column, tables[fitting[0]].columns())
        findings.config(added.references.at, f"The table {quoted(fitting[0])} has no column {quoted(column)}.{hint}")
    else:
        table = text.rpartition(".")[0]
        findings.config(added.references.at, f"No table {quoted(table)} is included.{findings.hint(table, tables)}")
    return None


def _without_twins(keys: list[Key], findings: Findings) -> list[Key]:
    """Databases allow the same key to be declared twice; it is one relation."""
    seen: dict[tuple[object, ...], Key] = {}
    for key in keys:
        pairs = tuple(sorted(zip(key.columns, key.parent_columns, strict=True)))
        if seen.setdefault((key.parent, pairs), key) is not key:
            findings.note(f"Dropped a second declaration of {key.described()}.")
    return list(seen.values())


class _Choices:
    """What `relations` and `reverse_relations` leave of the named keys.

    A word means the relation that has the name. One that relations would have by the published rule, and none of them
    has since another relation or each other claims it, means those.
    """

    def __init__(self, named: Sequence[Key], tables: Mapping[str, Selected]) -> None:
        self._tables = tables
        self.forward: defaultdict[str, set[str]] = defaultdict(set)
        self.reverse: defaultdict[str, set[str]] = defaultdict(set)
        self._siblings = Counter((key.child, key.parent) for key in named)
        for key in named:
            self.forward[key.child].update(key.forward.all())
            self.reverse[key.parent].update(key.reverse.all())

    def apply(self, key: Key) -> Key:
        child, parent = self._tables[key.child].config, self._tables[key.parent].config
        include = child.relations.include if child else None
        excluded = child.relations.exclude if child else ()
        hidden = parent.reverse_exclude if parent else ()
        forward = self._meant(key.forward, self._published_forward(key), self.forward[key.child])
        reverse = self._meant(key.reverse, self._published_reverse(key), self.reverse[key.parent])
        included = include is None or key.added or _any_of(include, forward)
        return replace(
            key,
            forward_visible=included and not _any_of(excluded, forward),
            reverse_visible=not _any_of(hidden, reverse),
        )

    def known(self, named: Iterable[Key]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Every name that a word may have: of forward relations by child, of reverse ones by parent."""
        forward = defaultdict(set, {name: set(names) for name, names in self.forward.items()})
        reverse = defaultdict(set, {name: set(names) for name, names in self.reverse.items()})
        for key in named:
            forward[key.child].add(self._published_forward(key))
            reverse[key.parent].add(self._published_reverse(key))
        return forward, reverse

    def _meant(self, names: Names, published: str, taken: set[str]) -> frozenset[str]:
        return frozenset(names.all() if published in taken else (*names.all(), published))

    def _published_forward(self, key: Key) -> str:
        return published_forward(key.columns, self._tables[key.parent].name)

    def _published_reverse(self, key: Key) -> str:
        child = self._tables[key.child].name
        single = self._siblings[key.child, key.parent] == 1
        return child if single else f"{child}_by_{self._published_forward(key)}"


def _any_of(words: Iterable[Word], names: frozenset[str]) -> bool:
    return any(word.text in names for word in words)


def _check_choices(
    known: tuple[dict[str, set[str]], dict[str, set[str]]],
    schema: SourceSchema,
    tables: Mapping[str, Selected],
    findings: Findings,
) -> None:
    """Names in include and exclude must be relations of the source; to a table that is left out they change nothing."""
    forward, reverse = known
    if any(table.config for table in tables.values()):
        _add_left_out(schema, tables, forward, reverse)
    for name, table in tables.items():
        if not table.config:
            continue
        chosen = (*(table.config.relations.include or ()), *table.config.relations.exclude)
        _check_known(chosen, forward[name], f"The table {quoted(name)} has no forward relation", findings)
        _check_known(
            table.config.reverse_exclude, reverse[name], f"The table {quoted(name)} has no reverse relation", findings
        )


def _add_left_out(
    schema: SourceSchema, tables: Mapping[str, Selected], forward: dict[str, set[str]], reverse: dict[str, set[str]]
) -> None:
    for child in schema.tables:
        for foreign in child.foreign_keys:
            if child.name in tables and foreign.references in tables:
                continue
            if not foreign.columns:
                continue
            name = published_forward(foreign.columns, foreign.references)
            forward[child.name].add(name)
            reverse[foreign.references].update({child.name, f"{child.name}_by_{name}"})


def _check_known(words: tuple[Word, ...], known: set[str], sentence: str, findings: Findings) -> None:
    for word in words:
        if word.text not in known:
            have = ", ".join(quoted(name) for name in sorted(known)[:10])
            hint = findings.hint(word.text, known) or (f" It has {have}." if known else " It has none.")
            findings.config(word.at, f"{sentence} {quoted(word.text)}.{hint}")
