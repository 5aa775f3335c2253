"""Which tables and views of the source reflexdb.yaml chooses, and which of its settings belong to them.

Called by build/selection.py. Applies `tables`, `exclude_tables`, `overrides` and `views`; a name or pattern that
matches nothing becomes a finding with a suggestion, and so does one that contradicts another. It refuses to know
columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate

from reflexdb.build.findings import Findings
from reflexdb.model.config import SchemaConfig, TableConfig
from reflexdb.model.document import Word
from reflexdb.model.not_served import NotServed
from reflexdb.model.schema import SourceSchema
from reflexdb.model.suggest import quoted

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Choice:
    tables: list[str]
    """Of those that the source describes, sorted."""
    wanted: frozenset[str]
    """The same with those that the source can't describe."""
    named: Mapping[str, TableConfig]
    """Entries of `tables`."""
    settings: Mapping[str, TableConfig]
    """Entries of `tables` and of `overrides`."""


def choose(schema: SourceSchema, config: SchemaConfig, findings: Findings) -> Choice:
    known = {table.name: table for table in schema.tables}
    unread = {entry.table: entry for entry in schema.not_served if entry.column is None and entry.relation is None}
    named = {table.name.text: table for table in config.tables or ()}
    for table in named.values():
        _check_known(table.name, known, unread, findings)
    everything = {*known, *(entry.table for entry in schema.not_served)}
    excluded = _excluded(config.exclude_tables, everything, findings)
    views = {name for name, table in known.items() if table.is_view}
    unwanted = views - _wanted_views(config, views, known, findings)
    pool = everything if config.tables is None else {*named}
    wanted = pool - excluded.keys() - unwanted
    _check_contradictions(config, excluded, unwanted, findings)
    overrides = {table.name.text: table for table in config.overrides}
    for table in overrides.values():
        _check_override(table.name, wanted, known, unread, findings)
    return Choice(sorted(wanted & known.keys()), frozenset(wanted), named, named | overrides)


def _check_known(name: Word, known: Collection[str], unread: Mapping[str, NotServed], findings: Findings) -> bool:
    if name.text in known:
        return True
    if name.text in unread:
        findings.config(name.at, f"The {unread[name.text].line()}")
    else:
        findings.config(name.at, f"The source has no table {quoted(name.text)}.{findings.hint(name.text, known)}")
    return False


def _excluded(words: Iterable[Word], everything: Collection[str], findings: Findings) -> dict[str, Word]:
    """The excluded tables, with what excludes each."""
    excluded: dict[str, Word] = {}
    for one in words:
        matched = _matches(one.text, everything)
        if not matched:
            what = "table that matches" if _PATTERN.search(one.text) else "table"
            hint = findings.hint(one.text, everything)
            findings.config(one.at, f'"exclude_tables": the source has no {what} {quoted(one.text)}.{hint}')
        for name in matched:
            excluded.setdefault(name, one)
    return excluded


def _matches(pattern: str, names: Collection[str]) -> list[str]:
    """A name is itself; otherwise `*`, `?` and `[...]` stand for what they stand for in a shell. Letter case counts."""
    if pattern in names:
        return [pattern]
    if not _PATTERN.search(pattern):
        return []
    fits = re.compile(translate(pattern)).match
    return [name for name in names if fits(name)]


def _wanted_views(config: SchemaConfig, views: Collection[str], known: Collection[str], findings: Findings) -> set[str]:
    if config.views is None:
        return set(views)
    for view in config.views:
        if view.text in views:
            continue
        if view.text in known:
            findings.config(view.at, f'{quoted(view.text)} is a table, not a view; remove it from "views".')
        else:
            findings.config(view.at, f"The source has no view {quoted(view.text)}.{findings.hint(view.text, views)}")
    return {view.text for view in config.views}


def _check_contradictions(
    config: SchemaConfig, excluded: Mapping[str, Word], unwanted: Collection[str], findings: Findings
) -> None:
    for table in config.tables or ():
        if table.name.text in unwanted:
            findings.config(
                table.name.at, f'{quoted(table.name.text)} is a view that "views" leaves out; add it there.'
            )
    for view in config.views or ():
        if view.text in excluded:
            findings.config(view.at, f'{quoted(view.text)} is also in "exclude_tables"; remove one of the two.')


def _check_override(
    name: Word, wanted: Collection[str], known: Collection[str], unread: Mapping[str, NotServed], findings: Findings
) -> None:
    if _check_known(name, known, unread, findings) and name.text not in wanted:
        findings.config(
            name.at,
            f'"overrides" has settings of {quoted(name.text)}, which is not included; include it or remove them.',
        )
