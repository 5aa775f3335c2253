"""Asks the server, before a stream begins, what the log does not say: columns in their order, keys that cascade,
character sets, what views are made of.

It describes the present, while a stream may begin in the past; layout.py compares it with what each event says of
itself. Every statement is bounded by the schemas that matter, since information_schema opens each table it tells of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.model.plan import Plan
from reflexdb.sources.mysql.binlog import charsets
from reflexdb.sources.mysql.binlog.cascades import ANY, Name
from reflexdb.sources.mysql.binlog.client import columns_of
from reflexdb.sources.mysql.binlog.foreign_keys import Acting, acting_keys
from reflexdb.sources.mysql.binlog.layout import Charsets, Described
from reflexdb.sources.mysql.binlog.view_tables import view_tables
from reflexdb.sources.mysql.partly import partly_visible

_COLUMNS = """
    SELECT table_name, column_name, column_type, character_set_name FROM information_schema.columns
    WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
_VERSIONED = """
    SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'SYSTEM VERSIONED'"""
_AT_ONCE = 1000
"""Characters of a set that one statement asks for."""
_ROW_HASHES = """
    SELECT s.table_name, COUNT(DISTINCT s.index_name) FROM information_schema.statistics s
    JOIN information_schema.tables t ON t.table_schema = s.table_schema AND t.table_name = s.table_name
    WHERE s.table_schema = %s AND s.non_unique = 0 AND s.index_type = 'HASH' AND t.engine <> 'MEMORY'
    GROUP BY s.table_name"""
"""MariaDB keeps a hidden column at the end of a table for each unique key over long texts."""
_NATIVE_KEYS_UNTIL = (9, 6)


@dataclass(frozen=True, slots=True)
class Server:
    """What kind of server it is."""

    version: str
    mariadb: bool
    folds_case: bool
    """Names of schemas and tables are compared without case."""
    gtid: bool
    """Transactions have GTIDs: always with MariaDB."""

    @property
    def number(self) -> tuple[int, int]:
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True, slots=True)
class Catalog:
    server: Server
    columns: dict[Name, tuple[Described, ...]]
    acting: Acting
    charsets: Charsets
    versioned: frozenset[Name]
    partly: frozenset[Name]
    """Tables of which the user may see some columns only."""
    views: dict[Name, frozenset[Name] | None]
    """The tables a view is made of, through other views; None where the server does not tell."""


def server_of(connection: Connection[Any]) -> Server:
    """Ask what the server is."""
    version, folds = columns_of(connection, "SELECT version(), @@lower_case_table_names")[0]
    mariadb = "mariadb" in str(version).lower()
    gtid = mariadb
    if not mariadb:
        rows = columns_of(connection, "SHOW GLOBAL VARIABLES LIKE 'gtid_mode'")
        gtid = bool(rows) and str(rows[0][1]).upper() == "ON"
    return Server(str(version), mariadb, bool(folds), gtid)


def catalog(connection: Connection[Any], plan: Plan) -> Catalog:
    """Everything a stream of this plan needs to know. Errors leave as PyMySQL's."""
    server = server_of(connection)
    acting = Acting() if _logs_cascades(connection, server) else acting_keys(connection, plan.schema)
    schemas = {plan.schema} | {edge.parent[0] for edge in acting.edges if edge.parent != ANY}
    columns: dict[Name, list[Described]] = {}
    for schema in sorted(schemas):
        for table, name, declared, charset in columns_of(connection, _COLUMNS, schema):
            columns.setdefault((schema, table), []).append(Described(name, _text(declared), charset))
    if server.mariadb:
        for table, number in columns_of(connection, _ROW_HASHES, plan.schema):
            hashes = [Described(f"\0hash {place}", "bigint", None) for place in range(int(number))]
            columns.setdefault((plan.schema, table), []).extend(hashes)
    described = {name: tuple(found) for name, found in columns.items()}
    versioned = frozenset((plan.schema, row[0]) for row in columns_of(connection, _VERSIONED, plan.schema))
    views = view_tables(connection, plan) if any(table.is_view for table in plan.tables) else {}
    sets = {column.charset for found in described.values() for column in found if column.charset}
    return Catalog(server, described, acting, _charsets(connection, sets), versioned, partly_visible(connection), views)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _logs_cascades(connection: Connection[Any], server: Server) -> bool:
    if server.mariadb or server.number < _NATIVE_KEYS_UNTIL:
        return False
    rows = columns_of(connection, "SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'")
    return not rows or str(rows[0][1]).upper() in ("OFF", "0")


def _charsets(connection: Connection[Any], wanted: Iterable[str]) -> Charsets:
    of_collation: dict[int, str] = {}
    for number, charset in _collations(connection):
        if number is not None and charset is not None:
            of_collation[int(number)] = str(charset)
    decoders = {}
    for charset in {*wanted, "utf8mb4", "utf8mb3", "utf8"}:
        table = _table(connection, charset) if charsets.needs_table(charset) else None
        decode = charsets.decoder(charset, table)
        if decode is not None:
            decoders[charset] = decode
    return Charsets(of_collation, decoders)


def _collations(connection: Connection[Any]) -> list[tuple[Any, ...]]:
    try:  # MariaDB 10.10 and later: collations that go with several sets have their ids here only
        return columns_of(
            connection, "SELECT id, character_set_name FROM information_schema.collation_character_set_applicability"
        )
    except pymysql.MySQLError:
        return columns_of(connection, "SELECT id, character_set_name FROM information_schema.collations")


def _table(connection: Connection[Any], charset: str) -> dict[bytes, str]:
    """How the server converts each character of a set, asked as one text with line ends between. The set's name is
    one of ours.
    """
    assert charsets.needs_table(charset)
    candidates = [value for value in charsets.candidates(charset) if value != b"\n"]
    statement = f"SELECT CONVERT(CONVERT(%s USING {charset}) USING utf8mb4)"
    converted = str(columns_of(connection, statement, b"\n".join(candidates))[0][0]).split("\n")
    if len(converted) != len(candidates):  # MySQL ends the text at bytes that are no character of the set
        converted = _one_by_one(connection, charset, candidates)
    return {b"\n": "\n", **dict(zip(candidates, converted, strict=True))}


def _one_by_one(connection: Connection[Any], charset: str, candidates: list[bytes]) -> list[str]:
    """What the server makes of each candidate by itself; a question mark for what is no character."""
    found: list[str] = []
    for start in range(0, len(candidates), _AT_ONCE):
        some = candidates[start : start + _AT_ONCE]
        values = ", ".join(
            f"CONVERT(CONVERT(_binary x'{value.hex()}' USING {charset}) USING utf8mb4) AS c{place}"
            for place, value in enumerate(some)
        )
        found += [str(text) if text else "?" for text in columns_of(connection, f"SELECT {values}")[0]]
    return found
