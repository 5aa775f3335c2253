"""Says what stands in the way of following a server, each with the statement that mends it.

Called by the follower and, for what variables tell, by the connection test. Variables are read, privileges are tried:
what a grant says and what a server does with it are two things, with roles, proxies and managed servers in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.model.errors import SourceError
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.mysql.binlog.catalog import Server, catalog, server_of
from reflexdb.sources.mysql.binlog.client import BinlogClient, Dump, columns_of
from reflexdb.sources.mysql.binlog.gtid import FilePosition
from reflexdb.sources.mysql.binlog.join import state_of_log
from reflexdb.sources.mysql.binlog.unseen import unseen
from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.table_keys import keyless_in

VARIABLES = (
    "log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "binlog_row_value_options", "server_id",
    "gtid_mode", "log_slave_updates", "log_replica_updates", "expire_logs_days", "binlog_expire_logs_seconds",
)  # fmt: skip
RETENTION_S = 86_400
"""A log that is kept for less than a day may be gone when a stream that was away comes back."""


@dataclass(frozen=True, slots=True)
class Findings:
    blockers: tuple[str, ...]
    """What must be mended before the server can be followed."""
    warnings: tuple[str, ...]
    """What works, but could be better."""


def judge(variables: dict[str, str]) -> Findings:
    """What the server's variables (lower-case names) say. Pure."""
    blockers, warnings = [], []
    if variables.get("log_bin", "").upper() not in ("ON", "1"):
        blockers.append(
            "The binary log is off (log_bin). Put `log_bin` under [mysqld] in the server's configuration and restart "
            "it."
        )
    log_format = variables.get("binlog_format")
    if log_format is not None and log_format.upper() != "ROW":
        blockers.append(
            f"binlog_format is {log_format}. Run: SET GLOBAL binlog_format = 'ROW'; (and set it in the configuration; "
            "sessions that are open keep the old one until they connect again)"
        )
    if variables.get("server_id") == "0":
        blockers.append(
            "server_id is 0. Run: SET GLOBAL server_id = 1; (a number no other server in the replication has)"
        )
    image = variables.get("binlog_row_image", "FULL")
    if image.upper() != "FULL":
        blockers.append(f"binlog_row_image is {image}. Run: SET GLOBAL binlog_row_image = 'FULL';")
    if variables.get("binlog_row_value_options", ""):
        warnings.append(
            f"binlog_row_value_options is {variables['binlog_row_value_options']}, so that rows whose JSON changed are "
            "asked for again. Run: SET GLOBAL binlog_row_value_options = '';"
        )
    metadata = variables.get("binlog_row_metadata")
    if metadata is not None and metadata.upper() != "FULL":
        warnings.append(
            f"binlog_row_metadata is {metadata}, so that columns in the log are known by their order only. Run: SET "
            "GLOBAL binlog_row_metadata = 'FULL';"
        )
    return Findings(tuple(blockers), (*warnings, *_gtid_and_retention(variables)))


def _gtid_and_retention(variables: dict[str, str]) -> list[str]:
    warnings = []
    mode = variables.get("gtid_mode")
    if mode is not None and mode.upper() != "ON":
        warnings.append(
            f"gtid_mode is {mode}: after a failover everything is read again. Run one after the other, on every "
            "server: SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL "
            "gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON;"
        )
    days, seconds = variables.get("expire_logs_days", "0"), variables.get("binlog_expire_logs_seconds", "0")
    kept = int(seconds) if seconds.isdigit() and int(seconds) else _days(days) * 86_400
    if 0 < kept < RETENTION_S:
        warnings.append(
            f"The binary log is kept for {kept} s only. Run: SET GLOBAL binlog_expire_logs_seconds = 604800; (on "
            "Amazon RDS: CALL mysql.rds_set_configuration('binlog retention hours', 168);)"
        )
    return warnings


