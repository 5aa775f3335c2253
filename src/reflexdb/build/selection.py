"""First planning pass: which tables and columns of the source an image shows, and under which names.

Called by build/plan.py. Applies `tables`, `columns`, `alias`, `field_aliases`, `field_notes` and `where` of
reflexdb.yaml; whatever names something that the source does not have becomes a finding. What can't be served and is not
asked for by name is left out, and listed. It refuses to know relations: columns that only a key needs join later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from reflexdb.build.choice import choose
from reflexdb.build.column_types import with_types
from reflexdb.build.findings import Findings
from reflexdb.model.config import SchemaConfig, TableConfig
from reflexdb.model.document import Word
from reflexdb.model.not_served import Cause, NotServed, as_utf8
from reflexdb.model.schema import SourceColumn, SourceSchema, SourceTable
from reflexdb.model.suggest import quoted

MAX_TABLES = 65_535
MAX_COLUMNS = 65_535
"""The generated tables count columns with 16 bits."""
SHOWN = 3
"""Tables that an error names, of those that can't be served."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A table that the image shows."""

    source: SourceTable
    name: str
    visible: frozenset[str]
    """Source names of the columns a query can see."""
    config: TableConfig | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    where: str | None = None

    def column_name(self, source_name: str) -> str:
        return self.aliases.get(source_name, source_name)

    def columns(self) -> dict[str, SourceColumn]:
        return {column.name: column for column in self.source.columns}


def select(schema: SourceSchema, config: SchemaConfig, findings: Findings) -> dict[str, Selected]:
    """The shown tables by source name, in the order of their names."""
    if not schema.tables:
        findings.schema(_nothing_to_serve(schema))
    choice = choose(schema, config, findings)
    configs, chosen = choice.settings, choice.tables
    known = {
        table.name: with_types(table, configs.get(table.name), schema.backend, findings) for table in schema.tables
    }
    _check_where_columns(schema, config, findings)
    _leave_out(schema, choice.wanted, configs, findings)
    chosen = [name for name in chosen if _can_be_served(known[name], choice.named.get(name), findings)]
    if schema.tables and not chosen and config.tables is None:
        findings.schema(_nothing_to_serve(replace(schema, not_served=tuple(findings.not_served))))
    if len(chosen) > MAX_TABLES:
        findings.schema(
            f"{len(chosen):,} tables are more than the {MAX_TABLES:,} an image can hold; list fewer in reflexdb.yaml."
        )
    selected = {name: _select_table(known[name], configs.get(name), config, findings) for name in chosen}
    _check_table_names(selected, findings)
    return selected


def _nothing_to_serve(schema: SourceSchema) -> str:
    """Why a schema without tables can't be built, with the grant that may be missing."""
    unread = [entry for entry in schema.not_served if entry.column is None and entry.relation is None]
    name, grant = quoted(schema.name), f" Run: {schema.grant}" if schema.grant else ""
    if not unread:
        hint = f" If it has tables, the user may not see them.{grant}" if grant else ""
        return f"The schema {name} of the source has no tables or views; choose another one.{hint}"
    shown = "; ".join(entry.line().rstrip(".") for entry in unread[:SHOWN])
    more = f"; and {len(unread) - SHOWN:,} more" if len(unread) > SHOWN else ""
    denied = any(entry.cause is Cause.NO_PRIVILEGE for entry in unread)
    return f"No table of the schema {name} can be served: {shown}{more}.{grant if denied else ''}"


def _leave_out(
    schema: SourceSchema, wanted: Collection[str], configs: Mapping[str, TableConfig], findings: Findings
) -> None:
    """What the source could not describe, as far as the file does not choose other tables and columns."""
    for entry in schema.not_served:
        config = configs.get(entry.table)
        listed = None if config is None or config.columns is None else {word.text for word in config.columns}
        if entry.table in wanted and (entry.column is None or listed is None or entry.column in listed):
            findings.leave_out(entry)


def _can_be_served(table: SourceTable, entry: TableConfig | None, findings: Findings) -> bool:
    """Whether anything of a table can be; one that reflexdb.yaml names is a finding instead."""
    if entry is not None:
        return True
    if not _is_utf8(table.name):
        reason = "Its name is not valid UTF-8."
        findings.leave_out(NotServed.of_table(as_utf8(table.name), Cause.NAME, reason, "Rename it."))
        return False
    if any(obstacle(column) is None for column in table.columns):
        return True
    if table.columns:
        reason = "No column of it has a type and a name that can be served."
        findings.leave_out(NotServed.of_table(table.name, Cause.UNSUPPORTED_TYPE, reason, ""))
        return False
    if not any(left.table == table.name and left.column is None for left in findings.not_served):
        findings.leave_out(NotServed.of_table(table.name, Cause.UNREADABLE, "It has no columns.", ""))
    return False


def obstacle(column: SourceColumn) -> Cause | None:
    """Why a column can't be served; None where it can."""
    if column.storage is None:
        return Cause.UNSUPPORTED_TYPE
    return None if _is_utf8(column.name) else Cause.NAME


def _check_where_columns(schema: SourceSchema, config: SchemaConfig, findings: Findings) -> None:
    everywhere = {column.name for table in schema.tables for column in table.columns}
    for column in config.where_columns:
        if column.text not in everywhere:
            hint = findings.hint(column.text, everywhere)
            findings.config(column.at, f"No table of the source has a column {quoted(column.text)}.{hint}")
    if config.where_columns and config.where is None:
        findings.note('reflexdb.yaml has "where_columns" but no global "where"; it changes nothing.')


