"""Describes one schema of a MySQL or MariaDB server from its information_schema, in a fixed number of statements.

Called by source.py with a connection of its own. What the user has no privilege at all on is not there, because
information_schema hides it; what is there and can't be read is listed with the reason. MariaDB keeps JSON as LONGTEXT
with a check `json_valid(column)`, which is how such a column is told from other text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.model.errors import SourceMissing
from reflexdb.model.not_served import Cause, NotServed, in_order
from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.sources.mysql.collations import collation_of
from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.partly import partly_visible
from reflexdb.sources.mysql.types import storage_of
from reflexdb.sources.mysql.weights import foldings

Row = Sequence[Any]

_SCHEMATA = "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s"
_TABLES = """
    SELECT table_name, table_type, table_rows, table_comment FROM information_schema.tables
    WHERE table_schema = %s AND BINARY table_schema = %s AND table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')"""
_COLUMNS = """
    SELECT table_name, column_name, column_type, is_nullable, column_comment, extra, ordinal_position, privileges,
           collation_name
    FROM information_schema.columns
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


_PASSING = {1205, 1213, 1317, 1969, 3024}
"""Errors that say nothing of a view: locks, and statements that were ended."""


def introspect(connection: Connection[Any], schema: str) -> SourceSchema:
    """Tables and views of the schema, sorted by name, without the views that can't be read. Raises SourceMissing if
    there is no schema of that name that the user may see.
    """
    described = describe(connection, schema)
    collations = described.key_collations()
    described = replace(described, foldings=foldings(connection, described.server_version, collations))
    unread = list(_unreadable(connection, described))
    if not unread:
        return described
    gone = {entry.table for entry in unread}
    tables = tuple(table for table in described.tables if table.name not in gone)
    return replace(described, tables=tables, not_served=in_order([*described.not_served, *unread]))


def describe(connection: Connection[Any], schema: str) -> SourceSchema:
    """The same by the catalog alone: no view is asked for."""
    version, user = _rows(connection, "SELECT version(), current_user()")[0]
    is_mariadb = "mariadb" in str(version).lower()
    schema = _exact_name(connection, schema)
    grants = _Grants(schema, str(user))
    columns = _grouped(_rows(connection, _COLUMNS, schema, schema))
    keys = _grouped(_rows(connection, _KEYS, schema, schema))
    foreign = _grouped(_rows(connection, _FOREIGN_KEYS, schema, schema))
    partly = partly_visible(connection)
    checks = _json_checks(_rows(connection, _CHECKS, schema, schema)) if is_mariadb else set()
    tables = []
    not_served: list[NotServed] = []
    for name, kind, estimated_rows, comment in sorted(
        _rows(connection, _TABLES, schema, schema), key=lambda row: str(row[0])
    ):
        readable = [row for row in columns[name] if _may_select(row)]
        if columns[name] and not readable:
            not_served.append(grants.table(name))
            continue
        is_view = kind == "VIEW"
        primary, unique = _keys(keys[name], {row[1] for row in readable})
        own, elsewhere = _foreign_keys(foreign[name], schema)
        if (schema, name) in partly:
            elsewhere += [grants.relation(name, key.name) for key in own]
            own = ()
        not_served += [*elsewhere, *grants.columns(name, columns[name])]
        tables.append(
            SourceTable(
                name=name,
                columns=tuple(_column(row, (name, row[1]) in checks) for row in readable),
                primary_key=primary,
                unique_keys=unique,
                foreign_keys=own,
                comment="" if is_view else comment or "",
                is_view=is_view,
                estimated_rows=None if estimated_rows is None else int(estimated_rows),
            )
        )
    left_out, grant = in_order(not_served), grants.everything()
    return SourceSchema(Backend.MYSQL, schema, str(version), tuple(tables), left_out, grant=grant)


def _may_select(row: Row) -> bool:
    """Of a row of _COLUMNS."""
    return "select" in str(row[7]).lower().split(",")


class _Grants:
    """What the user may lack, and the statement that gives it."""

    def __init__(self, schema: str, user: str) -> None:
        self._schema = schema
        self._account = "@".join("'" + part.replace("'", "''") + "'" for part in user.rsplit("@", 1))

    def everything(self) -> str:
        return f"GRANT SELECT ON {quoted(self._schema)}.* TO {self._account};"

    def table(self, table: str) -> NotServed:
        statement = f"Run: GRANT SELECT ON {self._named(table)} TO {self._account};"
        return NotServed.of_table(
            table, Cause.NO_PRIVILEGE, f"The user {self._account} may not SELECT from it.", statement
        )

    def relation(self, table: str, key: str) -> NotServed:
        reason = f"The user {self._account} may not see every column of the table, and so not the whole foreign key."
        statement = f"Run: GRANT SELECT ON {self._named(table)} TO {self._account};"
        return NotServed.of_relation(table, key, Cause.NO_PRIVILEGE, reason, statement)

    def columns(self, table: str, rows: list[Row]) -> Iterator[NotServed]:
        """Columns that are shown without the privilege, and places between them where a column is hidden."""
        expected = 1
        for row in rows:
            for place in range(expected, int(row[6])):
                reason = f"The user {self._account} has no privilege on column number {place}, so its name is hidden."
                statement = f"Run: GRANT SELECT ON {self._named(table)} TO {self._account};"
                yield NotServed.of_column(table, f"#{place}", Cause.NO_PRIVILEGE, reason, statement)
            expected = int(row[6]) + 1
            if not _may_select(row):
                reason = f"The user {self._account} may not SELECT it."
                statement = f"Run: GRANT SELECT ({quoted(row[1])}) ON {self._named(table)} TO {self._account};"
                yield NotServed.of_column(table, row[1], Cause.NO_PRIVILEGE, reason, statement)

    def _named(self, table: str) -> str:
        return f"{quoted(self._schema)}.{quoted(table)}"


def _unreadable(connection: Connection[Any], schema: SourceSchema) -> Iterator[NotServed]:
    """Views that the server refuses to read for this user, found without reading a row."""
    views = [table for table in schema.tables if table.is_view]
    if views:
        _rows(connection, "SET SESSION lock_wait_timeout = 1")
    for view in views:
        try:
            _rows(connection, f"SELECT 1 FROM {quoted(schema.name)}.{quoted(view.name)} LIMIT 0")  # noqa: S608 - quoted
        except (pymysql.err.InternalError, pymysql.err.OperationalError, pymysql.err.ProgrammingError) as error:
            if not connection.open:
                raise
            if error.args[0] in _PASSING and view.columns:
                continue
            remedy = "Mend the view, or give its definer what it needs, and rebuild."
            reason = f"The server refuses to read the view: {error.args[-1]}."
            yield NotServed.of_table(view.name, Cause.UNREADABLE, reason, remedy)


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
    _, name, declared, nullable, comment, extra, _, _, collation = row
    declared = declared.decode() if isinstance(declared, bytes) else declared
    storage = storage_of(declared, is_json=is_json)
    return SourceColumn(
        name=name,
        declared_type=declared,
        storage=storage,
        nullable=nullable == "YES",
        comment=comment or "",
        generated="GENERATED" in (extra or "").upper().replace("DEFAULT_GENERATED", ""),
        invisible="INVISIBLE" in (extra or "").upper(),
        collation="" if is_json else collation_of(storage, collation),
        unsupported="" if storage is not None else f"ReflexDB does not know the MySQL type {declared!r}",
    )


def _keys(rows: list[Row], visible: set[str]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The primary key and the other unique keys. An index over expressions is no key, nor is one of which the user may
    not read every column: MySQL tells of it."""
    grouped: dict[str, list[str | None]] = {}
    for _, index, column in rows:
        grouped.setdefault(index, []).append(column)
    grouped = {index: columns for index, columns in grouped.items() if visible.issuperset(columns)}
    whole = {index: tuple(c for c in columns if c is not None) for index, columns in grouped.items()}
    primary = whole.pop("PRIMARY", ())
    return primary, tuple(sorted(set(whole.values())))


def _foreign_keys(rows: list[Row], schema: str) -> tuple[tuple[ForeignKey, ...], list[NotServed]]:
    """Foreign keys within the schema, sorted by name, and those that lead out of it."""
    grouped: dict[str, list[Row]] = {}
    elsewhere: list[NotServed] = []
    for row in rows:
        if row[3] == schema:
            grouped.setdefault(row[1], []).append(row)
        else:
            reason = f"It refers to {row[3]}.{row[4]}, which is in another schema."
            elsewhere.append(NotServed.of_relation(row[0], row[1], Cause.OTHER_SCHEMA, reason, ""))
    keys = (
        ForeignKey(name, tuple(row[2] for row in parts), parts[0][4], tuple(row[5] for row in parts))
        for name, parts in sorted(grouped.items())
    )
    return tuple(keys), elsewhere
