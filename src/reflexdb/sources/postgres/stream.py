"""The changes of one PostgreSQL database, transaction by transaction, out of a logical replication slot.

The server sends whole committed transactions in commit order; here they become the events of `sources.changes`. What
replication does not say is asked of the catalog beside it, now and then: that a table was dropped, or that another one
has its name now. Used by one thread.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from reflexdb.model.errors import PositionLost, SourceData, SourceError, SourceUnreachable
from reflexdb.model.plan import Plan
from reflexdb.sources.batching import VALUE_BYTES
from reflexdb.sources.changes import UNCHANGED, Commit, Event, Op, Redefined, Row, Rows, Stale, StaleRows, Truncated
from reflexdb.sources.postgres import pgoutput
from reflexdb.sources.postgres.catalog import Catalog
from reflexdb.sources.postgres.layout import Layout, Misfit, Reread, needs_server
from reflexdb.sources.postgres.look import Look
from reflexdb.sources.postgres.replication import Heartbeat, ReplicationConnection, format_lsn, parse_lsn

_PART_ROWS = 4096
"""A transaction is handed over in parts of about so many changes."""
_ACKNOWLEDGE_EVERY_S = 1.0
_IDLE_COMMIT_EVERY_S = 0.02
"""While nothing planned changes, the position still moves so often: the server need not keep what others write, and
who waits for a position that it told gets it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LogicalStream:
    """See ChangeStream. Owns the connection and the catalog's."""

    def __init__(
        self,
        connection: ReplicationConnection,
        catalog: Catalog,
        plan: Plan,
        position: str,
        look: Look,
    ) -> None:
        self._connection = connection
        self._looking = look
        self._catalog = catalog
        self._plan = plan
        self._applied = parse_lsn(position)
        look.memory.settle(self._applied)
        """Nothing up to here is handed over again."""
        self._confirmed = self._acknowledged = 0
        self._acknowledged_at = self._committed_at = time.monotonic()
        self._ready: deque[Event] = deque()
        self._relations: dict[int, Layout | Reread | Misfit | None] = {}
        self._described: dict[int, pgoutput.Relation] = {}
        """As replication described the relations last."""
        self._parts: dict[int, Rows] = {}
        self._stale: dict[int, StaleRows] = {}
        self._part_rows = 0
        self._told: set[int] = set()
        """Tables of which this transaction has said that they are stale."""
        self._frozen: set[int] = set()
        self._skipping = False
        self._log = structlog.get_logger()
        self._is_large = False
        """Whether the message may hold a value that can't be served."""
        self._in_transaction = False
        self._begun = 0
        """What the transaction's Begin said."""
        self._heard_us = 0
        """The server's clock, as it told it last; 0 before."""
        self._beat: Heartbeat | None = None
        """The last that moved nothing yet, because it came too soon: the server may say no more for long."""
        self._names = {table.source_name: index for index, table in enumerate(plan.tables)}
        self._asked = [
            [place for place, column in enumerate(table.columns) if needs_server(column)] for table in plan.tables
        ]
        """By table: the columns whose values the server has to convert."""

    @property
    def warning(self) -> str | None:
        return self._looking.warning

    @property
    def definitions(self) -> str | None:
        return self._looking.state

    def next(self, timeout_s: float) -> Event | None:
        give_up = time.monotonic() + timeout_s
        while not self._ready:
            self._look()
            self._move()
            if self._ready:
                break
            rest = give_up - time.monotonic()
            message = self._connection.receive(max(0.0, rest if self._beat is None else min(rest, self._early_s())))
            self._acknowledge()
            while isinstance(message, bytes):
                self._take(message)
                message = None if self._ready else self._connection.at_hand()
            if isinstance(message, Heartbeat):
                self._heard(message)
            self._move()
            if time.monotonic() >= give_up and not self._ready:
                return None
        return self._ready.popleft()

    def confirm(self, position: str) -> None:
        self._confirmed = max(self._confirmed, parse_lsn(position))
        self._looking.memory.settle(parse_lsn(position))
        self._acknowledge()

    def close(self) -> None:
        with suppress(SourceError):
            self._acknowledge(at_once=True)
        self._connection.close()
        self._catalog.close()

    def _acknowledge(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        is_news = self._confirmed != self._acknowledged and now - self._acknowledged_at >= _ACKNOWLEDGE_EVERY_S
        if not (is_news or at_once):
            return
        self._connection.acknowledge(self._confirmed)
        self._acknowledged, self._acknowledged_at = self._confirmed, now

    def _heard(self, beat: Heartbeat) -> None:
        if beat.reply:
            self._acknowledge(at_once=True)
        if not self._in_transaction:
            self._beat = beat

    def _early_s(self) -> float:
        """How long the position is to stay where it is yet."""
        return max(0.0, self._committed_at + _IDLE_COMMIT_EVERY_S - time.monotonic())

    def _move(self) -> None:
        """Between transactions: the position follows what the server said last."""
        beat = self._beat
        if beat is None or self._in_transaction or self._early_s() > 0:
            return
        self._beat = None
        if beat.end > self._applied:
            self._commit(beat.end, beat.clock_us)

    def _take(self, data: bytes) -> None:
        self._is_large = len(data) > VALUE_BYTES
        try:
            message = pgoutput.decode(data)
        except pgoutput.Undecodable as error:
            raise SourceData(f"PostgreSQL sent {error}: the changes can't be followed further.") from error
        match message:
            case pgoutput.Begin():
                if self._in_transaction:
                    raise _disordered("a transaction within another one")
                self._in_transaction, self._beat = True, None
                self._begun = message.commit_lsn
                self._skipping = message.commit_lsn < self._applied
            case pgoutput.Commit():
                self._end(message)
            case pgoutput.Relation():
                self._relate(message)
            case _ if self._skipping:
                pass
            case pgoutput.Other():
                pass
            case _ if not self._in_transaction:
                raise _disordered("a change outside of any transaction")
            case pgoutput.Insert():
                self._change(message.relation, Op.INSERT, None, message.new, None)
            case pgoutput.Update():
                self._change(message.relation, Op.UPDATE, message.key or message.old, message.new, message.old)
            case pgoutput.Delete():
                self._change(message.relation, Op.DELETE, message.old, None, None)
            case pgoutput.Truncate():
                self._truncate(message.relations)

    def _end(self, message: pgoutput.Commit) -> None:
        if not self._in_transaction or message.commit_lsn != self._begun:
            raise _disordered("the end of a transaction that had not begun")
        self._in_transaction = False
        if not self._skipping:
            self._flush()
            self._commit(message.end_lsn, message.clock_us)
        self._skipping = False

    def _commit(self, end: int, clock_us: int) -> None:
        self._applied, self._heard_us = end, clock_us
        self._looking.memory.settle(end)
        self._told.clear()
        self._committed_at = time.monotonic()
        self._ready.append(Commit(format_lsn(end), _EPOCH + timedelta(microseconds=clock_us)))

    def _relate(self, relation: pgoutput.Relation) -> None:
        self._flush()  # what came before has the layout from before
        found = self._catalog.lay_out(relation)
        self._relations[relation.oid] = found
        self._compare_description(relation)
        if isinstance(found, Misfit):
            self._redefine(found.table, found.what)

    def _compare_description(self, relation: pgoutput.Relation) -> None:
        """Columns may have exchanged their names and got them back: then the catalog is what it was, and rows that came
        in between are not."""
        before = self._described.get(relation.oid)
        self._described[relation.oid] = relation
        name = self._catalog.name(relation.oid)
        if name is not None and not (
            self._catalog.is_described_by(relation) if before is None else before.columns == relation.columns
        ):
            self._looking.suspect(name)

    def _change(
        self, oid: int, op: Op, key: pgoutput.Tuple | None, new: pgoutput.Tuple | None, old: pgoutput.Tuple | None
    ) -> None:
        layout = self._layout(oid)
        if not isinstance(layout, Layout):
            self._tell_stale(layout)
            return
        if layout.table in self._frozen:
            return
        if layout.table in self._told:
            return  # it is read again, with this change
        try:
            self._add(layout, op, key, new, old)
        except SourceData as error:
            self._set_aside(layout, error.message)
        except SourceError:
            raise
        except Exception as error:
            self._log.exception("change_not_decoded", table=layout.planned.source_name)
            self._set_aside(layout, f"a change of it can't be decoded ({type(error).__name__})")
        self._part_rows += 1
        if self._part_rows >= _PART_ROWS:
            self._flush()

    def _set_aside(self, layout: Layout, reason: str) -> None:
        """A change of the table can't be told row by row."""
        self._parts.pop(layout.table, None)
        self._stale.pop(layout.table, None)
        self._tell_stale(Reread(layout.table, reason))

    def _add(
        self, layout: Layout, op: Op, key: pgoutput.Tuple | None, new: pgoutput.Tuple | None, old: pgoutput.Tuple | None
    ) -> None:
        if (key is not None and len(key) < layout.width) or (new is not None and len(new) < layout.width):
            raise SourceData(f"A change of table {layout.planned.source_name!r} has fewer values than columns.")
        if layout.stale is not None:
            self._ask_again(layout, layout.stale, (key, new))
            return
        row = layout.row(new, old, is_large=self._is_large) if new is not None else None
        named = None if op is Op.INSERT else key or new or []
        if named is not None and not layout.has_key(named):
            raise SourceData("A partition's replica identity does not cover its primary key.")
        identity = None if named is None else layout.key_of(named)
        part = self._parts.get(layout.table)
        if part is None:
            part = self._parts[layout.table] = Rows(layout.table)
        part.ops.append(op)
        part.keys.append(identity)
        part.rows.append(row)

    def _ask_again(self, layout: Layout, reason: str, images: tuple[pgoutput.Tuple | None, ...]) -> None:
        """The keys that a row had and has, as far as they were sent: one that did not change stands in the new row."""
        known = [image for image in images if image is not None]
        if not known or not all(map(layout.has_key, known)):
            self._tell_stale(Reread(layout.table, reason))
            return
        part = self._stale.setdefault(layout.table, StaleRows(layout.table, [], reason))
        part.keys += [layout.key_of(image) for image in known]

    def _truncate(self, oids: tuple[int, ...]) -> None:
        self._flush()
        for oid in oids:
            layout = self._layout(oid)
            if isinstance(layout, Layout) and layout.table not in self._frozen:
                self._ready.append(Truncated(layout.table))
            else:
                self._tell_stale(layout)

    def _layout(self, oid: int) -> Layout | Reread | Misfit | None:
        try:
            return self._relations[oid]
        except KeyError:
            raise SourceData(
                f"PostgreSQL sent a change of relation {oid} that it has not described: the changes can't be followed."
            ) from None

    def _tell_stale(self, layout: Layout | Reread | Misfit | None) -> None:
        if isinstance(layout, Reread) and layout.table not in self._told | self._frozen:
            self._told.add(layout.table)
            self._ready.append(Stale(layout.table, layout.reason))

    def _flush(self) -> None:
        for part in self._parts.values():
            try:
                self._convert(part)
            except SourceError as error:
                if error.temporary:
                    raise
                self._tell_stale(Reread(part.table, "values from before its type was altered can't be converted"))
                continue
            except Exception as error:
                self._log.exception("change_not_converted", table=self._plan.tables[part.table].source_name)
                self._tell_stale(Reread(part.table, f"a change of it can't be converted ({type(error).__name__})"))
                continue
            self._ready.append(part)
        self._ready += self._stale.values()
        self._parts, self._stale = {}, {}
        self._part_rows = 0

    def _convert(self, part: Rows) -> None:
        """Let the server say what only it can: the JSON of arrays and the like."""
        columns = self._asked[part.table]
        if not columns:
            return
        rows: list[list[object] | None] = [None if row is None else list(row) for row in part.rows]
        for place in columns:
            spots = [row for row in rows if row is not None and row[place] not in (None, UNCHANGED)]
            texts = self._catalog.convert(self._plan.tables[part.table], place, [row[place] for row in spots])
            for row, text in zip(spots, texts, strict=True):
                row[place] = text
        converted: list[Row | None] = [None if row is None else tuple(row) for row in rows]
        part.rows = converted

    def _redefine(self, table: int, what: str) -> None:
        if table not in self._frozen:
            self._frozen.add(table)
            self._parts.pop(table, None)
            self._stale.pop(table, None)
            self._ready.append(Redefined(table, what[:200]))

    def _look(self) -> None:
        """Between transactions: is every planned table still the one that is followed?"""
        if self._in_transaction or not self._looking.is_due:
            return
        before = len(self._ready)
        for finding in self._looking.findings(self._applied):
            index = self._names[finding.table]
            if finding.is_redefined:
                self._redefine(index, finding.what)
            elif index not in self._frozen:
                self._ready.append(Stale(index, finding.what))
        if len(self._ready) > before:
            told = _EPOCH + timedelta(microseconds=self._heard_us) if self._heard_us else datetime.now(UTC)
            self._ready.append(Commit(format_lsn(self._applied), told))


def _disordered(what: str) -> SourceUnreachable:
    return SourceUnreachable(f"PostgreSQL's changes came out of order ({what}): the connection repeated or lost some.")


def open_stream(
    connection: ReplicationConnection,
    catalog: Catalog,
    plan: Plan,
    slot: str,
    publication: str,
    position: str,
    look: Look,
) -> LogicalStream:
    """Begin to follow after the position. On any failure both connections are closed."""
    try:
        catalog.require_slot(slot, position)
        connection.start(slot, position, publication)
        look.begin()
        return LogicalStream(connection, catalog, plan, position, look)
    except BaseException as error:
        with suppress(SourceUnreachable):
            connection.close()
        catalog.close()
        if "replication slot" in str(error) and ("does not exist" in str(error) or "no longer" in str(error)):
            raise PositionLost(str(error)) from error
        raise