def _select_table(table: SourceTable, entry: TableConfig | None, config: SchemaConfig, findings: Findings) -> Selected:
    visible = _visible(table, entry, findings)
    selected = Selected(
        source=table,
        name=entry.alias.text if entry and entry.alias else table.name,
        visible=visible,
        config=entry,
        aliases=_by_column(table, visible, entry.field_aliases if entry else (), "field_aliases", findings),
        notes=_by_column(table, visible, entry.field_notes if entry else (), "field_notes", findings),
        where=_where(table, entry, config),
    )
    _check_text(selected, findings)
    _check_column_names(selected, findings)
    return selected


def _visible(table: SourceTable, entry: TableConfig | None, findings: Findings) -> frozenset[str]:
    names = [column.name for column in table.columns]
    listed = entry.columns if entry else None
    wanted = set(names) if listed is None else {word.text for word in listed}
    known = set(names)
    for word in listed or ():
        if word.text not in known:
            findings.config(word.at, _no_column(table, word.text, findings))
    visible = frozenset(name for name in names if name in wanted)
    for column in table.columns:
        if column.name not in visible or (cause := obstacle(column)) is None:
            continue
        if listed is None:
            visible -= {column.name}
            findings.leave_out(_left_out(table, column, cause))
        elif cause is Cause.UNSUPPORTED_TYPE:
            findings.schema(_unsupported(table, column))
    if not names:
        findings.schema(
            f"The table {quoted(table.name)} has no columns; list the tables to include without it in reflexdb.yaml."
        )
    elif entry and not wanted:
        findings.config(
            entry.name.at, f"No columns are left of the table {quoted(table.name)}: its list of columns is empty."
        )
    elif len(names) > MAX_COLUMNS:
        findings.schema(
            f"The table {quoted(table.name)} has {len(names):,} columns; at most {MAX_COLUMNS:,} are supported."
        )
    return visible


def _no_column(table: SourceTable, name: str, findings: Findings) -> str:
    left_out = next((left for left in findings.not_served if (left.table, left.column) == (table.name, name)), None)
    if left_out is not None:
        return f"The {left_out.line()}"
    hint = findings.hint(name, (column.name for column in table.columns))
    return f"The table {quoted(table.name)} has no column {quoted(name)}.{hint}"


def _left_out(table: SourceTable, column: SourceColumn, cause: Cause) -> NotServed:
    if cause is Cause.NAME:
        reason = "Its name is not valid UTF-8."
        return NotServed.of_column(table.name, as_utf8(column.name), cause, reason, "Rename it.")
    why = f" ({column.unsupported.rstrip('.')})" if column.unsupported else ""
    reason = f"Its type {quoted(column.declared_type)} is not supported{why}."
    return NotServed.of_column(table.name, column.name, cause, reason, "Serve it through a view that casts it.")


def _unsupported(table: SourceTable, column: SourceColumn) -> str:
    where = f"{quoted(table.name)}.{quoted(column.name)}"
    reason = f" ({column.unsupported.rstrip('.')})" if column.unsupported else ""
    advice = 'list the columns to include without it under "columns" in reflexdb.yaml'
    return f"The column {where} has the type {quoted(column.declared_type)}, which is not supported{reason}; {advice}."


def _by_column(
    table: SourceTable, visible: frozenset[str], pairs: tuple[tuple[Word, Word], ...], key: str, findings: Findings
) -> dict[str, str]:
    names = {column.name for column in table.columns}
    for column, _ in pairs:
        if column.text not in names:
            findings.config(column.at, _no_column(table, column.text, findings))
        elif column.text not in visible:
            findings.config(
                column.at,
                f'{quoted(column.text)} in "{key}" is not among the listed columns of the table {quoted(table.name)}.',
            )
    return {column.text: value.text for column, value in pairs if column.text in visible}


def _where(table: SourceTable, entry: TableConfig | None, config: SchemaConfig) -> str | None:
    if entry and entry.where is not None:
        return entry.where.text or None
    names = {column.name for column in table.columns}
    if config.where is not None and all(column.text in names for column in config.where_columns):
        return config.where.text
    return None


def _check_text(selected: Selected, findings: Findings) -> None:
    """Names travel as UTF-8; a source can hand over ones that cannot (SQLite stores any bytes)."""
    for name in (selected.name, *(selected.column_name(name) for name in sorted(selected.visible))):
        if not _is_utf8(name):
            findings.schema(
                f"The name {quoted(name)} in the table {quoted(selected.source.name)} is not valid UTF-8; rename it."
            )


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_column_names(selected: Selected, findings: Findings) -> None:
    owner: dict[str, str] = {}
    for column in selected.source.columns:
        if column.name not in selected.visible:
            continue
        name = selected.column_name(column.name)
        if name in owner:
            sentence = (
                f"Two columns of the table {quoted(selected.source.name)} would be named {quoted(name)}: "
                f"{quoted(owner[name])} and {quoted(column.name)}; give one another alias."
            )
            place = _alias_place(selected, {owner[name], column.name})
            if place:
                findings.config(place.at, sentence)
            else:
                findings.schema(sentence)
        owner.setdefault(name, column.name)


def _alias_place(selected: Selected, columns: set[str]) -> Word | None:
    aliases = selected.config.field_aliases if selected.config else ()
    return next((alias for column, alias in aliases if column.text in columns), None)


def _check_table_names(selected: Mapping[str, Selected], findings: Findings) -> None:
    owner: dict[str, Selected] = {}
    for table in selected.values():
        other = owner.setdefault(table.name, table)
        if other is table:
            continue
        sentence = (
            f"Two tables would be named {quoted(table.name)}: {quoted(other.source.name)} and "
            f"{quoted(table.source.name)}; give one another alias."
        )
        aliases = [entry.config.alias for entry in (table, other) if entry.config and entry.config.alias]
        if aliases:
            findings.config(aliases[0].at, sentence)
        else:
            findings.schema(sentence)