def _days(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def preflight(connection: Connection[Any], address: SourceAddress, plan: Plan, dump: Dump) -> Findings:
    """Everything about this server and what the plan reads of it. Errors leave as PyMySQL's, where not even
    asking is possible.
    """
    rows = columns_of(connection, "SHOW GLOBAL VARIABLES WHERE Variable_name IN %s", VARIABLES)
    variables = {str(name).lower(): str(value) for name, value in rows}
    server = server_of(connection)
    judged = judge(variables)
    blockers = list(judged.blockers)
    if variables.get("server_id") == str(dump.server_id):
        blockers.append(
            f"binlogServerId {dump.server_id} is the server's own server_id. Give this connection another one."
        )
    end = None
    if variables.get("log_bin", "").upper() in ("ON", "1"):
        end = _tried_status(connection, server, blockers)
    if end is not None:
        _tried_dump(connection, address, dump, end, blockers)
    blockers += [*_silent_replica(connection, server, variables), *_unreadable(connection, plan)]
    if not server.mariadb:
        blockers += _mysql_blockers(connection, server)
    account = _account(connection)
    warnings = (*judged.warnings, *_table_warnings(connection, plan, account))
    has_columns = variables.get("binlog_row_metadata", "").upper() == "FULL"
    hidden = unseen(catalog(connection, plan), plan, account, log_has_columns=has_columns)
    return Findings(tuple(blockers), (*warnings, *hidden))


def _account(connection: Connection[Any]) -> str:
    user = str(columns_of(connection, "SELECT CURRENT_USER()")[0][0])
    return "@".join("'" + part.replace("'", "''") + "'" for part in user.rsplit("@", 1))


def _tried_status(connection: Connection[Any], server: Server, blockers: list[str]) -> FilePosition | None:
    """Ask where the log ends, which takes the privilege to monitor it."""
    try:
        file, offset, *filters = state_of_log(connection, server)
        blockers += _filters([str(filtered or "") for filtered in filters[:2]])
        return FilePosition(str(file), int(offset))
    except (pymysql.MySQLError, SourceError):
        name = "BINLOG MONITOR" if server.mariadb else "REPLICATION CLIENT"
        account = _account(connection)
        blockers.append(f"User {account} has no {name} privilege. Run: GRANT {name} ON *.* TO {account};")
        if not server.mariadb:
            return None
    rows = columns_of(connection, "SHOW STATUS LIKE 'binlog_snapshot_%'")
    status = {str(name).lower(): str(value) for name, value in rows}
    offset = status.get("binlog_snapshot_position", "")
    return FilePosition(status.get("binlog_snapshot_file", ""), int(offset)) if offset.isdigit() else None


def _filters(filters: list[str]) -> list[str]:
    """Schemas whose changes are not logged, or not all of them: what a session does depends on its default schema."""
    return [
        f"The server leaves changes out of its binary log ({name} = {schemas}). Remove {name} from its configuration "
        "and restart it."
        for name, schemas in zip(("binlog_do_db", "binlog_ignore_db"), filters, strict=False)
        if schemas
    ]


def _silent_replica(connection: Connection[Any], server: Server, variables: dict[str, str]) -> list[str]:
    """A replica may apply changes without logging them."""
    name = next((name for name in ("log_replica_updates", "log_slave_updates") if name in variables), "")
    if variables.get(name, "ON").upper() in ("ON", "1"):
        return []
    if server.mariadb:
        running = columns_of(connection, "SHOW GLOBAL STATUS LIKE 'Slaves_running'")
        is_replica = any(str(row[1]) != "0" for row in running)
        is_replica = is_replica or bool(columns_of(connection, "SELECT @@GLOBAL.gtid_slave_pos")[0][0])
    else:
        try:
            sources = columns_of(
                connection, "SELECT count(*) FROM performance_schema.replication_connection_configuration"
            )
            is_replica = bool(sources[0][0])
        except pymysql.MySQLError:
            is_replica = True
    if not is_replica:
        return []
    return [
        f"The server is a replica that does not log what it gets ({name} is OFF). Put `{name} = ON` under [mysqld] in "
        "its configuration and restart it, or connect to its primary."
    ]


def _tried_dump(
    connection: Connection[Any], address: SourceAddress, dump: Dump, end: FilePosition, blockers: list[str]
) -> None:
    """Ask for the log from its end; the server refuses at once if it will."""
    client = None
    try:
        client = BinlogClient(address, dump, end)
        client.next(5.0)
    except SourceError as error:
        account = _account(connection)
        if (
            "REPLICATION SLAVE" in error.message
            or "REPLICATION REPLICA" in error.message
            or "Access denied" in (error.message)
        ):
            blockers.append(
                f"User {account} has no REPLICATION SLAVE privilege. Run: GRANT REPLICATION SLAVE ON *.* TO {account};"
            )
        else:
            blockers.append(
                f"The server does not send its binary log ({error.message}) If a proxy or pooler is in between, "
                "connect to the server itself."
            )
    finally:
        if client is not None:
            client.close()


def _unreadable(connection: Connection[Any], plan: Plan) -> list[str]:
    """Planned tables that may not be read."""
    found = []
    for table in plan.tables:
        name = f"{quoted(plan.schema)}.{quoted(table.source_name)}"
        try:
            columns_of(connection, f"SELECT 1 FROM {name} LIMIT 0")  # noqa: S608 - quoted
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in (1142, 1143, 1044, 1045):
                account = _account(connection)
                found.append(
                    f"User {account} may not read table {table.source_name!r}. Run: GRANT SELECT ON {name} TO "
                    f"{account};"
                )
    return found


def _mysql_blockers(connection: Connection[Any], server: Server) -> list[str]:
    found = []
    if not server.gtid:
        grants = " ".join(str(row[0]).upper() for row in columns_of(connection, "SHOW GRANTS"))
        if not any(name in grants for name in ("ALL PRIVILEGES", "RELOAD", "FLUSH_TABLES", "LOCK TABLES")):
            account = _account(connection)
            found.append(
                "gtid_mode is not ON, so that tables must be locked for an instant to begin, and user "
                f"{account} may not. Run: GRANT LOCK TABLES ON *.* TO {account}; or set gtid_mode to ON."
            )
    return found


def _table_warnings(connection: Connection[Any], plan: Plan, account: str) -> list[str]:
    """Tables that cannot be followed row by row."""
    keyless = {found.table: found for found in keyless_in(connection, plan)}
    rows = columns_of(
        connection,
        "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = %s AND table_type <> 'VIEW' "
        "ORDER BY table_name",
        plan.schema,
    )
    planned = {table.source_name for table in plan.tables}
    found = []
    for table, engine in rows:
        if table not in planned:
            continue
        if table in keyless:
            found.append(keyless[table].note(table, account))
        if str(engine or "").lower() not in ("innodb", "", "rocksdb"):
            found.append(
                f"Table {table!r} has engine {engine}, which takes no part in transactions. Run: ALTER TABLE "
                f"{quoted(plan.schema)}.{quoted(table)} ENGINE = InnoDB;"
            )
    return found
