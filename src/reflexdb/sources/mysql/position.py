"""Where in the server's history a snapshot is, as GTIDs; empty where the server keeps no binary log or does not
say.

MariaDB tells the exact binlog position of a consistent snapshot. MySQL does not; there the GTIDs executed just before
the snapshot are a position that the snapshot surely contains, since MySQL adds a transaction to them only after it is
committed in the engine.
"""

from __future__ import annotations

from typing import Any

import pymysql
from pymysql.connections import Connection


def position_before(connection: Connection[Any]) -> str:
    """MySQL's executed GTIDs, to be read before the snapshot is begun."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT @@GLOBAL.gtid_executed")
        except pymysql.MySQLError:  # MariaDB has no such variable
            return ""
        row = cursor.fetchone()
    return "" if row is None else str(row[0]).replace("\n", "")


def position_after(connection: Connection[Any]) -> str:
    """MariaDB's GTID position of the transaction that was begun WITH CONSISTENT SNAPSHOT."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
        status = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        file, offset = status.get("binlog_snapshot_file", ""), status.get("binlog_snapshot_position", "")
        if not file or not offset.isdigit():
            return ""
        try:
            cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", (file, int(offset)))
        except pymysql.MySQLError:
            return ""
        row = cursor.fetchone()
    return "" if row is None or row[0] is None else str(row[0])
