"""reflexdb.yaml held against its source before it is stored, and a file with relations that the source's names suggest.

Asked by the API. It changes nothing. A source that is slow or away is a reason why a file is not checked, never a
reason to refuse it. What it asks of the source is bounded in rows and in time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from reflexdb.build.plan import make_plan
from reflexdb.build.propose import Candidate, Checked, candidates, fragment
from reflexdb.control.connections import source_address
from reflexdb.control.databases import found
from reflexdb.control.rooms import Rooms
from reflexdb.model.config import parse_config
from reflexdb.model.errors import Conflict, InvalidSchema, ReflexError
from reflexdb.model.plan import PlannedTable
from reflexdb.model.schema import SourceSchema
from reflexdb.records import connections
from reflexdb.records.rows import ConnectionRow, DatabaseRow
from reflexdb.sources import open_source
from reflexdb.sources.apart import Introspect, Kind, within
from reflexdb.sources.base import Key, SnapshotReader, Some, Source, SourceAddress
from reflexdb.sources.sample import Sampled

CHECK_LIMIT_S = 10.0
"""How long the source may take to say what it has."""
PROPOSE_LIMIT_S = 60.0
"""How long the source may take over all questions about candidates; those left are not proposed."""
ROWS = 1_000
"""Rows of a table whose values are looked for in the other table."""


@dataclass(frozen=True, slots=True)
class Proposal:
    text: str
    checked: list[Checked]


class ConfigAdvice:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def check(self, customer_id: str, database_id: str, text: str) -> str | None:
        """Why the file could not be held against the source; None where it was, and fits. Raises InvalidConfig."""
        row, connection = self._subject(customer_id, database_id)
        config = parse_config(text)
        try:
            question = Introspect(source_address(self._rooms, connection), row.schema_name)
            schema = self._rooms.asking.ask(question, within(CHECK_LIMIT_S))
        except (ReflexError, TimeoutError) as exc:
            return _reason(exc)
        try:
            make_plan(schema, config)
        except InvalidSchema as exc:
            return f"the source has something that can't be built with it: {exc.message}"
        return None

    def propose(self, customer_id: str, database_id: str) -> Proposal:
        """Relations from names, checked against rows. Raises Conflict where the source can't be asked."""
        row, connection = self._subject(customer_id, database_id)
        until = time.monotonic() + PROPOSE_LIMIT_S
        try:
            question = _Propose(source_address(self._rooms, connection), row.schema_name, until)
            checked = self._rooms.asking.ask(question, within(PROPOSE_LIMIT_S))
        except (ReflexError, TimeoutError) as exc:
            raise Conflict(f"Nothing can be proposed: {_reason(exc)}") from exc
        return Proposal(fragment(checked), checked)

    def _subject(self, customer_id: str, database_id: str) -> tuple[DatabaseRow, ConnectionRow]:
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            return row, connections.by_id(tx, row.connection_id)


@dataclass(frozen=True, slots=True)
class _Propose:
    """Which relations the names suggest, each held against rows, in the process that asks the source."""

    address: SourceAddress
    schema: str
    until: float
    """By the machine's monotonic clock, which its processes share."""
    kind = Kind.DESCRIBE
    doing = "looking for relations that names suggest"

    def answer(self, heard: Callable[[str], None]) -> list[Checked]:  # noqa: ARG002 - the protocol's
        with closing(open_source(self.address)) as source:
            return _checked(source, self.schema, self.until)


def _reason(exc: ReflexError | TimeoutError) -> str:
    return exc.message if isinstance(exc, ReflexError) else "the source did not answer in time"


def _checked(source: Source, schema_name: str, until: float) -> list[Checked]:
    schema: SourceSchema = source.introspect(schema_name)
    wanted = candidates(schema)
    if not wanted:
        return []
    plan = make_plan(schema, None).plan
    tables = {table.source_name: table for table in plan.tables}
    with source.snapshot(plan) as reader:
        return list(_each(reader, tables, wanted, until))


def _each(
    reader: SnapshotReader, tables: dict[str, PlannedTable], wanted: list[Candidate], until: float
) -> Iterator[Checked]:
    for one in wanted:
        if time.monotonic() >= until:
            return
        child, parent = tables.get(one.table), tables.get(one.parent)
        own = _only(child, one.column) if child else None
        key = _only(parent, one.parent_column) if parent else None
        if own is None or key is None:
            continue
        values = tuple(dict.fromkeys(value for value in _keys(reader, own, Some(ROWS)) if value is not None))
        there = set(_keys(reader, key, Some(len(values), (0,), values))) if values else set()
        yield Checked(one, len(values), sum(value in there for value in values))


def _only(table: PlannedTable, column: str) -> PlannedTable | None:
    """The table with that column alone."""
    kept = tuple(each for each in table.columns if each.source_name == column)
    return replace(table, columns=kept, primary_key=(), forward=(), reverse=(), indexes=()) if kept else None


def _keys(reader: SnapshotReader, table: PlannedTable, wanted: Some) -> list[Key | None]:
    return Sampled(list(reader.some(table, wanted))).keys((0,))
