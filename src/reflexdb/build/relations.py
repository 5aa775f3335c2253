"""Second planning pass: the relations between shown tables, with the names a query uses for them.

Called by build/plan.py. A forward relation is named after its column without a trailing `_id` (a composite key: after
the referenced table), a reverse one after the table that holds the key, or `<table>_by_<forward>` where that table
has several keys to the same parent. Applies `relations` and `reverse_relations` of reflexdb.yaml. Keys that cannot be
served are left out, and listed; names that clash become findings with both sides. It refuses to know positions in the
plan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reflexdb.build.findings import Findings
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


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key between two shown tables, by source names."""

    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    added: bool = False
    forward: str = ""
    reverse: str = ""
    forward_visible: bool = True
    reverse_visible: bool = True

    def described(self) -> str:
        columns = ", ".join(quoted(column) for column in self.columns)
        parent_columns = ", ".join(quoted(column) for column in self.parent_columns)
        return f"the key ({columns}) of {quoted(self.child)} to {quoted(self.parent)} ({parent_columns})"


def relate(schema: SourceSchema, tables: Mapping[str, Selected], findings: Findings) -> tuple[Key, ...]:
    """Every key that a visible relation needs, in the order of tables and their keys."""
    keys: list[Key] = []
    for table in tables.values():
        declared = _declared(table, tables, findings)
        keys += _without_twins([*declared, *_added(table, tables, findings)], findings)
    named = _named(keys, tables)
    shown = [_with_visibility(key, tables) for key in named]
    _check_choices(named, schema, tables, findings)
    _check_clashes(shown, findings)
    return tuple(key for key in shown if key.forward_visible or key.reverse_visible)


def _declared(table: Selected, tables: Mapping[str, Selected], findings: Findings) -> list[Key]:
    keys: list[Key] = []
    for foreign in table.source.foreign_keys:
        key = Key(table.source.name, foreign.columns, foreign.references, foreign.referenced_columns)
        reason = _why_not(key, tables)
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


def _why_not(key: Key, tables: Mapping[str, Selected]) -> _Reason | None:
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
    return None


def _family(storage: Storage) -> str:
    return _FAMILIES.get(storage, storage.name)


def _added(table: Selected, tables: Mapping[str, Selected], findings: Findings) -> list[Key]:
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
        reason = _why_not(key, tables)
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


def _without_id(name: str) -> str:
    return name[: -len("_id")] if name.endswith("_id") and name != "_id" else name


def _named(keys: list[Key], tables: Mapping[str, Selected]) -> list[Key]:
    with_forward = [replace(key, forward=_forward_name(key, tables)) for key in keys]
    uses = Counter((key.child, key.forward) for key in with_forward)
    settled = [
        replace(key, forward=_aliased_name(key, tables)) if uses[key.child, key.forward] > 1 else key
        for key in with_forward
    ]
    siblings = Counter((key.child, key.parent) for key in settled)
    return [replace(key, reverse=_reverse_name(key, siblings[key.child, key.parent], tables)) for key in settled]


def _forward_name(key: Key, tables: Mapping[str, Selected]) -> str:
    return _without_id(key.columns[0]) if len(key.columns) == 1 else tables[key.parent].name


def _aliased_name(key: Key, tables: Mapping[str, Selected]) -> str:
    """Where two keys of a table derive the same name, the alias of the key's column settles it."""
    alias = tables[key.child].aliases.get(key.columns[0]) if len(key.columns) == 1 else None
    return _without_id(alias) if alias else key.forward


def _reverse_name(key: Key, siblings: int, tables: Mapping[str, Selected]) -> str:
    child = tables[key.child].name
    return child if siblings == 1 else f"{child}_by_{key.forward}"


def _with_visibility(key: Key, tables: Mapping[str, Selected]) -> Key:
    child, parent = tables[key.child].config, tables[key.parent].config
    include = _texts(child.relations.include) if child and child.relations.include is not None else None
    excluded = _texts(child.relations.exclude) if child else frozenset()
    return replace(
        key,
        forward_visible=key.forward not in excluded and (include is None or key.added or key.forward in include),
        reverse_visible=key.reverse not in (_texts(parent.reverse_exclude) if parent else ()),
    )


def _texts(words: tuple[Word, ...] | None) -> frozenset[str]:
    return frozenset(word.text for word in words or ())


def _check_choices(keys: list[Key], schema: SourceSchema, tables: Mapping[str, Selected], findings: Findings) -> None:
    """Names in include and exclude must be relations of the source; to a table that is left out they change nothing."""
    forward: defaultdict[str, set[str]] = defaultdict(set)
    reverse: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys:
        forward[key.child].add(key.forward)
        reverse[key.parent].add(key.reverse)
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
            name = _without_id(foreign.columns[0]) if len(foreign.columns) == 1 else foreign.references
            forward[child.name].add(name)
            reverse[foreign.references].update({child.name, f"{child.name}_by_{name}"})


def _check_known(words: tuple[Word, ...], known: set[str], sentence: str, findings: Findings) -> None:
    for word in words:
        if word.text not in known:
            have = ", ".join(quoted(name) for name in sorted(known)[:10])
            hint = findings.hint(word.text, known) or (f" It has {have}." if known else " It has none.")
            findings.config(word.at, f"{sentence} {quoted(word.text)}.{hint}")


def _check_clashes(keys: list[Key], findings: Findings) -> None:
    owners: dict[tuple[str, str], str] = {}
    for key in keys:
        if key.forward_visible:
            _claim(owners, key.child, key.forward, f"forward over {key.described()}", findings)
    for key in keys:
        if key.reverse_visible:
            _claim(owners, key.parent, key.reverse, f"reverse over {key.described()}", findings)


def _claim(owners: dict[tuple[str, str], str], table: str, name: str, side: str, findings: Findings) -> None:
    """Each visible end of a key claims its name once; who comes second has found a clash."""
    if (table, name) in owners:
        findings.schema(
            f"The table {quoted(table)} would have two relations named {quoted(name)}: {owners[table, name]}, "
            f"and {side}; settle it in reflexdb.yaml with an alias of the table or of the key's column, or exclude one."
        )
    owners.setdefault((table, name), side)
