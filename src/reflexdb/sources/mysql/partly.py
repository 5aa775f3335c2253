"""Asks of which tables the user may read some columns only. information_schema then leaves out the other columns, and
every key and foreign key that has one of them, as if they were absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pymysql
from pymysql.connections import Connection

from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.create_table import name_of, tokens

Name = tuple[str, str]


def partly_visible(connection: Connection[Any]) -> frozenset[Name]:
    """Schema and name of each such table. Errors leave as PyMySQL's."""
    granted = {name for line in _grants(connection) for name in _column_grants(line)}
    return frozenset(name for name in granted if not _is_defined(connection, *name))


def definition_of(connection: Connection[Any], schema: str, table: str) -> str:
    """The statement that creates a table. Raises PyMySQL's errors where it may not be seen."""
    return str(_rows(connection, f"SHOW CREATE TABLE {quoted(schema)}.{quoted(table)}")[0][1])


def _is_defined(connection: Connection[Any], schema: str, table: str) -> bool:
    """Whether the table's definition may be seen: another grant may be for all of it."""
    try:
        definition_of(connection, schema, table)
    except pymysql.MySQLError:
        return False
    return True


def _grants(connection: Connection[Any]) -> list[str]:
    """The statements that give the user, and the roles in force, what they may do."""
    lines = _rows(connection, "SHOW GRANTS")
    if any("`@`" in str(row[0]).partition(" TO ")[0] for row in lines):  # MySQL names roles without what they give
        roles = str(_rows(connection, "SELECT CURRENT_ROLE()")[0][0])
        if roles.upper() != "NONE":
            lines = _rows(connection, f"SHOW GRANTS FOR CURRENT_USER() USING {roles}")  # the server's own quoting
    return [str(row[0]) for row in lines]


def _column_grants(line: str) -> Iterator[Name]:
    """The table of a statement that grants some of its columns."""
    found = tokens(line)
    for place, token in enumerate(found):
        if token.upper() == "ON" and "(" in found[:place] and found[place + 2 : place + 3] == ["."]:
            yield name_of(found[place + 1]), name_of(found[place + 3])
            return


def _rows(connection: Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
