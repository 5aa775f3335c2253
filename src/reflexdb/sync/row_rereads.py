"""Rows that the stream says were changed, but not how: their keys, until they are read again in a view.

As long as a table has such rows, its other changes are not applied either, since they need not fit what is served:
their rows are read again too. So what the server has of the table is what it had when the first of them was told, and
the rows that foreign keys changed untold are found among those and the ones that were told since. A table with more
rows than is worth it is read again as a whole. Belongs to the stream's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Set

from reflexdb.model.plan import Plan
from reflexdb.model.storage import Storage
from reflexdb.sources.base import Key
from reflexdb.sources.changes import UNCHANGED, Cascaded, Event, Row, Rows, StaleRows, Step, Truncated
from reflexdb.sources.keys import as_asked, is_askable
from reflexdb.sync.group import Group

KEYS_MAX = 10_000
"""Of one table; of more the whole table is read."""
SEARCHES_MAX = 64
"""For what one change of a parent led to; of more the whole tables are read."""
_LEADING = frozenset({Storage.I16, Storage.I32, Storage.I64, Storage.U64, Storage.UUID, Storage.BINARY})
"""Storages of values that lead from row to row: they are equal exactly where their bytes are."""

Steps = tuple[Step, ...]
Whole = dict[int, str]
"""Tables that must be read again as a whole, and why."""


class RowRereads:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._is_askable = [is_askable(plan.backend, table) for table in plan.tables]
        self._keys: dict[int, dict[Row, Key]] = {}
        self._reasons: dict[int, str] = {}
        self._told: dict[int, list[Row]] = {}
        """By table, rows as they were told since it has such keys."""
        self._cascades: dict[Steps, dict[Row, None]] = {}
        """Values that lead to rows."""

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

    def take(self, event: Event, takes: Callable[[int], bool]) -> Whole:
        """What the stream tells. `takes`: whether changes of a table are applied at all."""
        match event:
            case Rows(table=table) if table in self._keys:
                return self._changed(event)
            case StaleRows(table=table) if takes(table):
                return self._stale(event)
            case Truncated(table=table) if takes(table):
                return self._truncated(table)
            case Cascaded():
                return self._cascaded(event)
        return {}

    def _stale(self, event: StaleRows) -> Whole:
        self._reasons[event.table] = event.reason
        return self._ask(event.table, event.keys)

    def _changed(self, event: Rows) -> Whole:
        """Of a table with rows that are to be read again."""
        rows = [row for row in event.rows if row is not None]
        self._told.setdefault(event.table, []).extend(rows)
        places = self._plan.tables[event.table].primary_key
        now = [tuple(row[place] for place in places) for row in rows]
        before = [key for key in event.keys if key is not None]
        return self._ask(event.table, [*before, *(key for key in now if UNCHANGED not in key)])

    def _cascaded(self, event: Cascaded) -> Whole:
        """Its rows are looked for once the stream has come to the view."""
        if not all(map(self._leads, event.steps)):
            return self._whole(event.tables, f"{event.reason}: keys of these kinds can't be asked for")
        whole: Whole = {}
        for table in event.tables:
            self._reasons.setdefault(table, event.reason)
            whole |= self._ask(table, ())
        values = self._cascades.setdefault(event.steps, {})
        values |= dict.fromkeys(event.values)
        if len(values) > KEYS_MAX:
            whole |= self._whole(event.tables, f"{event.reason}: more than {KEYS_MAX:,} rows of the parent")
        return whole

    def _truncated(self, table: int) -> Whole:
        """All rows are gone that were told of. Those that led from it on can't be found any more."""
        whole: Whole = {}
        for steps in self._cascades:
            for number, step in enumerate(steps):
                if step.table == table:
                    whole |= dict.fromkeys(_below(steps, number) - {table}, "rows of a table before it were emptied")
        self.leave([table])
        return whole

    def leave(self, tables: Collection[int]) -> None:
        """These are read again as a whole, or not at all."""
        for table in self._keys.keys() & set(tables):
            del self._keys[table], self._reasons[table]
            self._told.pop(table, None)
        if not self._keys:
            self._cascades.clear()

    def resolve(self, group: Group, apart: Set[int]) -> Whole:
        """Look for the rows that foreign keys have led to. Tables `apart` are read again as a whole, or left as they
        are: what is served of them leads nowhere."""
        whole: Whole = {}
        for steps, values in list(self._cascades.items()):
            whole |= self._search(group, steps, values, apart)
        self.leave(apart | whole.keys())
        return whole

    def clear(self) -> None:
        self._keys.clear()
        self._reasons.clear()
        self._told.clear()
        self._cascades.clear()

    def _search(self, group: Group, steps: Steps, values: Iterable[Row], apart: Set[int]) -> Whole:
        whole: Whole = {}
        seen: dict[int, set[Row]] = {number: set() for number in range(len(steps))}
        waiting = [(0, list(values))]
        searches = 0
        while waiting:
            number, found = waiting.pop(0)
            fresh = [value for value in dict.fromkeys(found) if value not in seen[number]]
            if not fresh:
                continue
            seen[number] |= set(fresh)
            table, searches = steps[number].table, searches + 1
            rows = None
            if table not in apart and table not in whole and table in self._keys and searches <= SEARCHES_MAX:
                rows = self._rows(group, steps[number], fresh)
            if rows is None:
                reached = _below(steps, number) | {table}
                whole |= dict.fromkeys(reached, "more rows changed by foreign keys than can be asked for")
                continue
            width = len(self._plan.tables[table].primary_key)
            whole |= self._ask(table, [row[:width] for row in rows])
            at = width
            for columns, following in steps[number].further:
                led = [row[at : at + len(columns)] for row in rows]
                waiting.append((following, [each for each in led if None not in each]))
                at += len(columns)
        return whole

    def _rows(self, group: Group, step: Step, values: list[Row]) -> list[Row] | None:
        """Key and leading values of the rows that have these values; None where they are too many or not known."""
        wanted = [
            *self._plan.tables[step.table].primary_key,
            *(each for columns, _ in step.further for each in columns),
        ]
        found = group.find(step.table, step.columns, values, wanted, KEYS_MAX)
        if found is None:
            return None
        sought = set(values)
        for row in self._told.get(step.table, ()):
            own = tuple(row[column] for column in step.columns)
            if own in sought or UNCHANGED in own:
                found.append(tuple(row[column] for column in wanted))
        return found if not any(UNCHANGED in row for row in found) else None

    def _leads(self, step: Step) -> bool:
        """Whether the step's values are looked for here as the source has them."""
        columns = self._plan.tables[step.table].columns
        places = {*step.columns, *(each for further, _ in step.further for each in further)}
        return all(columns[place].storage in _LEADING and columns[place].retyped is None for place in places)

    def _ask(self, table: int, keys: Iterable[Row]) -> Whole:
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
            return self._whole([table], f"{self._reasons[table]}: {why}")
        return {}

    def _whole(self, tables: Iterable[int], reason: str) -> Whole:
        whole = dict.fromkeys(tables, reason)
        self.leave(whole.keys())
        return whole


def _below(steps: Steps, number: int) -> set[int]:
    """Tables that the step leads to, directly or not."""
    found: set[int] = set()
    waiting = [following for _, following in steps[number].further]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += [following for _, following in steps[number].further]
    return {steps[each].table for each in found}
