"""Makes transactions of events: row changes of planned tables, what makes them stale, and a commit at each end.

Bytes of events go in, events of `sources/changes.py` come out one by one, so that a transaction of any size passes in
parts. The log has only what was committed (XA excepted, which is kept until its commit), so nothing has to be held
back. An event that is not known stops the stream. Knows no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from reflexdb.model.errors import PositionLost, SourceData, SourceUnreachable
from reflexdb.sources.changes import Commit, Event
from reflexdb.sources.mysql.binlog import events
from reflexdb.sources.mysql.binlog.events import Header, Kind
from reflexdb.sources.mysql.binlog.gtid import FilePosition, GtidSet, MariaPosition, Position
from reflexdb.sources.mysql.binlog.images import MALFORMED
from reflexdb.sources.mysql.binlog.payload import inner_events
from reflexdb.sources.mysql.binlog.prepared import Prepared
from reflexdb.sources.mysql.binlog.rowevents import RowEvents
from reflexdb.sources.mysql.binlog.statements import Doing, Meaning, meaning, xid_written
from reflexdb.sources.mysql.binlog.tables import Watch

INFLATED_BYTES = 1 << 30
"""The largest event that is decompressed, as large as the largest event there can be."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATEMENT = 200
_QUIET = {
    Kind.STOP, Kind.INTVAR, Kind.APPEND_BLOCK, Kind.DELETE_FILE, Kind.RAND, Kind.USER_VAR, Kind.BEGIN_LOAD_QUERY,
    Kind.HEARTBEAT, Kind.IGNORABLE, Kind.ROWS_QUERY, Kind.PREVIOUS_GTIDS, Kind.TRANSACTION_CONTEXT, Kind.VIEW_CHANGE,
    Kind.HEARTBEAT_V2, Kind.ANNOTATE_ROWS, Kind.BINLOG_CHECKPOINT, Kind.MARIADB_GTID_LIST, Kind.START_ENCRYPTION,
}  # fmt: skip
"""Events that change no rows and no definitions."""


