"""Rows that the stream says were changed, but not how: their keys, until they are read again in a view.

As long as a table has such rows, its other changes are not applied either, since they need not fit what is served:
their rows are read again too. A table with more of them than is worth it is read again as a whole. Belongs to the
stream's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reflexdb.model.plan import Plan
from reflexdb.sources.base import Key
from reflexdb.sources.changes import Row, Rows, StaleRows
from reflexdb.sources.keys import as_asked, is_askable

KEYS_MAX = 10_000
"""Of one table; of more the whole table is read."""

Whole = dict[int, str]
"""Tables that must be read again as a whole, and why."""


class RowRereads:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._is_askable = [is_askable(plan.backend, table) for table in plan.tables]
        self._keys: dict[int, dict[Row, Key]] = {}
        self._reasons: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __contains__(self, table: object) -> bool:
        return table in self._keys

    @property
    def keys(self) -> Mapping[int, Mapping[Row, Key]]:
        """By table, keys as rows have them and as the source is asked for them."""
        return self._keys

    @property
    def reasons(self) -> Collection[str]:
        return set(self._reasons.values())

    def stale(self, event: StaleRows) -> Whole:
        self._reasons[event.table] = event.reason
        return self._ask(event.table, event.keys)

    def changed(self, event: Rows) -> Whole:
        """Of a table with rows that are to be read again."""
        found: list[Row] = [key for key in event.keys if key is not None]
        places = self._plan.tables[event.table].primary_key
        found += [tuple(row[place] for place in places) for row in event.rows if row is not None]
        return self._ask(event.table, found)

    def leave(self, tables: Collection[int]) -> None:
        """These are read again as a whole, or not at all."""
        for table in self._keys.keys() & set(tables):
            del self._keys[table], self._reasons[table]

    def clear(self) -> None:
        self._keys.clear()
        self._reasons.clear()

    def _ask(self, table: int, keys: list[Row]) -> Whole:
        asked, planned = self._keys.setdefault(table, {}), self._plan.tables[table]
        try:
            if not self._is_askable[table]:
                raise ValueError("a key of this kind can't be asked for")
            for key in keys:
                if key not in asked:
                    asked[key] = as_asked(self._plan.backend, planned, key)
            if len(asked) > KEYS_MAX:
                raise ValueError(f"more than {KEYS_MAX:,} rows changed")
        except ValueError as why:
            reason = f"{self._reasons[table]}: {why}"
            self.leave([table])
            return {table: reason}
        return {}
