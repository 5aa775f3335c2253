"""Begins a snapshot whose position is exact: where the stream must begin so that nothing is missing and nothing twice.

MariaDB tells the binary log's position of a consistent snapshot: no lock, no privilege. MySQL does not. With GTIDs the
snapshot begins at what was executed just before, and the stream hands out as one transaction everything up to the end
of the log just after, since any of it may be in the snapshot already; rows are applied by key, so that nothing counts
twice. Without GTIDs a lock is taken for the instant in which snapshot and position are read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.model.errors import SourceError
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.mysql.binlog.catalog import Server, server_of
from reflexdb.sources.mysql.binlog.client import columns_of
from reflexdb.sources.mysql.binlog.gtid import FilePosition, parse
from reflexdb.sources.mysql.connect import connect, quoted, translated

REST_TRIES, REST_WAIT_S = 200, 0.01
LOCK_WAIT_S = 10
"""How long the lock is waited for; writers that come meanwhile wait as long."""


@dataclass(frozen=True, slots=True)
class Joint:
    """Where a snapshot and its stream meet."""

    position: str
    until: FilePosition | None
    """The stream's transactions up to here count as one; None where the position is exact by itself."""
    taken_at: datetime


def begin_at_joint(connection: Connection[Any], address: SourceAddress, plan: Plan) -> Joint:
    """Begin a consistent snapshot on the connection. Raises SourceError; PyMySQL's errors pass."""
    server = server_of(connection)
    if server.mariadb:
        return _exact(connection)
    if server.gtid:
        return _overlapping(connection, server)
    with _locked(address, plan):
        taken_at = datetime.now(UTC)
        begin(connection)
        return Joint(str(end_of_log(connection, server)), None, taken_at)


def begin(connection: Connection[Any]) -> None:
    """Begin a transaction that sees one moment of all InnoDB tables."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")


def end_of_log(connection: Connection[Any], server: Server) -> FilePosition:
    """Where the server writes its next event. Raises SourceError where it keeps no log."""
    row = state_of_log(connection, server)
    return FilePosition(str(row[0]), int(row[1]))


def state_of_log(connection: Connection[Any], server: Server) -> tuple[Any, ...]:
    """File, offset, and the schemas that are logged alone or not at all. Raises SourceError where there is no log."""
    is_new = not server.mariadb and server.number >= (8, 2)
    rows = columns_of(connection, "SHOW BINARY LOG STATUS" if is_new else "SHOW MASTER STATUS")
    if not rows:
        raise SourceError("The server keeps no binary log (log_bin); it can only be polled.")
    return rows[0]


def _exact(connection: Connection[Any]) -> Joint:
    taken_at = datetime.now(UTC)
    place = _begin_at(connection)
    found = columns_of(connection, "SELECT BINLOG_GTID_POS(%s, %s)", place.file, place.offset)[0][0]
    if found is None and (joint := _at_rest(connection)) is not None:
        return joint
    return Joint(str(parse(str(found))) if found else str(place), None, taken_at)


def _begin_at(connection: Connection[Any]) -> FilePosition:
    """Begin a snapshot; where it is in MariaDB's log."""
    begin(connection)
    status = {str(name).lower(): str(value) for name, value in
              columns_of(connection, "SHOW STATUS LIKE 'binlog_snapshot_%'")}  # fmt: skip
    file, offset = status.get("binlog_snapshot_file", ""), status.get("binlog_snapshot_position", "")
    if not file or not offset.isdigit():
        raise SourceError("The server does not tell the position of a snapshot in its binary log (log_bin is off).")
    return FilePosition(file, int(offset))


def _at_rest(connection: Connection[Any]) -> Joint | None:
    """MariaDB finds the GTIDs of a place by reading the file up to it, and fails at an event that is larger than its
    max_allowed_packet. A snapshot that begins while nothing is written is at the GTIDs that were written last. None
    where there is no such moment."""
    server = server_of(connection)
    for _ in range(REST_TRIES):
        before = end_of_log(connection, server)
        written = str(columns_of(connection, "SELECT @@GLOBAL.gtid_binlog_pos")[0][0])
        is_at_rest = end_of_log(connection, server) == before
        taken_at = datetime.now(UTC)
        if is_at_rest and _begin_at(connection) == before:
            return Joint(str(parse(written)), None, taken_at)
        time.sleep(REST_WAIT_S)
    return None


def _overlapping(connection: Connection[Any], server: Server) -> Joint:
    executed = str(columns_of(connection, "SELECT @@GLOBAL.gtid_executed")[0][0]).replace("\n", "")
    taken_at = datetime.now(UTC)
    begin(connection)
    until = end_of_log(connection, server)
    return Joint(str(parse(executed)) if executed else str(FilePosition(until.file, 4)), until, taken_at)


@contextmanager
def _locked(address: SourceAddress, plan: Plan) -> Iterator[None]:
    """No table of the plan changes meanwhile: by a global read lock where it is granted, else by locking each."""
    connection = connect(address)
    try:
        with connection.cursor() as cursor, translated(address, "locking its tables for an instant"):
            cursor.execute("SET SESSION lock_wait_timeout = %s", (LOCK_WAIT_S,))
            try:
                cursor.execute("FLUSH TABLES WITH READ LOCK")
            except pymysql.MySQLError:
                tables = ", ".join(f"{quoted(plan.schema)}.{quoted(table.source_name)} READ" for table in plan.tables)
                cursor.execute(f"LOCK TABLES {tables}")
        yield
    finally:
        with suppress(pymysql.MySQLError, OSError):
            connection.close()  # which gives the lock back