class Transactions:
    """The state between events. `position` is where the stream begins and is moved at every commit."""

    def __init__(self, watch: Watch, position: Position, prepared: dict[str, Prepared]) -> None:
        self._watch = watch
        self._rows = RowEvents(watch)
        self.position = position
        self.file = position.file if isinstance(position, FilePosition) else ""
        self.end = 0
        """Where in the file the last event ended."""
        self._checksum = True
        self._gtid: events.MariaGtid | events.Gtid | None = None
        self._open = False
        """Within a transaction that a COMMIT, XID or ROLLBACK ends."""
        self._xa: Prepared | None = None
        self._prepared = prepared
        self._handlers = self._table_of_handlers()

    def begin(self) -> Iterator[Event]:
        """What is to be said before the first event."""
        return self._rows.changed_already()

    def take(self, data: bytes) -> Iterator[Event]:
        """What an event brings. Raises SourceData for one that is not known or cannot be decoded, PositionLost where
        the server says that its log has a gap, SourceUnreachable for one that did not come as it was sent: its length
        or its checksum is not that of its bytes. Asked for again it may come whole.
        """
        try:
            for event in self._event(data):
                if self._xa is not None and not isinstance(event, Commit):
                    self._xa.keep(event)
                else:
                    yield event
        except MALFORMED as error:
            raise SourceData(self._cannot(data, str(error))) from error

    def _event(self, data: bytes) -> Iterable[Event]:
        kind = data[4] if len(data) >= events.HEADER_BYTES else 0
        if kind == Kind.FORMAT_DESCRIPTION:
            self._checksum = events.format_description(data).checksum
            self._rows.forget()
            return self._torn() if self._open else ()
        if kind == Kind.ROTATE:
            self._checksum = events.has_valid_checksum(data)
        try:
            header, body = events.split(data, checksum=self._checksum)
        except ValueError as error:
            raise SourceUnreachable(self._cannot(data, str(error))) from error
        return self._inner(header, body)

    def _inner(self, header: Header, body: bytes) -> Iterable[Event]:
        if header.end and not header.flags & events.ARTIFICIAL:
            self.end = header.end
        handler = self._handlers.get(header.kind)
        if handler is not None:
            return handler(header, body)
        if header.kind in _QUIET or header.flags & events.IGNORABLE:
            return ()
        raise ValueError("an event of this type is not known")

    def _torn(self) -> Iterable[Event]:
        """The server died while it wrote a transaction into its log, and began another file: that one never was."""
        self._gtid, self._open, self._xa = None, False, None
        return self._rows.undone()

    def _table_of_handlers(self) -> dict[int, Callable[[Header, bytes], Iterable[Event]]]:
        handlers: dict[int, Callable[[Header, bytes], Iterable[Event]]] = {
            Kind.ROTATE: self._rotate,
            Kind.MARIADB_GTID: self._maria_gtid,
            Kind.GTID: self._mysql_gtid,
            Kind.ANONYMOUS_GTID: self._mysql_gtid,
            Kind.QUERY: self._query,
            Kind.QUERY_COMPRESSED: self._query_compressed,
            Kind.EXECUTE_LOAD_QUERY: self._load,
            Kind.XID: self._xid,
            Kind.XA_PREPARE: self._xa_prepare,
            Kind.TABLE_MAP: self._table_map,
            Kind.TRANSACTION_PAYLOAD: self._payload,
            Kind.INCIDENT: self._incident,
            Kind.GTID_TAGGED: self._tagged,
        }
        return handlers | dict.fromkeys(self._rows.kinds, self._rows.take)

    def _rotate(self, _: Header, body: bytes) -> Iterable[Event]:
        found = events.rotate(body)
        self.file, self.end = found.file, found.offset
        return ()

    def _maria_gtid(self, header: Header, body: bytes) -> Iterable[Event]:
        found = events.mariadb_gtid(header, body)
        self._begin(found, is_open=not found.standalone)
        if found.prepared_xa:
            self._xa = Prepared()
        return ()

    def _mysql_gtid(self, _: Header, body: bytes) -> Iterable[Event]:
        self._begin(events.gtid(body), is_open=False)
        return ()

    def _begin(self, gtid: events.MariaGtid | events.Gtid, *, is_open: bool) -> None:
        if self._open:
            raise ValueError("a transaction begins before the last one ended")
        self._gtid, self._open = gtid, is_open

    def _query_compressed(self, header: Header, body: bytes) -> Iterable[Event]:
        return self._query(header, events.inflated_query(body, INFLATED_BYTES))

    def _load(self, header: Header, body: bytes) -> Iterable[Event]:
        query = events.query(body, load=True)
        return self._stated(header, Meaning(Doing.ROWS), query.schema, query.statement)

    def _query(self, header: Header, body: bytes) -> Iterable[Event]:
        query = events.query(body)
        return self._stated(header, meaning(query), query.schema, query.statement)

    def _stated(self, header: Header, found: Meaning, schema: str, statement: str) -> Iterator[Event]:
        """What a statement brings; outside of a transaction it is one by itself."""
        doing = found.doing
        if doing in (Doing.BEGIN, Doing.XA_START):
            self._open = True
            if doing is Doing.XA_START:
                self._xa = Prepared()
            return
        if doing in (Doing.SAVEPOINT, Doing.XA_END):
            return
        if doing is Doing.COMMIT:
            yield from self._commit(header)
            return
        if doing in (Doing.ROLLBACK, Doing.ROLLBACK_TO):
            yield from self._rows.undone()
            if doing is Doing.ROLLBACK:
                yield from self._commit(header)
            return
        if doing in (Doing.XA_COMMIT, Doing.XA_ROLLBACK):
            yield from self._decided(found)
        else:
            yield from self._changed(found, schema, statement)
        if not self._open:
            yield from self._commit(header)

    def _decided(self, found: Meaning) -> Iterator[Event]:
        prepared = self._prepared.pop(found.xid, None)
        if found.doing is Doing.XA_ROLLBACK:
            return
        if prepared is None:
            yield from self._rows.all_stale("an XA transaction was prepared before the stream began")
        else:
            yield from prepared.events()

    def _changed(self, found: Meaning, schema: str, statement: str) -> Iterator[Event]:
        what = " ".join(statement.encode("utf-8", "replace").decode().split())[:_STATEMENT]
        doing = found.doing
        if doing is Doing.TRUNCATE:
            yield from self._rows.truncated(found.tables[0])
        elif doing is Doing.REDEFINE:
            yield from self._rows.redefined(found.tables, what)
            if "REFERENCES" in statement.upper() or "RENAME" in statement.upper():
                yield from self._rows.unkeyed(found.tables, f"foreign keys may have been others before {what}")
        elif doing is Doing.DROP_SCHEMA:
            yield from self._rows.schema_dropped(found.tables[0][0], what)
        elif doing is Doing.REWRITE:
            yield from self._rows.stale_tables(found.tables, f"partitions or tablespaces were changed by {what}")
        elif doing is Doing.KEYS:
            self._watch.refresh(found.tables)
        elif doing is Doing.UNKEYED:
            yield from self._rows.unkeyed(found.tables, f"a foreign key was dropped by {what}")
        elif doing is Doing.ROWS and not self._watch.is_system(found.tables, schema):
            yield from self._rows.all_stale(f"a session writes statements instead of rows to the log: {what}")
        elif doing is Doing.UNKNOWN:
            yield from self._rows.all_stale(f"a statement in the log is not understood: {what}")

    def _xid(self, header: Header, _: bytes) -> Iterable[Event]:
        return self._commit(header)

    def _xa_prepare(self, header: Header, body: bytes) -> Iterator[Event]:
        found = events.xa_prepare(body)
        prepared, self._xa = self._xa, None
        if found.one_phase:
            yield from (prepared or Prepared()).events()
        elif prepared is not None:
            Prepared.limit(self._prepared)
            self._prepared[xid_written(found.form, found.name, found.branch)] = prepared
        yield from self._commit(header)

    def _table_map(self, _: Header, body: bytes) -> Iterable[Event]:
        return self._rows.table_map(body)

    def _payload(self, header: Header, body: bytes) -> Iterator[Event]:
        """A transaction that was compressed as a whole: its events are read as if they stood here."""
        for inner in inner_events(body):
            inner_header, inner_body = events.split(inner, checksum=False)
            if inner_header.kind == Kind.TRANSACTION_PAYLOAD:
                raise ValueError("a compressed transaction within another")
            at_end = Header(
                inner_header.when, inner_header.kind, inner_header.server_id, inner_header.size, header.end, 0
            )
            yield from self._inner(at_end, inner_body)

    def _incident(self, _: Header, body: bytes) -> Iterable[Event]:
        raise PositionLost(
            f"The server wrote an incident into its log at {self.file}:{self.end}: changes are missing from it "
            f"({body[3:203].decode('utf-8', 'replace')!r}). The tables must be read again from a later position."
        )

    def _tagged(self, _: Header, body: bytes) -> Iterable[Event]:
        self._begin(events.tagged_gtid(body), is_open=False)
        return ()

    def _commit(self, header: Header) -> Iterator[Event]:
        """The end of a transaction, at which the position moves."""
        gtid, self._gtid, self._open, self._xa = self._gtid, None, False, None
        self._rows.end()
        when = _EPOCH + timedelta(seconds=header.when)
        position = self.position
        if isinstance(position, MariaPosition) and isinstance(gtid, events.MariaGtid):
            position.last[gtid.domain] = (gtid.server_id, gtid.sequence)
        elif isinstance(position, GtidSet) and isinstance(gtid, events.Gtid) and gtid.number:
            position.add(gtid.source, gtid.number)
        elif isinstance(position, FilePosition):
            if header.end >= position.offset or self.file != position.file:  # else it is beyond 4 GiB in its file
                position.file, position.offset = self.file, header.end
        else:
            raise ValueError("a transaction has no GTID, though the position the stream began at has")
        if isinstance(gtid, events.Gtid) and gtid.committed_us:
            when = _EPOCH + timedelta(microseconds=gtid.committed_us)
        yield Commit(str(position), when)

    def _cannot(self, data: bytes, why: str) -> str:
        kind = data[4] if len(data) > 4 else 0
        name = Kind(kind).name if kind in Kind._value2member_map_ else "unknown"
        return (
            f"The event of type {kind} ({name}) after {self.file}:{self.end} of the binary log cannot be followed: "
            f"{why}."
        )
