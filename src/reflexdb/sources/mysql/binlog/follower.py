"""Follows one schema of a MySQL or MariaDB server: the Follower and ChangeStream of `sources/changes.py`.

Puts the parts together and keeps what outlives a stream: the server id we follow as, and XA transactions that are
prepared but not decided. Each snapshot and stream has connections of its own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pymysql

from reflexdb.model.errors import InvalidRequest, PositionLost, SourceUnreachable
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import ChangeStream, Commit, Event
from reflexdb.sources.mysql.binlog.catalog import Catalog, Server, catalog, server_of
from reflexdb.sources.mysql.binlog.client import BinlogClient, Dump, columns_of
from reflexdb.sources.mysql.binlog.gtid import FilePosition, GtidSet, MariaPosition, Position, parse
from reflexdb.sources.mysql.binlog.join import Joint, begin_at_joint
from reflexdb.sources.mysql.binlog.preflight import preflight
from reflexdb.sources.mysql.binlog.prepared import Prepared
from reflexdb.sources.mysql.binlog.tables import Watch
from reflexdb.sources.mysql.binlog.transactions import Transactions
from reflexdb.sources.mysql.connect import LOCK_WAIT_S, connect, translated
from reflexdb.sources.mysql.read import MySQLSnapshot
from reflexdb.sources.retyped import as_read, retyped_stream

FIRST_EVENT_S = 30.0
"""How long the server may take to find a position in its log."""
_LOWEST_OWN_ID = 0x70000000


class MySQLFollower:
    """Follower over one server. Safe to use from several threads; each stream from one."""

    mode = "binlog"

    def __init__(self, address: SourceAddress, server_id: int | None = None) -> None:
        self._address = address
        self._server_id = _server_id(server_id)
        self._replica = str(uuid4())
        self._prepared: dict[str, Prepared] = {}
        self._joints: dict[str, Joint] = {}

    def preflight(self, plan: Plan) -> tuple[str, ...]:
        with closing(connect(self._address)) as connection, translated(self._address, "checking its binary log"):
            return preflight(connection, self._address, plan, self._dump(server_of(connection))).blockers

    def warnings(self, plan: Plan) -> tuple[str, ...]:
        with closing(connect(self._address)) as connection, translated(self._address, "checking its binary log"):
            return preflight(connection, self._address, plan, self._dump(server_of(connection))).warnings

    def unfollowed(self, plan: Plan) -> frozenset[int]:
        """Views of which the server does not say what they are made of; other views become stale by their tables."""
        if not any(table.is_view for table in plan.tables):
            return frozenset()
        views = self._catalog(plan).views
        return frozenset(
            index
            for index, table in enumerate(plan.tables)
            if table.is_view and views.get((plan.schema, table.source_name)) is None
        )

    @contextmanager
    def snapshot(self, plan: Plan, wait_s: float | None = None) -> Iterator[MySQLSnapshot]:
        connection = connect(self._address, LOCK_WAIT_S if wait_s is None else wait_s)
        try:
            with translated(self._address, "beginning a consistent snapshot"):
                joint = begin_at_joint(connection, self._address, plan)
            self._joints = {joint.position: joint}
            connection.use_unicode = False
            connection.decoders = {}  # rows as the server's bytes
            yield MySQLSnapshot(connection, self._address, plan.schema, joint.position, joint.taken_at)
        finally:
            with suppress(pymysql.MySQLError, OSError):
                connection.close()

    def view(self, plan: Plan, wait_s: float | None = None) -> AbstractContextManager[MySQLSnapshot]:
        return self.snapshot(plan, wait_s)

    def stream(self, plan: Plan, position: str) -> ChangeStream:
        return retyped_stream(self._stream(as_read(plan), position), plan)

    def _stream(self, plan: Plan, position: str) -> BinlogStream:
        begin = parse(position)
        with closing(connect(self._address)) as connection, translated(self._address, "preparing to follow it"):
            found = catalog(connection, plan)
            begin = _by_gtid(begin, found.server, connection)
            _require_known(begin, found.server, connection)
        watch = Watch(plan, found, lambda: self._catalog(plan))
        transactions = Transactions(watch, begin, self._prepared)
        joint = self._joints.pop(position, None)
        client = BinlogClient(self._address, self._dump(found.server), begin)
        return BinlogStream(client, transactions, None if joint is None else joint.until)

    def clock(self) -> datetime:
        with closing(connect(self._address)) as connection, translated(self._address, "asking for its time"):
            shown: datetime = columns_of(connection, "SELECT UTC_TIMESTAMP(6)")[0][0]
        return shown.replace(tzinfo=UTC)

    def reached(self, position: str, wanted: str) -> bool:
        have, want = parse(position), parse(wanted)
        if type(have) is not type(want):
            have, want = self._comparable(have), self._comparable(want)
        for kind in (MariaPosition, GtidSet, FilePosition):
            if isinstance(have, kind) and isinstance(want, kind):
                return have.contains(want)  # type: ignore[arg-type] # both are of this kind
        raise InvalidRequest(
            f"Position {wanted[:100]!r} is of another form than the source's, which is like {position[:100]!r}."
        )

    def succeed(self) -> None:
        """A position of the log is anybody's."""

    def withdraw(self) -> tuple[str, ...]:
        """A server that writes a log refuses nothing because it is read."""
        return ()

    def kept_bytes(self) -> int:
        return 0

    def drop(self, *, shared: bool = True) -> None:
        """Nothing is kept at the server for a reader of its log."""

    def close(self) -> None:
        """Nothing is held between uses."""
        self._prepared.clear()

    def _dump(self, server: Server) -> Dump:
        return Dump(self._server_id, server.mariadb, self._replica)

    def _catalog(self, plan: Plan) -> Catalog:
        with closing(connect(self._address)) as connection, translated(self._address, "describing its tables"):
            return catalog(connection, plan)

    def _comparable(self, position: Position) -> Position:
        """A place in a file of MariaDB as GTIDs, so that it compares with them."""
        if not isinstance(position, FilePosition):
            return position
        with closing(connect(self._address)) as connection, translated(self._address, "comparing positions"):
            return _by_gtid(position, server_of(connection), connection)


