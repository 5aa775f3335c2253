"""Asks which foreign keys change rows of planned tables without the log: those of the plan's schema, and those above
them in other schemas.

The catalog filters by privilege, so that an empty answer never means that there is no key. MariaDB keeps the rules of
keys from a user who has SELECT alone; the definitions of the tables have them. A rule that cannot be seen counts as
CASCADE, and a key that may be there unseen as one of any table: `hidden` names the tables of which that is so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.sources.mysql.binlog.cascades import ACTING, ANY, Edge, Name
from reflexdb.sources.mysql.binlog.client import columns_of
from reflexdb.sources.mysql.create_table import KeyText, foreign_keys
from reflexdb.sources.mysql.partly import definition_of, partly_visible

_RULES = """
    SELECT constraint_name, table_name, unique_constraint_schema, referenced_table_name, delete_rule, update_rule
    FROM information_schema.referential_constraints WHERE constraint_schema = %s"""
_PARTS = """
    SELECT constraint_name, table_name, column_name, referenced_table_schema, referenced_table_name,
           referenced_column_name
    FROM information_schema.key_column_usage
    WHERE table_schema = %s AND referenced_table_name IS NOT NULL
    ORDER BY constraint_name, table_name, ordinal_position"""
_TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = %s AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"""


@dataclass(frozen=True, slots=True)
class Acting:
    """The keys by which rows change unseen."""

    edges: tuple[Edge, ...] = ()
    hidden: tuple[Name, ...] = ()
    """Tables whose keys, or the rules of whose keys, the user may not see."""


def acting_keys(connection: Connection[Any], schema: str) -> Acting:
    """A key belongs to its child's schema, so that parents in other schemas are followed there. Errors leave as
    PyMySQL's."""
    edges: list[Edge] = []
    hidden: list[Name] = []
    waiting, seen = [schema], {schema}
    while waiting:
        child_schema = waiting.pop()
        found = _of_schema(connection, child_schema)
        edges += found.edges
        hidden += found.hidden
        for edge in found.edges:
            if edge.parent[0] not in seen and edge.parent != ANY:
                seen.add(edge.parent[0])
                waiting.append(edge.parent[0])
    visible = {(one, str(row[0])) for one in sorted(seen) for row in columns_of(connection, _TABLES, one)}
    unseen = sorted({edge.parent for edge in edges if edge.parent != ANY} - visible)
    return Acting((*edges, *map(_of_any_table, unseen)), (*hidden, *unseen))


def _of_schema(connection: Connection[Any], schema: str) -> Acting:
    partly = {table for found, table in partly_visible(connection) if found == schema}
    parts: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for name, table, *part in columns_of(connection, _PARTS, schema):
        parts.setdefault((name, table), []).append(tuple(part))
    edges, hidden = [], []
    ruled = set()
    for name, table, parent_schema, parent, on_delete, on_update in columns_of(connection, _RULES, schema):
        ruled.add((name, table))
        pairs = [] if table in partly else [(part[0], part[3]) for part in parts.get((name, table), [])]
        own, referenced = zip(*pairs, strict=True) if pairs else ((), ())
        edges.append(Edge((schema, table), (parent_schema, parent), own, referenced, on_delete, on_update))
    for table in sorted({table for name, table in parts if (name, table) not in ruled} - partly):
        read = _by_definition(connection, schema, table)
        if read is None:
            hidden.append((schema, table))
            read = tuple(_assumed(schema, key, parts[key]) for key in parts if key[1] == table)
        edges += read
    for table in sorted(partly):
        hidden.append((schema, table))
        edges.append(_of_any_table((schema, table)))
    return Acting(tuple(edge for edge in edges if {edge.on_delete, edge.on_update} & ACTING), tuple(hidden))


def _by_definition(connection: Connection[Any], schema: str, table: str) -> tuple[Edge, ...] | None:
    """The keys of a table by its own definition; None where that may not be seen."""
    try:
        keys = foreign_keys(definition_of(connection, schema, table))
    except (pymysql.MySQLError, ValueError):
        return None
    return tuple(_edge(schema, table, key) for key in keys)


def _edge(schema: str, table: str, key: KeyText) -> Edge:
    parent = (key.schema or schema, key.table)
    return Edge((schema, table), parent, key.columns, key.referenced, key.on_delete, key.on_update)


def _assumed(schema: str, key: tuple[str, str], parts: list[tuple[str, ...]]) -> Edge:
    """A key whose rules cannot be seen."""
    own, schemas, tables, referenced = zip(*parts, strict=True)
    return Edge((schema, key[1]), (schemas[0], tables[0]), own, referenced, "CASCADE", "CASCADE")


def _of_any_table(child: Name) -> Edge:
    """What may be there of a table whose keys cannot be seen."""
    return Edge(child, ANY, (), (), "CASCADE", "CASCADE")
