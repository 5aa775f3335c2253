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
from reflexdb.sources.mysql.binlog.cascades import ACTING, Edge, Name
from reflexdb.sources.mysql.binlog.client import columns_of
from reflexdb.sources.mysql.binlog.layout import Charsets, Described

_COLUMNS = """
    SELECT table_name, column_name, column_type, character_set_name FROM information_schema.columns
    WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
_RULES = """
    SELECT constraint_name, table_name, unique_constraint_schema, referenced_table_name, delete_rule, update_rule
    FROM information_schema.referential_constraints WHERE constraint_schema = %s"""
_PARTS = """
    SELECT constraint_name, table_name, column_name, referenced_column_name FROM information_schema.key_column_usage
    WHERE table_schema = %s AND referenced_table_name IS NOT NULL
    ORDER BY constraint_name, table_name, ordinal_position"""
_VERSIONED = """
    SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'SYSTEM VERSIONED'"""
_VIEWS = "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = %s"
_QUALIFIED = re.compile(r"`((?:[^`]|``)*)`\.`((?:[^`]|``)*)`")
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
    edges: tuple[Edge, ...]
    charsets: Charsets
    versioned: frozenset[Name]
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
    edges = _edges(connection, plan.schema) if not _logs_cascades(connection, server) else ()
    schemas = {plan.schema} | {edge.parent[0] for edge in edges}
    columns: dict[Name, list[Described]] = {}
    for schema in sorted(schemas):
        for table, name, declared, charset in columns_of(connection, _COLUMNS, schema):
            columns.setdefault((schema, table), []).append(Described(name, _text(declared), charset))
    described = {name: tuple(found) for name, found in columns.items()}
    versioned = frozenset((plan.schema, row[0]) for row in columns_of(connection, _VERSIONED, plan.schema))
    views = _views(connection, plan) if any(table.is_view for table in plan.tables) else {}
    sets = {column.charset for found in described.values() for column in found if column.charset}
    return Catalog(server, described, edges, _charsets(connection, sets), versioned, views)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _logs_cascades(connection: Connection[Any], server: Server) -> bool:
    if server.mariadb or server.number < _NATIVE_KEYS_UNTIL:
        return False
    rows = columns_of(connection, "SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'")
    return not rows or str(rows[0][1]).upper() in ("OFF", "0")


def _edges(connection: Connection[Any], schema: str) -> tuple[Edge, ...]:
    """The acting keys above tables of this schema. A key belongs to its child's schema, so parents in other schemas
    are followed there.
    """
    edges: list[Edge] = []
    waiting, seen = [schema], {schema}
    while waiting:
        child_schema = waiting.pop()
        parts: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for name, table, column, referenced in columns_of(connection, _PARTS, child_schema):
            parts.setdefault((name, table), []).append((column, referenced))
        for name, table, parent_schema, parent, on_delete, on_update in columns_of(connection, _RULES, child_schema):
            pairs = parts.get((name, table), [])
            if pairs and {on_delete, on_update} & ACTING:
                own, referenced = zip(*pairs, strict=True)
                edges.append(
                    Edge((child_schema, table), (parent_schema, parent), own, referenced, on_delete, on_update)
                )
            if parent_schema not in seen:
                seen.add(parent_schema)
                waiting.append(parent_schema)
    return tuple(edges)


def _views(connection: Connection[Any], plan: Plan) -> dict[Name, frozenset[Name] | None]:
    definitions: dict[Name, str] = {}
    schemas, seen = [plan.schema], {plan.schema}
    while schemas:
        schema = schemas.pop()
        for table, definition in columns_of(connection, _VIEWS, schema):
            definitions[schema, table] = _text(definition or "")
            for name in _mentioned(definitions[schema, table]):
                if name[0] not in seen and len(seen) < 32:
                    seen.add(name[0])
                    schemas.append(name[0])
    wanted = [(plan.schema, table.source_name) for table in plan.tables if table.is_view]
    return {name: _made_of(name, definitions) for name in wanted}


def _mentioned(definition: str) -> set[Name]:
    """Every qualified name in a view's canonical text; some are columns, which does no harm."""
    return {(a.replace("``", "`"), b.replace("``", "`")) for a, b in _QUALIFIED.findall(definition)}


def _made_of(view: Name, definitions: dict[Name, str]) -> frozenset[Name] | None:
    tables: set[Name] = set()
    waiting, seen = [view], {view}
    while waiting:
        definition = definitions.get(waiting.pop(), "")
        if not definition:
            return None
        for name in _mentioned(definition):
            tables.add(name)
            if name in definitions and name not in seen:
                seen.add(name)
                waiting.append(name)
    return frozenset(tables)


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
    return {b"\n": "\n", **dict(zip(candidates, converted, strict=True))}
