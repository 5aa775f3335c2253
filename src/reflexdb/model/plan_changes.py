"""What differs between two plans, in words: why a rebuild was begun. Pure.

Names of tables and columns are the source's, as data; whoever prints the words knows how.
"""

from __future__ import annotations

from collections.abc import Iterator

from reflexdb.model.plan import Plan, PlannedTable

TOLD_MAX = 5
"""Of many changes the first few are told, and how many more there are."""
_NAME_MAX = 80


def told(before: Plan, after: Plan) -> str:
    """A sentence; empty where both serve the same."""
    if before.fingerprint() == after.fingerprint():
        return ""
    found = list(changes(before, after)) or ["a key or relation is another"]
    more = f" and {len(found) - TOLD_MAX} more changes" if len(found) > TOLD_MAX else ""
    return "; ".join(found[:TOLD_MAX]) + more


def changes(before: Plan, after: Plan) -> Iterator[str]:
    """A phrase for each table and column that came, went or has another type."""
    old = {table.source_name: table for table in before.tables}
    new = {table.source_name: table for table in after.tables}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"table {_shown(name)} is gone"
        elif name not in old:
            yield f"table {_shown(name)} is new"
        else:
            yield from _columns(old[name], new[name])


def _columns(before: PlannedTable, after: PlannedTable) -> Iterator[str]:
    old = {column.source_name: column for column in before.columns}
    new = {column.source_name: column for column in after.columns}
    for name in [*new, *(name for name in old if name not in new)]:
        where = f"column {_shown(name)} of table {_shown(after.source_name)}"
        if name not in new:
            yield f"{where} is gone"
        elif name not in old:
            yield f"{where} is new"
        elif old[name].declared_type != new[name].declared_type:
            yield f"{where} was {old[name].declared_type} and is {new[name].declared_type}"
        elif old[name].nullable != new[name].nullable:
            yield f"{where} may {'now' if new[name].nullable else 'no longer'} be null"


def _shown(name: str) -> str:
    return repr(name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 3] + "...")
