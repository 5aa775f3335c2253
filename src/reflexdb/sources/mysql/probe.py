"""Tests a MySQL or MariaDB server: what it is, what it holds, and whether its changes could be followed.

Called by source.py with a fresh connection. Everything that is not in order comes as a sentence with the statement
that puts it right; none of it stops the source from being polled.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from pymysql.connections import Connection

from reflexdb.sources.base import ChangeCaptureReadiness, TestResult
from reflexdb.sources.keyless import MAX_NAMED, limited
from reflexdb.sources.mysql.binlog.preflight import VARIABLES, judge
from reflexdb.sources.mysql.table_keys import Keyless, keyless_outside

SYSTEM_SCHEMAS = ("information_schema", "mysql", "performance_schema", "sys")


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
        cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name IN %s", (VARIABLES,))
        variables = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        cursor.execute("SHOW GRANTS")
        grants = [str(row[0]).upper() for row in cursor.fetchall()]
        cursor.execute("SELECT CURRENT_USER()")
        row = cursor.fetchone()
        user = str(row[0]) if row else ""
    keyless = keyless_outside(connection, SYSTEM_SCHEMAS, MAX_NAMED + 1)
    found = capture_readiness(variables, grants, user, version)
    readiness = replace(found, issues=(*found.issues, *limited([_note(one, user) for one in keyless])))
    return TestResult(latency_ms, schemas, size, version, readiness)


def _note(found: Keyless, user: str) -> str:
    return found.note(f"{found.schema}.{found.table}", _quoted_account(user))


def capture_readiness(variables: dict[str, str], grants: list[str], user: str, version: str) -> ChangeCaptureReadiness:
    """Judge the server's variables (lower-case names) and the user's grants (upper-case statements). Pure."""
    log_bin = variables.get("log_bin", "").upper() in ("ON", "1")
    log_format = variables.get("binlog_format")
    server_id = int(variables["server_id"]) if variables.get("server_id", "").isdigit() else None
    judged = judge({"server_id": "0"} | variables)
    blockers = (*judged.blockers, *_missing_grants(grants, user, version))
    return ChangeCaptureReadiness(log_bin, log_format, server_id, not blockers, (*blockers, *judged.warnings))


def _missing_grants(grants: list[str], user: str, version: str) -> list[str]:
    everywhere = " ".join(grant for grant in grants if " ON *.* " in grant)
    if "ALL PRIVILEGES" in everywhere:
        return []
    account = _quoted_account(user)
    names = [("REPLICATION SLAVE", "REPLICATION SLAVE"), ("REPLICATION CLIENT", "REPLICATION CLIENT")]
    if "mariadb" in version.lower():
        names[1] = ("BINLOG MONITOR", "BINLOG MONITOR")
    return [
        f"User {account} has no {name} privilege. Run: GRANT {name} ON *.* TO {account};"
        for name, word in names
        if word not in everywhere
    ]


def _quoted_account(user: str) -> str:
    return "@".join("'" + part.replace("'", "''") + "'" for part in user.rsplit("@", 1))
