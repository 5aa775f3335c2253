"""Tables that can't be brought up to date while the others can: which, since when, why, and what mends it.

Such a table keeps the rows that were read last, and is read again after ever longer waits; once that goes well, it is
forgotten here. One thread's. Knows neither sources nor servers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from reflexdb.model.errors import (
    MemoryCapExceeded,
    ReflexError,
    SourceData,
    SourceDenied,
    SourceError,
    SourceMissing,
    SourceUnreachable,
)
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sync.backoff import Backoff

RETRY_S = (1.0, 60.0)
"""First and longest wait before a table in trouble is read again."""
REST_FACTOR = 9
"""After a try that failed, so many times its length of rest at least."""
TOLD_MAX = 20
"""So many are described in the status, which must stay small."""
TOLD_BYTES = 8_000
"""Of their description, as JSON: the server takes a status of 16 KiB."""
REASON_MAX = 300
REBUILD = "Rebuild the database to serve it as it is now, or bring back its former definition."
LOST_MAX = 3
"""A table at which the connection was lost so often in a row is in trouble itself."""


class TableRefused(SourceError):
    """Changes of one table can't be sent."""

    def __init__(self, table: int, why: SourceError) -> None:
        super().__init__(why.message)
        self.code = why.code
        self.table = table
        self.why = why


REFUSALS = (SourceData, MemoryCapExceeded, TableRefused)
"""Of rows that can't be taken: by the server, but for TableRefused."""


@dataclass(slots=True)
class _Trouble:
    since: datetime
    error: ReflexError
    backoff: Backoff
    not_before: float
    is_read: bool
    """The server has rows of it."""


class Troubles:
    def __init__(self, plan: Plan, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._plan = plan
        self._monotonic = monotonic
        self._known: dict[int, _Trouble] = {}
        self._lost: dict[int, int] = {}
        self._changed: dict[int, datetime] = {}
        """Tables of another definition, and when that was told first."""
        self.changes = 0
        """Counts tables that came and went, so that whoever tells of them knows when to."""
        self._log = structlog.get_logger()

    def __contains__(self, table: object) -> bool:
        return table in self._known

    def does_not_fit(self, table: int) -> bool:
        """Whether the server had no room for what was read last."""
        trouble = self._known.get(table)
        return trouble is not None and isinstance(trouble.error, MemoryCapExceeded)

    @property
    def tables(self) -> frozenset[int]:
        return frozenset(self._known)

    def failed(self, table: int, error: ReflexError, took_s: float = 0.0, is_read: bool = True) -> None:
        """The table could not be read. `is_read`: the server has rows of it, from before."""
        now = self._monotonic()
        trouble = self._known.get(table)
        if trouble is None:
            trouble = _Trouble(datetime.now(UTC), error, Backoff(*RETRY_S), now, is_read)
            self._known[table] = trouble
        if trouble.error is error or trouble.error.message != error.message:
            self.changes += 1
            name = self._plan.tables[table].source_name
            self._log.error("table_in_trouble", table=name, error=error.code, reason=error.message)
        trouble.error = error
        trouble.is_read = trouble.is_read and is_read
        trouble.not_before = now + max(trouble.backoff.next(), took_s * REST_FACTOR)

    def refused(self, error: ReflexError, took_s: float) -> bool:
        """Rows could not be sent, or the server refused them. Whether that is one table's trouble."""
        table = refused_table(error, self._plan)
        if table is not None:
            self.failed(table, error.why if isinstance(error, TableRefused) else error, took_s)
        return table is not None

    def mended(self, tables: Collection[int]) -> None:
        """These were read, or there is another reason now why they are not."""
        for table in tables:
            self._lost.pop(table, None)
            if self._known.pop(table, None) is not None:
                self.changes += 1
                self._log.info("table_mended", table=self._plan.tables[table].source_name)

    def forget(self) -> None:
        self._known.clear()
        self._lost.clear()
        self.changes += 1

    def at_once(self) -> None:
        """Somebody wants all of them to be tried again now."""
        for trouble in self._known.values():
            trouble.not_before = 0.0

    def due(self) -> frozenset[int]:
        """Those that are to be tried again now."""
        now = self._monotonic()
        return frozenset(table for table, trouble in self._known.items() if now >= trouble.not_before)

    def lost(self, table: int) -> bool:
        """The connection was lost while the table was read. Whether that is the table's own trouble."""
        self._lost[table] = self._lost.get(table, 0) + 1
        return self._lost[table] >= LOST_MAX

    def told(self, changed: Mapping[int, str]) -> dict[str, Any]:
        """For the status: these, and tables of another definition, with what is different."""
        now = datetime.now(UTC)
        self._changed = {table: self._changed.get(table, now) for table in changed}
        lines = {table: self._line(table, trouble) for table, trouble in self._known.items()}
        for table, since in self._changed.items():
            lines[table] = self._row(table, "changed", since, f"schema_changed: {changed[table]}", REBUILD)
        told = [lines[table] for table in sorted(lines)[:TOLD_MAX]]
        while len(json.dumps(told)) > TOLD_BYTES:
            told.pop()
        return {"tables": told, "frozen": sorted(lines)}

    def _line(self, table: int, trouble: _Trouble) -> dict[str, Any]:
        error, state = trouble.error, "frozen" if trouble.is_read else "unread"
        reason = f"{error.code}: {error.message}"
        return self._row(table, state, trouble.since, reason, remedy(error, self._plan.tables[table]))

    def _row(self, table: int, state: str, since: datetime, reason: str, remedy: str) -> dict[str, Any]:
        return {
            "table": self._plan.tables[table].name,
            "state": state,
            "since": since.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "reason": reason if len(reason) <= REASON_MAX else reason[: REASON_MAX - 3] + "...",
            "remedy": remedy,
        }

    def problem(self) -> ReflexError | None:
        """The first of them, in words that say which table it is."""
        for table, trouble in sorted(self._known.items()):
            found = ReflexError(f"table {self._plan.tables[table].source_name!r} is as it was: {trouble.error.message}")
            found.code = trouble.error.code
            return found
        return None


def is_its_own(error: ReflexError) -> bool:
    """Whether an error that was met while a table was read says nothing of the other tables."""
    return isinstance(error, SourceError) and not isinstance(error, SourceUnreachable)


def refused_table(error: ReflexError, plan: Plan) -> int | None:
    """The table whose rows could not be sent, or were refused by the server; None for any other error."""
    if isinstance(error, TableRefused):
        return error.table
    names = [
        (len(table.name), index)
        for index, table in enumerate(plan.tables)
        if error.message.startswith(tuple(f"Table `{table.name}`{after}" for after in (",", ":", " ")))
    ]
    return max(names)[1] if names else None


def remedy(error: ReflexError, table: PlannedTable) -> str:
    """What mends it, for a person."""
    kind = "view" if table.is_view else "table"
    if isinstance(error, SourceDenied):
        return f"Grant the user SELECT on the {kind}; it is read again by itself."
    if isinstance(error, SourceMissing) or error.code == "schema_changed":
        return REBUILD
    if isinstance(error, SourceData):
        return "Correct the value at the source, or exclude the column in reflexdb.yaml and rebuild."
    if isinstance(error, MemoryCapExceeded):
        return f"Resize to a larger instance, or delete rows of the {kind} at the source; it is read again by itself."
    if error.temporary:
        return "It is read again by itself; see that the source has time, memory and no lasting lock on it."
    return f"See that SELECT * on the {kind} works at the source; it is read again by itself."
