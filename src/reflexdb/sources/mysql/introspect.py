"""Describes one schema of a MySQL or MariaDB server from its information_schema, in a fixed number of statements.

Called by source.py with a connection of its own. What the user may not see is not there; information_schema hides it.
MariaDB keeps JSON as LONGTEXT with a check `json_valid(column)`, which is how such a column is told from other text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pymysql.connections import Connection

from reflexdb.model.errors import SourceMissing
from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.sources.mysql.types import storage_of

Row = Sequence[Any]

_SCHEMATA = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s"
_TABLES = """
    SELECT table_name, table_type, table_rows, table_comment FROM information_schema.tables
    WHERE table_schema = %s AND BINARY table_schema = %s AND table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')"""
_COLUMNS = """
    SELECT table_name, column_name, column_type, is_nullable, column_comment, extra FROM information_schema.columns
    WHERE table_schema = %s AND BINARY table_schema = %s ORDER BY table_name, ordinal_position"""
_KEYS = """
    SELECT table_name, index_name, column_name FROM information_schema.statistics
    WHERE table_schema = %s AND BINARY table_schema = %s AND non_unique = 0
    ORDER BY table_name, index_name, seq_in_index"""
_FOREIGN_KEYS = """
    SELECT table_name, constraint_name, column_name,
           referenced_table_schema, referenced_table_name, referenced_column_name
    FROM information_schema.key_column_usage
    WHERE table_schema = %s AND BINARY table_schema = %s AND referenced_table_name IS NOT NULL
    ORDER BY table_name, constraint_name, ordinal_position"""
_CHECKS = """
    SELECT table_name, check_clause FROM information_schema.check_constraints
    WHERE constraint_schema = %s AND BINARY constraint_schema = %s"""
_JSON_VALID = re.compile(r"json_valid\(`((?:[^`]|``)*)`\)", re.IGNORECASE | re.DOTALL)


def introspect(connection: Connection[Any], schema: str) -> SourceSchema:
    """Tables and views of the schema, sorted by name. Raises SourceMissing if there is none of that name that the
    user may see.
    """
    version = str(_rows(connection, "SELECT version()")[0][0])
    is_mariadb = "mariadb" in version.lower()
    schema = _exact_name(connection, schema)
    columns = _grouped(_rows(connection, _COLUMNS, schema, schema))
    keys = _grouped(_rows(connection, _KEYS, schema, schema))
    foreign = _grouped(_rows(connection, _FOREIGN_KEYS, schema, schema))
    checks = _json_checks(_rows(connection, _CHECKS, schema, schema)) if is_mariadb else set()
    tables = []
    for name, kind, estimated_rows, comment in sorted(
        _rows(connection, _TABLES, schema, schema), key=lambda row: str(row[0])
    ):
        is_view = kind == "VIEW"
        primary, unique = _keys(keys[name])
        own, elsewhere = _foreign_keys(foreign[name], schema)
        tables.append(
            SourceTable(
                name=name,
                columns=tuple(_column(row, (name, row[1]) in checks) for row in columns[name]),
                primary_key=primary,
                unique_keys=unique,
                foreign_keys=own,
                notes=elsewhere,
                comment="" if is_view else comment or "",
                is_view=is_view,
                estimated_rows=None if estimated_rows is None else int(estimated_rows),
            )
        )
    return SourceSchema(Backend.MYSQL, schema, version, tuple(tables))


def _exact_name(connection: Connection[Any], schema: str) -> str:
    """The schema's name as the server keeps it, which may differ in case where the server does not tell cases apart."""
    found: list[str] = []
    if all(character <= "\uffff" for character in schema):  # no name has others, and comparing with them is an error
        found = [row[0] for row in _rows(connection, _SCHEMATA, schema)]
    if schema in found:
        return schema
    if found and _rows(connection, "SELECT @@lower_case_table_names")[0][0]:
        return found[0]
    raise SourceMissing(
        f"There is no schema {schema!r} on the server, or the user may not see it. Check the name, or grant "
        "SELECT on it."
    )


def _rows(connection: Connection[Any], statement: str, *arguments: str) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())


def _grouped(rows: list[Row]) -> defaultdict[str, list[Row]]:
    """Rows by the exact name in their first column."""
    grouped: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(row)
    return grouped


def _json_checks(rows: list[Row]) -> set[tuple[str, str]]:
    found = set()
    for table, clause in rows:
        match = _JSON_VALID.fullmatch(str(clause).strip())
        if match:
            found.add((table, match[1].replace("``", "`")))
    return found


def _column(row: Row, is_json: bool) -> SourceColumn:
    _, name, declared, nullable, comment, extra = row
    declared = declared.decode() if isinstance(declared, bytes) else declared
    storage = storage_of(declared, is_json=is_json)
    return SourceColumn(
        name=name,
        declared_type=declared,
        storage=storage,
        nullable=nullable == "YES",
        comment=comment or "",
        generated="GENERATED" in (extra or "").upper().replace("DEFAULT_GENERATED", ""),
        unsupported="" if storage is not None else f"ReflexDB does not know the MySQL type {declared!r}",
    )


def _keys(rows: list[Row]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The primary key and the other unique keys; an index over expressions is no key."""
    grouped: dict[str, list[str | None]] = {}
    for _, index, column in rows:
        grouped.setdefault(index, []).append(column)
    whole = {
        index: tuple(c for c in columns if c is not None) for index, columns in grouped.items() if None not in columns
    }
    primary = whole.pop("PRIMARY", ())
    return primary, tuple(sorted(set(whole.values())))


def _foreign_keys(rows: list[Row], schema: str) -> tuple[tuple[ForeignKey, ...], tuple[str, ...]]:
    """Foreign keys within the schema, sorted by name, and a note for each that leads out of it."""
    grouped: dict[str, list[Row]] = {}
    notes = {}
    for row in rows:
        if row[3] == schema:
            grouped.setdefault(row[1], []).append(row)
        else:
            notes[row[1]] = f"Foreign key {row[1]!r} leads to {row[3]}.{row[4]}, in another schema, and is left out."
    keys = (
        ForeignKey(name, tuple(row[2] for row in parts), parts[0][4], tuple(row[5] for row in parts))
        for name, parts in sorted(grouped.items())
    )
    return tuple(keys), tuple(notes[name] for name in sorted(notes))
