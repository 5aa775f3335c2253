"""Tests a PostgreSQL server: what it is, what it holds, and whether its changes could be followed.

Called by source.py with a fresh connection to a maintenance database. Everything that is not in order comes as a
sentence with the statement that puts it right; none of it stops the source from being polled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg

from reflexdb.model.errors import SourceError
from reflexdb.sources.base import ChangeCaptureReadiness, TestResult
from reflexdb.sources.keyless import MAX_NAMED, notes
from reflexdb.sources.postgres.connect import Place, quoted

DATABASES_MAX = 100
"""Databases whose schemas are listed; each takes a connection."""
_KEYLESS = r"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT LIKE 'pg\_%%' AND n.nspname <> 'information_schema' AND has_schema_privilege(n.oid, 'USAGE')
    AND has_table_privilege(c.oid, 'SELECT')
    AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
    ORDER BY n.nspname, c.relname LIMIT %s"""


def probe(connection: psycopg.Connection[Any], connect: Callable[[str], psycopg.Connection[Any]]) -> TestResult:
    """The outcome of the test; `connect` opens another database of the server."""
    started = time.perf_counter()
    row = connection.execute("SHOW server_version").fetchone()
    latency_ms = (time.perf_counter() - started) * 1000
    databases = connection.execute(
        "SELECT datname, pg_database_size(oid) FROM pg_database "
        "WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY datname"
    ).fetchall()
    schemas, keyless = list[str](), list[tuple[str, str]]()
    for name, _ in databases[:DATABASES_MAX]:
        there, without = _schemas(name, connect)
        schemas += there
        keyless += without
    size = sum(size for _, size in databases) / 1e9
    version = f"PostgreSQL {row[0] if row else ''}"
    found = capture_readiness(*facts(lambda statement: connection.execute(statement).fetchall()))
    readiness = replace(found, issues=(*found.issues, *notes(keyless)))
    return TestResult(latency_ms, tuple(sorted(schemas)), size, version, readiness)


def _schemas(
    database: str, connect: Callable[[str], psycopg.Connection[Any]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Of one database: its schemas, and the tables without a primary key in them."""
    try:
        connection = connect(database)
    except SourceError:  # refused by pg_hba.conf, or dropped meanwhile
        return [], []
    with connection:
        rows = connection.execute(
            r"SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' "
            "AND has_schema_privilege(oid, 'USAGE')"
        ).fetchall()
        keyless = connection.execute(_KEYLESS, (MAX_NAMED + 1,)).fetchall()
    shown = [
        (f"{Place(database, schema).name}.{table}", f"{quoted(schema)}.{quoted(table)}") for schema, table in keyless
    ]
    return [Place(database, schema).name for (schema,) in rows], shown


def facts(ask: Callable[[str], list[tuple[Any, ...]]]) -> tuple[dict[str, str], int, bool, str]:
    """What `capture_readiness` judges, by an `ask` that runs a statement."""
    settings = ask(
        "SELECT name, setting FROM pg_settings WHERE name IN ('wal_level', 'max_replication_slots', 'max_wal_senders', "
        "'max_slot_wal_keep_size') UNION ALL SELECT 'senders_in_use', count(*)::text FROM pg_stat_replication"
    )
    slots, user, may_replicate = ask(
        "SELECT (SELECT count(*) FROM pg_replication_slots), current_user, "
        "(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS "
        "(SELECT FROM pg_roles WHERE rolname = 'rds_replication' "
        "AND pg_has_role(current_user, oid, 'MEMBER'))"
    )[0]
    return dict(settings), slots, bool(may_replicate), user


def capture_readiness(
    settings: dict[str, str], slots_used: int, may_replicate: bool, user: str
) -> ChangeCaptureReadiness:
    """Judge the server's settings and the user's right to replicate. Pure."""
    level = settings.get("wal_level")
    blockers = blocking(settings, slots_used, may_replicate, user)
    return ChangeCaptureReadiness(
        level == "logical", level, None, not blockers, (*blockers, *settings_warnings(settings))
    )


def settings_warnings(settings: dict[str, str]) -> list[str]:
    """What works, but may end badly."""
    if settings.get("max_slot_wal_keep_size") != "-1":
        return []
    return [
        "max_slot_wal_keep_size is -1: while nobody reads a slot, the server keeps its log until the disk is full. "
        "Run: ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); (as much as can be spared; a "
        "slot that falls behind more is given up, and everything is read again)"
    ]


def blocking(settings: dict[str, str], slots_used: int, may_replicate: bool, user: str) -> list[str]:
    """What must be mended before the server can be followed. Pure."""
    level = settings.get("wal_level")
    issues = []
    if level != "logical":
        issues.append(
            f"wal_level is {level}. Run: ALTER SYSTEM SET wal_level = 'logical'; and restart the server (on Amazon RDS "
            "set rds.logical_replication = 1 in the parameter group)."
        )
    slots = int(settings.get("max_replication_slots", "0"))
    if slots <= slots_used:
        issues.append(
            f"All {slots} replication slots are in use. Run: ALTER SYSTEM SET max_replication_slots = "
            f"{slots_used + 4}; "
            "and restart the server."
        )
    senders, sending = int(settings.get("max_wal_senders", "0")), int(settings.get("senders_in_use", "0"))
    if senders < 1:
        issues.append("max_wal_senders is 0. Run: ALTER SYSTEM SET max_wal_senders = 10; and restart the server.")
    elif senders <= sending:
        issues.append(
            f"All {senders} replication senders are in use. Run: ALTER SYSTEM SET max_wal_senders = {sending + 4}; and "
            "restart the server."
        )
    if not may_replicate:
        issues.append(f"User {user!r} may not replicate. Run: ALTER ROLE {quoted(user)} REPLICATION;")
    return issues
