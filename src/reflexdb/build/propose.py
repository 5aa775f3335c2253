"""Relations that the names of columns suggest where the source declares no key: candidates, and a file to accept them.

Called by control/config_advice.py, which checks each candidate against the source's rows. Pure: it knows names and
types, and refuses to know rows. Nothing that it proposes is ever taken by itself.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reflexdb.model.nouns import singulars, without_key_suffix
from reflexdb.model.schema import SourceColumn, SourceSchema, SourceTable
from reflexdb.model.storage import Storage

MAX_CANDIDATES = 1_000
ENOUGH = 0.95
"""The share of the values looked at that must be found in the other table."""

_GROUPS = (
    frozenset({Storage.I16, Storage.I32, Storage.I64, Storage.U64}),
    frozenset({Storage.TEXT, Storage.ENUM}),
    frozenset({Storage.UUID}),
)
_GENERIC = frozenset({"id", "uuid", "guid", "key", "code", "no", "name", "type", "value", "position"})
"""Names of keys that say nothing of their table."""
_WITH_ROLE = re.compile(r"(?P<stem>.+)_id_.+\Z")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Candidate:
    table: str
    column: str
    parent: str
    parent_column: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A candidate and the values that were looked at: how many different ones, and how many the other table has."""

    candidate: Candidate
    values: int
    found: int

    @property
    def accepted(self) -> bool:
        return self.values > 0 and self.found >= self.values * ENOUGH


def candidates(schema: SourceSchema) -> list[Candidate]:
    """By table and column; at most MAX_CANDIDATES, and one table for each column."""
    parents = {table.name: key for table in schema.tables if (key := _single_key(table)) is not None}
    names = _Names(parents)
    found: list[Candidate] = []
    for table in schema.tables:
        taken = {column for key in table.foreign_keys for column in key.columns}
        for column in table.columns:
            if column.name in taken or table.is_view or table.primary_key == (column.name,):
                continue
            parent = names.parent_of(table.name, column.name)
            if parent is not None and _comparable(column, parents[parent]):
                found.append(Candidate(table.name, column.name, parent, parents[parent].name))
    return found[:MAX_CANDIDATES]


def _single_key(table: SourceTable) -> SourceColumn | None:
    if table.is_view or len(table.primary_key) != 1:
        return None
    return next(column for column in table.columns if column.name == table.primary_key[0])


def _comparable(one: SourceColumn, other: SourceColumn) -> bool:
    return any(one.storage in group and other.storage in group for group in _GROUPS)


class _Names:
    """Which table a column's name means."""

    def __init__(self, parents: Mapping[str, SourceColumn]) -> None:
        self._parents = parents
        self._forms: defaultdict[str, set[str]] = defaultdict(set)
        prefix = _common_prefix(parents)
        for name in parents:
            short = name[len(prefix) :] if prefix and name.startswith(prefix) else name
            for form in (*singulars(name), *singulars(short)):
                self._forms[_flat(form)].add(name)
        keys = Counter(column.name for column in parents.values())
        self._by_key = {
            column.name: name
            for name, column in parents.items()
            if keys[column.name] == 1 and column.name.lower() not in _GENERIC
        }

    def parent_of(self, table: str, column: str) -> str | None:
        if column in self._by_key:
            return self._by_key[column]
        with_role = _WITH_ROLE.fullmatch(column)
        stem = with_role["stem"] if with_role else without_key_suffix(column)
        if stem is not None and _flat(stem) == "parent":
            return table if table in self._parents else None
        for words in _endings(column if stem is None else stem):
            meant = self._forms.get(_flat(words), set())
            if len(meant) == 1:
                return next(iter(meant))
            if stem is None:
                break
        return None


def _endings(stem: str) -> Iterable[str]:
    """The stem, then without its first word, and so on: `created_by_user`, `by_user`, `user`."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z_]+", stem)
    for first in range(len(parts)):
        yield "_".join(parts[first:])


def _common_prefix(names: Iterable[str]) -> str:
    """`glpi_` where more than half of at least three tables begin so."""
    all_names = list(names)
    heads = Counter(name.partition("_")[0] for name in all_names if "_" in name)
    head, uses = max(heads.items(), key=lambda item: item[1], default=("", 0))
    return f"{head}_" if uses >= 3 and uses * 2 > len(all_names) else ""


def _flat(name: str) -> str:
    return name.replace("_", "").lower()


def fragment(checked: Sequence[Checked]) -> str:
    """A reflexdb.yaml with the accepted relations, and the others as comments with their numbers."""
    lines = [
        "# Relations proposed from names and checked against a sample of rows. Nothing is taken by itself:",
        "# put what is right into reflexdb.yaml. A table that stands under `tables` there has its `relations` there.",
        "version: 1",
    ]
    accepted = [one for one in checked if one.accepted]
    if accepted:
        lines.append("overrides:")
    by_table: defaultdict[str, list[Checked]] = defaultdict(list)
    for one in accepted:
        by_table[one.candidate.table].append(one)
    for table, found in by_table.items():
        lines += [f"  {_scalar(table)}:", "    relations:", "      add:"]
        lines += [f"        - {_entry(one)}  # {_numbers(one)}" for one in found]
    refused = [one for one in checked if not one.accepted]
    if refused:
        lines.append("# Not proposed, since the rows do not bear them out:")
        lines += [f"#   {_scalar(one.candidate.table)}: {_entry(one)}  # {_numbers(one)}" for one in refused]
    return "\n".join(lines) + "\n"


def _entry(one: Checked) -> str:
    references = _scalar(f"{one.candidate.parent}.{one.candidate.parent_column}")
    return f"{{column: {_scalar(one.candidate.column)}, references: {references}}}"


def _numbers(one: Checked) -> str:
    return f"{one.found:,} of {one.values:,} values found" if one.values else "no values to look at"


def _scalar(text: str) -> str:
    """A name as YAML reads it back; anything but plain letters is quoted and escaped."""
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    plain = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(plain.get(c, c if c.isprintable() and ord(c) < 0x7F else _escaped(c)) for c in text) + '"'


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08X}"
