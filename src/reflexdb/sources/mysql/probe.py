"""Tests a MySQL or MariaDB server: what it is, what it holds, and whether its changes could be followed.

Called by source.py with a fresh connection. Everything that is not in order comes as a sentence with the statement
that puts it right; none of it stops the source from being polled.
"""

from __future__ import annotations

import time
from typing import Any

from pymysql.connections import Connection

from reflexdb.sources.base import ChangeCaptureReadiness, TestResult

SYSTEM_SCHEMAS = ("information_schema", "mysql", "performance_schema", "sys")
_VARIABLES = ("log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "server_id", "log_bin_compress",
              "binlog_transaction_compression", "binlog_row_value_options", "gtid_mode")  # fmt: skip


def probe(connection: Connection[Any]) -> TestResult:
    """The outcome of the test; errors leave as PyMySQL's."""
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        row = cursor.fetchone()
        latency_ms = (time.perf_counter() - started) * 1000
        version = str(row[0]) if row else ""
        cursor.execute("SELECT schema_name FROM information_schema.schemata")
        schemas = tuple(sorted(name for (name,) in cursor.fetchall() if name.lower() not in SYSTEM_SCHEMAS))
        cursor.execute(
            "SELECT sum(data_length + index_length) FROM information_schema.tables WHERE table_schema NOT IN %s",
            (SYSTEM_SCHEMAS,),
        )
        row = cursor.fetchone()
        size = float(row[0]) / 1e9 if row and row[0] is not None else 0.0
        cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN %s", (_VARIABLES,))
        variables = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        cursor.execute("SHOW GRANTS")
        grants = [str(row[0]).upper() for row in cursor.fetchall()]
        cursor.execute("SELECT CURRENT_USER()")
        row = cursor.fetchone()
        user = str(row[0]) if row else ""
    return TestResult(latency_ms, schemas, size, version, capture_readiness(variables, grants, user, version))


def capture_readiness(variables: dict[str, str], grants: list[str], user: str, version: str) -> ChangeCaptureReadiness:
    """Judge the server's variables (lower-case names) and the user's grants (upper-case statements). Pure."""
    log_bin = variables.get("log_bin", "").upper() in ("ON", "1")
    log_format = variables.get("binlog_format")
    server_id = int(variables["server_id"]) if variables.get("server_id", "").isdigit() else None
    issues = []
    if not log_bin:
        issues.append(
            "The binary log is off (log_bin). Put `log_bin` under [mysqld] in the server's configuration and "
            "restart it."
        )
    if log_format is not None and log_format.upper() != "ROW":
        issues.append(
            f"binlog_format is {log_format}. Run: SET GLOBAL binlog_format = 'ROW'; (and set it in the configuration)"
        )
    if not server_id:
        issues.append(
            "server_id is 0. Run: SET GLOBAL server_id = 1; (a number no other server in the replication has)"
        )
    for name, good, statement in (
        ("binlog_row_image", "FULL", "SET GLOBAL binlog_row_image = 'FULL';"),
        ("binlog_row_metadata", "FULL", "SET GLOBAL binlog_row_metadata = 'FULL';"),
        ("binlog_row_value_options", "", "SET GLOBAL binlog_row_value_options = '';"),
        ("binlog_transaction_compression", "OFF", "SET GLOBAL binlog_transaction_compression = OFF;"),
        ("log_bin_compress", "OFF", "SET GLOBAL log_bin_compress = OFF;"),
    ):
        value = variables.get(name)
        if value is not None and value.upper() != good:
            issues.append(f"{name} is {value}. Run: {statement}")
    issues.extend(_missing_grants(grants, user, version))
    ready = log_bin and (log_format or "").upper() == "ROW"
    return ChangeCaptureReadiness(log_bin, log_format, server_id, ready, tuple(issues))


def _missing_grants(grants: list[str], user: str, version: str) -> list[str]:
    everywhere = " ".join(grant for grant in grants if " ON *.* " in grant)
    if "ALL PRIVILEGES" in everywhere:
        return []
    account = "@".join("'" + part.replace("'", "''") + "'" for part in user.rsplit("@", 1))
    names = [("REPLICATION SLAVE", "REPLICATION SLAVE"), ("REPLICATION CLIENT", "REPLICATION CLIENT")]
    if "mariadb" in version.lower():
        names[1] = ("BINLOG MONITOR", "BINLOG MONITOR")
    return [
        f"User {account} has no {name} privilege. Run: GRANT {name} ON *.* TO {account};"
        for name, word in names
        if word not in everywhere
    ]
