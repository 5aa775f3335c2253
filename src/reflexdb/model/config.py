"""reflexdb.yaml: from its text to a checked value that remembers where everything was written.

`parse_config` is called by the API when a file is stored and by the build before planning. It judges syntax and shape
alone: known keys, right types, no duplicates, `include` and `exclude` not both. It is pure and refuses to know the
source: whether a table exists is judged by build/plan.py, which points back into the file with the positions kept
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from reflexdb.model.document import Place, Rule, Word, compose, entries, items, kind, place, record, word
from reflexdb.model.plan import SyncSettings
from reflexdb.model.retype import EPOCHS, TYPES
from reflexdb.model.suggest import did_you_mean, quoted

MAX_INTERVAL_S = 86_400
MAX_SAFETY_NET_S = 31_536_000
RECONNECT_MODES = ("full", "resume")
VIEWS = ("auto", "none")


@dataclass(frozen=True, slots=True)
class AddedRelation:
    """A relation the source has no foreign key for."""

    column: Word
    references: Word
    """`table.column`; both may contain dots, so only the plan can tell them apart."""


@dataclass(frozen=True, slots=True)
class Relations:
    include: tuple[Word, ...] | None = None
    exclude: tuple[Word, ...] = ()
    add: tuple[AddedRelation, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type that a column is to have."""

    column: Word
    type: str
    """A word of TYPES, or `epoch`."""
    epoch: str
    """The unit of EPOCHS; empty for the other types."""
    at: Place


@dataclass(frozen=True, slots=True)
class TableConfig:
    name: Word
    alias: Word | None = None
    columns: tuple[Word, ...] | None = None
    where: Word | None = None
    """An empty text lifts the global predicate from this table."""
    relations: Relations = Relations()
    reverse_exclude: tuple[Word, ...] = ()
    field_aliases: tuple[tuple[Word, Word], ...] = ()
    field_notes: tuple[tuple[Word, Word], ...] = ()
    indexes: tuple[tuple[Word, ...], ...] = ()
    types: tuple[ColumnType, ...] = ()


@dataclass(frozen=True, slots=True)
class SchemaConfig:
    where: Word | None = None
    where_columns: tuple[Word, ...] = ()
    tables: tuple[TableConfig, ...] | None = None
    """None where every table is included."""
    exclude_tables: tuple[Word, ...] = ()
    """Names and patterns of tables that are left out of those."""
    overrides: tuple[TableConfig, ...] = ()
    """Settings of tables that choose none."""
    views: tuple[Word, ...] | None = None
    """Views to include; None for all that can be read."""
    sync: SyncSettings = field(default_factory=SyncSettings)


def parse_config(text: str) -> SchemaConfig:
    """Read reflexdb.yaml. Raises InvalidConfig with the position of the first thing that is wrong."""
    root = compose(text)
    values = record(root, "The file", _FILE)
    if "version" not in values:
        raise place(root).error('The key "version" is missing; write "version: 1".')
    del values["version"]
    config = SchemaConfig(**values)
    _check_overrides(config)
    return config


def _check_overrides(config: SchemaConfig) -> None:
    listed = {table.name.text: table.name.at for table in config.tables or ()}
    for table in config.overrides:
        if table.name.text in listed:
            raise table.name.at.error(
                f'{quoted(table.name.text)} is in both "tables" (line {listed[table.name.text].line}) and '
                '"overrides"; keep its settings in "tables".'
            )


def _version(node: yaml.Node, what: str) -> int:
    if not (isinstance(node, yaml.ScalarNode) and node.value == "1" and kind(node) == "a number"):
        raise place(node).error(f"{what} must be the number 1.")
    return 1


def _name(node: yaml.Node, what: str) -> Word:
    name = word(node, what)
    if not name.text:
        raise name.at.error(f"{what} must not be empty.")
    return name


def _names(node: yaml.Node, what: str) -> tuple[Word, ...]:
    return _unique([_name(item, f"An item of {what}") for item in items(node, what)], what)


def _unique(names: list[Word], what: str) -> tuple[Word, ...]:
    seen: dict[str, Place] = {}
    for name in names:
        if name.text in seen:
            raise name.at.error(f"{what} names {quoted(name.text)} twice; the first is in line {seen[name.text].line}.")
        seen[name.text] = name.at
    return tuple(names)


def _words_by_name(value_rule: Callable[[yaml.Node, str], Word]) -> Rule:
    def rule(node: yaml.Node, what: str) -> tuple[tuple[Word, Word], ...]:
        return tuple((key, value_rule(value, f"{quoted(key.text)} in {what}")) for key, value in entries(node, what))

    return rule


def _relations(node: yaml.Node, what: str) -> Relations:
    values = record(node, what, {"include": _names, "exclude": _names, "add": _added})
    if "include" in values and "exclude" in values:
        raise place(node).error(f'{what} has both "include" and "exclude"; keep one of them.')
    return Relations(**values)


def _added(node: yaml.Node, what: str) -> tuple[AddedRelation, ...]:
    return tuple(_added_relation(item, f"An item of {what}") for item in items(node, what))


def _added_relation(node: yaml.Node, what: str) -> AddedRelation:
    values = record(node, what, {"column": _name, "references": _name})
    for key in ("column", "references"):
        if key not in values:
            raise place(node).error(f'{what} lacks "{key}"; write {{column: parent_id, references: parents.id}}.')
    references: Word = values["references"]
    if not re.fullmatch(r".+\..+", references.text, re.DOTALL):
        raise references.at.error('"references" must be a table and a column with a dot between: parents.id.')
    return AddedRelation(**values)


