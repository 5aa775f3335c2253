"""What the source's tables are now, beside what was planned: whose changes can be taken on, and whose rows stay as they
are until a rebuild.

Used by the mode that follows. `plan` is the plan in the types the source declares today: a text that was widened or an
ENUM with one label more is read and decoded as it is now, while the server's plan, which knows only storages, stays.
A table that does not fit is looked at again and again: tools that change schemas take tables away for a moment.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from reflexdb.model.errors import InstanceUnreachable
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import SourceSchema
from reflexdb.sources.changes import Redefined
from reflexdb.sync.backoff import Backoff
from reflexdb.sync.drift import SchemaChanged, drift
from reflexdb.sync.left import LEFT_NAME, Left

TABLES_TOLD_MAX = 20
"""Of those with another definition, so many are named in the status, which must stay small."""
LOOK_AGAIN_S = (1.0, 30.0)
"""First and longest wait before a table that did not fit is looked at again."""


class Present(NamedTuple):
    """The outcome of a look at the source."""

    plan: Plan
    changed: dict[int, str]
    """Planned tables that lack what the plan needs, and what."""


def present(plan: Plan, schema: SourceSchema) -> Present:
    """Compare. Pure."""
    changed, tables = {}, []
    for index, table in enumerate(plan.tables):
        findings = drift(dataclasses.replace(plan, tables=(table,)), schema)
        if findings:
            changed[index] = findings[0]
        tables.append(table if findings else _as_declared(table, schema))
    return Present(dataclasses.replace(plan, tables=tuple(tables)), changed)


def _as_declared(table: PlannedTable, schema: SourceSchema) -> PlannedTable:
    now = next(found for found in schema.tables if found.name == table.source_name)
    declared = {column.name: column.declared_type for column in now.columns}
    columns = tuple(dataclasses.replace(column, declared_type=declared[column.source_name]) for column in table.columns)
    return dataclasses.replace(table, columns=columns)


class Fitting:
    """One stream's; one thread's."""

    def __init__(self, plan: Plan, look: Callable[[], Present | None], directory: Path) -> None:
        """`look` gives None where the source can't be asked. A file in `directory` outlives the process."""
        self.directory = directory
        self._left = Left()
        """As written down."""
        self.plan = plan
        self.changed: dict[int, str] = {}
        """Tables of another definition, and what is different: their rows stay as they are."""
        self.owed: dict[int, str] = {}
        """Tables that missed changes while they did not fit: they must be read again, whatever happens meanwhile."""
        self.troubled: frozenset[int] = frozenset()
        """Tables that can't be read for another reason; they miss changes too."""
        self.is_reopening = False
        """A table that was redefined is to be read again; the stream, which tells nothing of it any more, must be
        opened anew after that."""
        self._look = look
        self._is_suspect = False
        """Definitions or rights at the source changed, and the stream need not tell of it."""
        self._again = Backoff(*LOOK_AGAIN_S)
        self._not_before = 0.0
        self._log = structlog.get_logger()

    def forget(self, position: str) -> None:
        """All tables were read there."""
        self.owed |= dict.fromkeys([*self.changed, *self.troubled], "everything was read")
        self.changed.clear()
        self.troubled = frozenset()
        self.settle(position)

    def settle(self, position: str) -> bool:
        """What was owed was read again there. Answers whether the stream must be opened anew."""
        self._left = self._left.settle([self.plan.tables[index].name for index in self.owed], position)
        self.owed.clear()
        is_reopening, self.is_reopening = self.is_reopening, False
        self._note()
        return is_reopening

    def recall(self, reached: Callable[[str], bool]) -> None:
        """What a former process, or this one before, left as it was misses changes since; so does what was read again
        at a position that the server is not beyond (`reached`): it began with a checkpoint from before."""
        try:
            self._left = Left.read(self.directory)
        except (OSError, ValueError):  # which ones is not known
            self._left = Left(frozenset(table.name for table in self.plan.tables))
        owed = self._left.owed(reached)
        self.changed.clear()
        self.troubled = frozenset()
        self.is_reopening = False
        self.owed = {
            index: "it was left as it was" for index, table in enumerate(self.plan.tables) if table.name in owed
        }

    def leave(self, troubled: frozenset[int]) -> None:
        """These, and no others, can't be read."""
        if troubled == self.troubled:
            return
        self.owed |= dict.fromkeys(sorted(self.troubled - troubled - self.changed.keys()), "it can be read again")
        self.troubled = troubled
        for table in troubled & self.owed.keys():
            del self.owed[table]
        self._note()

    def _note(self) -> None:
        """Write down what is left as it is, before anything moves on: the next process must know. Where that can't be
        written, nothing moves on."""
        left = self.changed.keys() | self.owed.keys() | self.troubled
        names = {self.plan.tables[index].name for index in left}
        self._left = self._left.leave(names)
        try:
            self._left.write(self.directory)
        except OSError as exc:
            raise InstanceUnreachable(f"{self.directory / LEFT_NAME} can't be written ({exc.strerror})") from exc

    def check(self) -> dict[int, str]:
        """Look at the source now. What is found goes into `changed` and is returned."""
        found = self._look()
        if found is None:
            return {}
        returned = self.changed.keys() - found.changed.keys()
        self.owed |= dict.fromkeys(sorted(returned), "its definition fits again")
        self.is_reopening |= bool(returned)
        self.plan, self.changed = found
        for table in self.changed.keys() & self.owed.keys():
            del self.owed[table]
        self._note()
        return self.changed

    def redefined(self, event: Redefined) -> str | None:
        """Why the table must be read again; None where it no longer fits. Raises SchemaChanged for a change that can't
        be attributed to a table."""
        if event.table is None:
            raise SchemaChanged([event.what])
        found = self._look()
        if found is not None:
            self.plan = found.plan
        finding = None if found is None else found.changed.get(event.table)
        if finding is None:
            self.is_reopening = True
            return event.what
        self.changed[event.table] = finding
        self._note()
        self._not_before = time.monotonic() + self._again.next()
        table = self.plan.tables[event.table].source_name
        self._log.error("schema_changed", table=table, reason=finding, statement=event.what)
        return None

    def suspect(self) -> None:
        """Look before long: a definition or a right is another one. From any thread."""
        self._is_suspect = True

    def _lost(self) -> None:
        """Tables that do not fit any more though no stream told: a right that was taken away."""
        self._is_suspect = False
        found = self._look()
        lost = set() if found is None else found.changed.keys() - self.changed.keys()
        if found is None or not lost:
            return
        self.changed |= {table: found.changed[table] for table in lost}
        self._note()
        for table in lost:
            self._log.error("schema_changed", table=self.plan.tables[table].source_name, reason=found.changed[table])

    def returned(self) -> dict[int, str]:
        """Tables that did not fit and do now, and those that are owed: to be read again, and why."""
        if self._is_suspect:
            self._lost()
        now = time.monotonic()
        if not self.changed or now < self._not_before:
            return self.owed
        self._not_before = now + self._again.next()
        found = self._look()
        fitting = set() if found is None else self.changed.keys() - found.changed.keys()
        if found is None or not fitting:
            return self.owed
        self._again.reset()
        self.plan, self.is_reopening = found.plan, True
        self.owed |= dict.fromkeys(sorted(fitting), "its definition fits again")
        for table in fitting:
            del self.changed[table]
            self._log.info("schema_fits_again", table=self.plan.tables[table].source_name)
        return self.owed

    def told(self) -> list[dict[str, Any]]:
        """For the status."""
        first = sorted(self.changed.items())[:TABLES_TOLD_MAX]
        return [{"table": self.plan.tables[table].name, "what": what[:200]} for table, what in first]

    def problem(self) -> SchemaChanged | None:
        return SchemaChanged(list(self.changed.values())) if self.changed else None
