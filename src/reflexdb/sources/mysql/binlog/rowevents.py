"""Decodes TABLE_MAP and row events into changes of planned tables, and says which tables become stale by them.

Used by transactions.py, one per stream. A table's layout is compiled once for each form of its TABLE_MAP and used again
for as long as the server sends the same. Tables that do not matter are passed over without being decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from sys import getsizeof
from typing import Any

import structlog

from reflexdb.model.errors import SourceData, SourceError
from reflexdb.model.plan import PlannedTable
from reflexdb.sources.batching import VALUE_BYTES, too_large
from reflexdb.sources.changes import UNCHANGED, Cascaded, Event, Op, Redefined, Row, Rows, Stale, StaleRows, Truncated
from reflexdb.sources.mysql.binlog.cascades import Consequence
from reflexdb.sources.mysql.binlog.consequences import deleted, updated
from reflexdb.sources.mysql.binlog.events import Header, Kind, inflate
from reflexdb.sources.mysql.binlog.images import MALFORMED, culprit, pairs, singles
from reflexdb.sources.mysql.binlog.loggedtable import LoggedTable, Undecodable, affected, cannot
from reflexdb.sources.mysql.binlog.reader import Reader
from reflexdb.sources.mysql.binlog.statements import Name
from reflexdb.sources.mysql.binlog.tablemap import table_id, table_map
from reflexdb.sources.mysql.binlog.tables import Watch

_WRITES = {Kind.WRITE_ROWS_V1, Kind.WRITE_ROWS, Kind.WRITE_ROWS_COMPRESSED_V1, Kind.WRITE_ROWS_COMPRESSED}
_UPDATES = {Kind.UPDATE_ROWS_V1, Kind.UPDATE_ROWS, Kind.UPDATE_ROWS_COMPRESSED_V1, Kind.UPDATE_ROWS_COMPRESSED,
            Kind.PARTIAL_UPDATE_ROWS}  # fmt: skip
_DELETES = {Kind.DELETE_ROWS_V1, Kind.DELETE_ROWS, Kind.DELETE_ROWS_COMPRESSED_V1, Kind.DELETE_ROWS_COMPRESSED}
_SECOND_VERSION = {Kind.WRITE_ROWS, Kind.UPDATE_ROWS, Kind.DELETE_ROWS, Kind.PARTIAL_UPDATE_ROWS,
                   Kind.WRITE_ROWS_COMPRESSED,
                   Kind.UPDATE_ROWS_COMPRESSED, Kind.DELETE_ROWS_COMPRESSED}  # fmt: skip
_COMPRESSED = {kind for kind in Kind if "ROWS_COMPRESSED" in kind.name}
_NO_FOREIGN_KEY_CHECKS = 0x02
_DUMMY_TABLE = 0xFFFFFF
_PART = 4096
"""Changes in one Rows at most."""
_INFLATED = 1 << 30
_MAPS = 2_000
"""Compiled tables that are kept."""


class RowEvents:
    """What row events and statements do to the planned tables."""

    kinds = tuple(_WRITES | _UPDATES | _DELETES)

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._by_id: dict[int, LoggedTable | Undecodable | None] = {}
        self._by_map: dict[bytes, LoggedTable | Undecodable | None] = {}
        self._log = structlog.get_logger()
        self._touched: set[int] = set()
        """Planned tables whose rows this transaction changed so far."""
        self._stale: set[int] = set()
        """Planned tables this transaction made stale."""
        self._gone: set[int] = set()
        """Planned tables that were redefined: nothing of them is handed out any more."""

    def end(self) -> None:
        """A transaction ended."""
        self._touched.clear()
        self._stale.clear()
        if len(self._by_id) > _MAPS:
            self._by_id.clear()

    def forget(self) -> None:
        """The server began to write anew: its numbers of tables mean nothing any more."""
        self._by_id.clear()

    def table_map(self, body: bytes) -> Iterable[Event]:
        """Remember which table a number stands for; an event only where the table changed its definition."""
        text = body[6:]
        if text not in self._by_map:
            if len(self._by_map) > _MAPS:
                self._by_map.clear()
            self._by_map[text] = self._compiled(body)
        table = self._by_map[text]
        self._by_id[table_id(body)] = table
        if isinstance(table, LoggedTable) and table.drift is not None and table.watched.index is not None:
            return self._redefine(table.watched.index, table.drift)
        return ()

    def _compiled(self, body: bytes) -> LoggedTable | Undecodable | None:
        reader = Reader(body, 8)
        schema = reader.take(reader.integer(1) + 1)[:-1].decode("utf-8", "surrogateescape")
        name = reader.take(reader.integer(1) + 1)[:-1].decode("utf-8", "surrogateescape")
        watched = self._watch.find((schema, name))
        if watched is None:
            return None
        try:
            return LoggedTable(watched, table_map(body, mariadb=self._watch.mariadb), self._watch)
        except SourceError:
            raise
        except Exception as error:
            if not isinstance(error, MALFORMED):
                self._log.exception("table_not_decoded", table=name)
            return Undecodable(watched, cannot(watched, error))

    def take(self, header: Header, body: bytes) -> Iterator[Event]:
        """The changes of one row event. What can't be decoded makes its table stale, and those that depend on its rows.
        Raises ValueError for rows of a table that was not described."""
        number = table_id(body)
        if number not in self._by_id:
            if number == _DUMMY_TABLE:
                return
            raise ValueError("rows come without the description of their table")
        table = self._by_id[number]
        if table is None:
            return
        try:
            if isinstance(table, Undecodable):
                raise SourceData(table.reason)
            yield from self._decoded(table, header, body)
        except SourceData as error:
            yield from self.stale(affected(table.watched), error.message)
        except Exception as error:
            if not isinstance(error, MALFORMED):
                self._log.exception("change_not_decoded", table=table.watched.name[1])
            yield from self.stale(affected(table.watched), cannot(table.watched, error))

    def _decoded(self, table: LoggedTable, header: Header, body: bytes) -> Iterator[Event]:
        flags = int.from_bytes(body[6:8], "little")
        reader = Reader(body, 8)
        if header.kind in _SECOND_VERSION:
            reader.take(max(reader.integer(2) - 2, 0))
        if reader.packed() != table.width:
            raise ValueError("rows have another number of columns than their table")
        bitmap = (table.width + 7) // 8
        before = reader.take(bitmap)
        after = reader.take(bitmap) if header.kind in _UPDATES else before
        data = reader.rest()
        if header.kind in _COMPRESSED:
            data = inflate(data, _INFLATED)
        is_partial = header.kind == Kind.PARTIAL_UPDATE_ROWS
        if is_partial and not table.is_blind:
            data = table.without_options((before, after), data)
        yield from self._consequences(table, header.kind, flags, (before, after), data)
        index = table.watched.index
        if index is None or index in self._gone or index in self._stale:
            return
        if table.stale is not None and not table.by_key:
            yield from self.stale([index], table.stale)
            return
        self._touched.add(index)
        reason = "the log has only parts of JSON values" if is_partial and table.stale is None else table.stale
        if reason is not None:
            yield from self._stale_rows(table, index, reason, header.kind, (before, after), data)
            return
        yield from self._changes(table, index, header.kind, (before, after), data)

    def _consequences(
        self, table: LoggedTable, kind: int, flags: int, present: tuple[bytes, bytes], data: bytes
    ) -> Iterator[Event]:
        """What becomes stale by these rows elsewhere: views, and tables the engine changes without the log."""
        watched = table.watched
        name = watched.name[1]
        yield from self.stale(watched.views, f"rows of {name!r} changed, of which it is made")
        if flags & _NO_FOREIGN_KEY_CHECKS:
            return
        if kind in _DELETES:
            reason = f"rows of {name!r} were deleted, and foreign keys act on it"
            for consequence in watched.deletes:
                yield from self._follow(consequence, deleted(table, consequence, present, data), reason)
        elif kind in _UPDATES:
            reason = f"keys of {name!r} changed, and foreign keys act on it"
            for consequence in watched.updates:
                if self._is_needed(consequence):
                    yield from self._follow(consequence, updated(table, consequence, present, data), reason)

    def _is_needed(self, consequence: Consequence) -> bool:
        return not all(index in self._stale or index in self._gone for index in consequence.all_tables)

    def _follow(self, consequence: Consequence, values: list[Row] | None, reason: str) -> Iterator[Event]:
        """What happens where rows of a parent with these values in the columns that it is about are gone; None where
        the values are not known."""
        if values == []:
            return
        led = consequence.led
        if led is None or values is None:
            yield from self.stale(consequence.all_tables, reason)
            return
        yield from self.stale(consequence.tables, reason)
        if self._is_needed(consequence):
            for at in range(0, len(values), _PART):
                yield Cascaded(led.steps, values[at : at + _PART], reason)

    def _changes(
        self, table: LoggedTable, index: int, kind: int, present: tuple[bytes, bytes], data: bytes
    ) -> Iterator[Event]:
        before, after = present
        try:
            if kind in _WRITES:
                if not _has(after, table.layout.planned):
                    yield from self.stale([index], "a row came without all of its columns")
                    return
                yield from _parts(index, Op.INSERT, ((None, row) for row in singles(data, 0, table.rows(after))))
            elif kind in _DELETES:
                _require_keys(before, table.key_columns)
                yield from _parts(index, Op.DELETE, ((key, None) for key in singles(data, 0, table.keys(before))))
            else:
                _require_keys(before, table.key_columns)
                changed: Iterable[tuple[Row, Row]] = pairs(data, 0, table.keys(before), table.rows(after))
                if not _has(after, table.layout.planned):
                    changed = _with_keys(changed, table.planned)
                yield from _parts(index, Op.UPDATE, changed)
        except MALFORMED as error:
            raise self._unreadable(table, kind, present, data, error) from error
        if len(data) > VALUE_BYTES:
            self._refuse_large(table, kind, present, data)

    def _stale_rows(
        self, table: LoggedTable, index: int, reason: str, kind: int, present: tuple[bytes, bytes], data: bytes
    ) -> Iterator[Event]:
        """The keys that the rows of an event had and have; one that is not told again stays."""
        before, after = present
        _require_keys(before, table.key_columns)
        try:
            keys: Iterator[Row] = (
                _both(pairs(data, 0, table.keys(before), table.keys(after)))
                if kind in _UPDATES
                else singles(data, 0, table.keys(before))
            )
            while part := list(islice(keys, _PART)):
                yield StaleRows(index, part, reason)
        except MALFORMED as error:
            raise self._unreadable(table, kind, present, data, error) from error

    def _unreadable(
        self, table: LoggedTable, kind: int, present: tuple[bytes, bytes], data: bytes, error: Exception
    ) -> SourceData:
        assert table.planned is not None
        column = culprit(table.layout.fields, present, data, is_update=kind in _UPDATES)
        where = f"Column {column!r} of table" if column else "Table"
        return SourceData(
            f"{where} {table.planned.source_name!r} has a change in the binary log that cannot be decoded ({error}). "
            "Correct the value, or exclude the column in reflexdb.yaml."
        )

    @staticmethod
    def _refuse_large(table: LoggedTable, kind: int, present: tuple[bytes, bytes], data: bytes) -> None:
        """Only an event of that size can hold a value of that size."""
        assert table.planned is not None
        rows: Iterable[Row]
        if kind in _WRITES:
            rows = singles(data, 0, table.rows(present[1]))
        elif kind in _UPDATES:
            rows = (new for _, new in pairs(data, 0, table.keys(present[0]), table.rows(present[1])))
        else:
            return
        for row in rows:
            for column, value in zip(table.planned.columns, row, strict=True):
                if isinstance(value, str | bytes) and getsizeof(value) > VALUE_BYTES:
                    size = len(value) if isinstance(value, bytes) else len(value.encode())
                    if size > VALUE_BYTES:
                        raise too_large(table.planned, column.source_name, size)

    def stale(self, tables: Iterable[int], reason: str) -> Iterator[Event]:
        """Each of these tables must be read again; said once in a transaction."""
        for index in tables:
            if index not in self._stale and index not in self._gone:
                self._stale.add(index)
                yield Stale(index, reason)

    def all_stale(self, reason: str) -> Iterator[Event]:
        return self.stale(range(len(self._watch.plan.tables)), reason)

    def undone(self) -> Iterator[Event]:
        """Some or all of what this transaction logged does not count."""
        return self.stale(sorted(self._touched), "a transaction was rolled back after it was logged")

    def stale_tables(self, names: Iterable[Name], reason: str) -> Iterator[Event]:
        for name in names:
            index = self._watch.index(name)
            yield from self.stale(() if index is None else (index,), reason)
            yield from self._stale_views(name)

    def truncated(self, name: Name) -> Iterator[Event]:
        index = self._watch.index(name)
        if index is not None and index not in self._gone:
            yield Truncated(index)
        yield from self._stale_views(name)

    def redefined(self, names: Iterable[Name], what: str) -> Iterator[Event]:
        """The definitions of these tables changed."""
        names = tuple(names)
        for name in names:
            index = self._watch.index(name)
            if index is not None:
                yield from self._redefine(index, what)
            yield from self._stale_views(name)

    def unkeyed(self, names: Iterable[Name], reason: str) -> Iterator[Event]:
        """Foreign keys of these tables are, or were, others than the catalog told: a stream may have begun in the past.
        What they may have changed unseen must be read again."""
        names = tuple(names)
        before = self._watch.affected(names)
        self._watch.refresh(names)
        yield from self.stale(sorted(before | self._watch.affected(names)), reason)

    def schema_dropped(self, schema: str, what: str) -> Iterator[Event]:
        for index in self._watch.in_schema(schema):
            yield from self._redefine(index, what)

    def changed_already(self) -> Iterator[Event]:
        """Tables that are not as planned at the beginning of the stream."""
        for event in self._watch.changed_already():
            assert event.table is not None
            yield from self._redefine(event.table, event.what)

    def _redefine(self, index: int, what: str) -> Iterator[Event]:
        if index not in self._gone:
            self._gone.add(index)
            yield Redefined(index, what)

    def _stale_views(self, name: Name) -> Iterator[Event]:
        watched = self._watch.find(name)
        if watched is not None:
            yield from self.stale(watched.views, f"table {name[1]!r} changed, of which it is made")


def _has(present: bytes, columns: Iterable[int]) -> bool:
    return all(present[index >> 3] >> (index & 7) & 1 for index in columns)


def _both(changed: Iterable[tuple[Row, Row]]) -> Iterator[Row]:
    """The keys before and after each change; what of a key did not come is as it was."""
    for old, new in changed:
        yield old
        now = tuple(before if after is UNCHANGED else after for before, after in zip(old, new, strict=True))
        if now != old:
            yield now


def _require_keys(present: bytes, key: tuple[int, ...]) -> None:
    if not _has(present, key):
        raise ValueError("a change came without its primary key; run SET GLOBAL binlog_row_image = 'FULL'")


def _parts(table: int, op: Op, changes: Iterable[tuple[Row | None, Row | None]]) -> Iterator[Rows]:
    changes = iter(changes)
    while part := list(islice(changes, _PART)):
        keys, rows = zip(*part, strict=True)
        yield Rows(table, [op] * len(part), list(keys), list(rows))


def _with_keys(changes: Iterable[tuple[Row, Row]], planned: PlannedTable | None) -> Iterator[tuple[Row, Row]]:
    """Rows of which not all columns came: what is missing of the key is as it was."""
    assert planned is not None
    places = list(zip(planned.primary_key, range(len(planned.primary_key)), strict=True))
    for key, row in changes:
        values: list[Any] = list(row)
        for column, part in places:
            if values[column] is UNCHANGED:
                values[column] = key[part]
        yield key, tuple(values)