class BinlogStream:
    """ChangeStream over one connection."""

    warning: str | None = None
    definitions: str | None = None

    def __init__(self, client: BinlogClient, transactions: Transactions, until: FilePosition | None) -> None:
        self._client = client
        self._transactions = transactions
        self._until = until
        self._pending: Iterator[Event] = iter(())
        try:
            self._await_first()
        except BaseException:
            self.close()
            raise

    def next(self, timeout_s: float) -> Event | None:
        give_up = time.monotonic() + timeout_s
        left = timeout_s
        while True:
            for event in self._pending:
                if self._until is None or not isinstance(event, Commit) or self._is_joined(self._until):
                    return event
            if left < 0 < timeout_s:
                return None  # there was enough to read, but nothing in it was for us
            data = self._client.next(max(left, 0.0))
            if data is None:
                return None
            self._pending = self._transactions.take(data)
            left = give_up - time.monotonic()

    def confirm(self, position: str) -> None:
        """The server keeps its log by its own rules, whatever we have read."""

    def close(self) -> None:
        self._client.close()

    def _is_joined(self, until: FilePosition) -> bool:
        """Whether this commit and all before it were in the log when the snapshot had begun."""
        if not FilePosition(self._transactions.file, self._transactions.end).contains(until):
            return False
        self._until = None
        return True

    def _await_first(self) -> None:
        """The server answers with the format of its log at once, or says why it cannot begin there."""
        early: list[Event] = list(self._transactions.begin())
        data = self._client.next(FIRST_EVENT_S)
        if data is None:
            raise SourceUnreachable(f"The server did not begin to send its binary log within {FIRST_EVENT_S:.0f} s.")
        early += self._transactions.take(data)
        self._pending = iter(early)


def _by_gtid(position: Position, server: Server, connection: Any) -> Position:
    """Where MariaDB is given a place in a file, the GTIDs of that place: it always has them."""
    if server.mariadb and isinstance(position, FilePosition):
        found = columns_of(connection, "SELECT BINLOG_GTID_POS(%s, %s)", position.file, position.offset)[0][0]
        if found is None:
            raise PositionLost(
                f"The server does not find {position} in its binary log: the file is gone, or has an event larger than "
                "max_allowed_packet; FLUSH BINARY LOGS begins another file."
            )
        return parse(str(found)) if found else MariaPosition()
    if server.mariadb != isinstance(position, MariaPosition) and not isinstance(position, FilePosition):
        raise PositionLost(f"Position {str(position)[:100]} is not one of this server, which is {server.version}.")
    return position


def _require_known(position: Position, server: Server, connection: Any) -> None:
    """Refuse a position that is ahead of the server: it began its history anew, or is a replica that knows less. Its
    log would begin to mean something else once it has grown as far.
    """
    if isinstance(position, FilePosition):
        return
    variable = "gtid_binlog_pos" if server.mariadb else "gtid_executed"
    written = str(columns_of(connection, f"SELECT @@GLOBAL.{variable}")[0][0])
    present = parse(written) if written else type(position)()
    if not present.contains(position):  # type: ignore[arg-type] # the server's positions are all of one kind
        raise PositionLost(
            f"Position {str(position)[:100]} is ahead of the server, which is at {str(present)[:100]!r}: its history "
            "began anew, or it is a replica that was behind."
        )


def _server_id(given: int | None) -> int:
    """The id under which we follow: as told, or one that hardly any other replica has."""
    if given is None:
        return _LOWEST_OWN_ID + secrets.randbelow(0xFFFFFFFF - _LOWEST_OWN_ID)
    if not 1 <= given <= 0xFFFFFFFF:
        raise InvalidRequest(f"binlogServerId must be a number from 1 to 4294967295, not {given!r}.")
    return given