def _reverse_relations(node: yaml.Node, what: str) -> tuple[Word, ...]:
    for key, _ in entries(node, what):
        if key.text in {"include", "add"}:
            raise key.at.error(f'{what} knows only "exclude".')
    exclude: tuple[Word, ...] = record(node, what, {"exclude": _names}).get("exclude", ())
    return exclude


def _indexes(node: yaml.Node, what: str) -> tuple[tuple[Word, ...], ...]:
    found: list[tuple[Word, ...]] = []
    for item in items(node, what):
        columns = _names(item, f"An item of {what}")
        if not columns:
            raise place(item).error(f"An item of {what} is an empty list; name its columns or remove it.")
        found.append(columns)
    return tuple(found)


def _types(node: yaml.Node, what: str) -> tuple[ColumnType, ...]:
    return tuple(
        _column_type(column, value, f"{quoted(column.text)} in {what}") for column, value in entries(node, what)
    )


def _column_type(column: Word, node: yaml.Node, what: str) -> ColumnType:
    if isinstance(node, yaml.MappingNode):
        unit: Word | None = record(node, what, {"epoch": word}).get("epoch")
        if unit is None or unit.text not in EPOCHS:
            raise place(node).error(f"{what} must be a type, or {{epoch: s}}, {{epoch: ms}} or {{epoch: us}}.")
        return ColumnType(column, "epoch", unit.text, place(node))
    named = word(node, what)
    if named.text not in TYPES:
        hint = did_you_mean(named.text, TYPES) or f" Known: {', '.join(TYPES)}, {{epoch: s|ms|us}}."
        raise named.at.error(f"{what} is no type: {quoted(named.text)}.{hint}")
    return ColumnType(column, named.text, "", named.at)


def _tables(node: yaml.Node, what: str) -> tuple[TableConfig, ...]:
    tables = [_table(item, f"An item of {what}") for item in items(node, what)]
    if not tables:
        raise place(node).error(
            f"{what} is an empty list; name at least one table, or leave {what} out to include all."
        )
    _unique([table.name for table in tables], what)
    return tuple(tables)


def _table(node: yaml.Node, what: str) -> TableConfig:
    values = record(node, what, _TABLE)
    if "name" not in values:
        raise place(node).error(f'{what} lacks "name", the table\'s name in the source.')
    if "reverse_relations" in values:
        values["reverse_exclude"] = values.pop("reverse_relations")
    return TableConfig(**values)


def _overrides(node: yaml.Node, what: str) -> tuple[TableConfig, ...]:
    rules = {key: rule for key, rule in _TABLE.items() if key != "name"}
    tables: list[TableConfig] = []
    for name, settings in entries(node, what):
        values = record(settings, f"{quoted(name.text)} in {what}", rules)
        if "reverse_relations" in values:
            values["reverse_exclude"] = values.pop("reverse_relations")
        tables.append(TableConfig(name=name, **values))
    return tuple(tables)


def _views(node: yaml.Node, what: str) -> tuple[Word, ...] | None:
    if isinstance(node, yaml.SequenceNode):
        return _names(node, what)
    choice = word(node, what) if isinstance(node, yaml.ScalarNode) else None
    if choice is None or choice.text not in VIEWS:
        raise place(node).error(f'{what} must be "auto", "none" or a list of views, not {kind(node)}.')
    return None if choice.text == "auto" else ()


def _schemas(node: yaml.Node, what: str) -> None:
    raise place(node).error(
        f"{what} is not supported yet: a database serves one schema. Register a database for each schema."
    )


def _sync(node: yaml.Node, what: str) -> SyncSettings:
    values = record(node, what, _SYNC)
    names = {"interval": "interval_s", "safety_net": "safety_net_s"}
    return SyncSettings(**{names.get(key, key): value for key, value in values.items()})


def _interval(node: yaml.Node, what: str) -> float:
    match = (
        isinstance(node, yaml.ScalarNode) and not node.style and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", node.value)
    )
    if not match or not 0 < float(node.value) <= MAX_INTERVAL_S:
        raise place(node).error(f"{what} must be a number of seconds, more than 0 and at most {MAX_INTERVAL_S:,}.")
    return float(node.value)


def _safety_net(node: yaml.Node, what: str) -> int:
    match = isinstance(node, yaml.ScalarNode) and not node.style and re.fullmatch(r"[0-9]{1,9}", node.value)
    if not match or int(node.value) > MAX_SAFETY_NET_S:
        raise place(node).error(f"{what} must be a whole number of seconds from 0 (off) to {MAX_SAFETY_NET_S:,}.")
    return int(node.value)


def _reconnect_mode(node: yaml.Node, what: str) -> str:
    mode = word(node, what)
    if mode.text not in RECONNECT_MODES:
        raise mode.at.error(f'{what} must be "full" or "resume", not {quoted(mode.text)}.')
    return mode.text


_FILE: dict[str, Rule] = {
    "version": _version,
    "where": _name,
    "where_columns": _names,
    "tables": _tables,
    "exclude_tables": _names,
    "overrides": _overrides,
    "views": _views,
    "schemas": _schemas,
    "sync": _sync,
}

_TABLE: dict[str, Rule] = {
    "name": _name,
    "alias": _name,
    "columns": _names,
    "where": word,
    "relations": _relations,
    "reverse_relations": _reverse_relations,
    "field_aliases": _words_by_name(_name),
    "field_notes": _words_by_name(word),
    "indexes": _indexes,
    "types": _types,
}

_SYNC: dict[str, Rule] = {"interval": _interval, "cdc_reconnect_mode": _reconnect_mode, "safety_net": _safety_net}
