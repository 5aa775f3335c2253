"""Asks which tables have a primary key, with the privileges of a user who has SELECT alone, on all or some columns.

MariaDB keeps table_constraints from a user with SELECT alone; statistics has each index of which every column may be
read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymysql.connections import Connection

from reflexdb.model.plan import Plan
from reflexdb.sources import keyless
from reflexdb.sources.mysql.connect import quoted
from reflexdb.sources.mysql.partly import partly_visible

_KEYLESS = """
    SELECT t.table_schema, t.table_name FROM information_schema.tables t
    LEFT JOIN (SELECT DISTINCT table_schema, table_name FROM information_schema.statistics
    WHERE index_name = 'PRIMARY' AND table_schema NOT IN %s) k
    ON k.table_schema = t.table_schema AND k.table_name = t.table_name
    WHERE t.table_type = 'BASE TABLE' AND t.table_schema NOT IN %s AND k.table_name IS NULL
    ORDER BY t.table_schema, t.table_name LIMIT %s"""


@dataclass(frozen=True, slots=True)
class Keyless:
    """A table without a primary key that the user may see."""

    schema: str
    table: str
    is_hidden: bool
    """There may be a key, of columns that the user may not read."""

    def note(self, shown: str, account: str) -> str:
        """What it means and the statement that mends it."""
        name = f"{quoted(self.schema)}.{quoted(self.table)}"
        if not self.is_hidden:
            return keyless.note(shown, name)
        return (
            f"User {account} may read some columns of table {shown!r} only, and no whole primary key, so that every "
            f"change reads it again. Run: GRANT SELECT ON {name} TO {account};"
        )


def keyless_outside(connection: Connection[Any], schemas: tuple[str, ...], limit: int) -> list[Keyless]:
    """Tables of every schema but these, at most so many. Errors leave as PyMySQL's."""
    with connection.cursor() as cursor:
        cursor.execute(_KEYLESS, (schemas, schemas, limit))
        rows = list(cursor.fetchall())
    partly = partly_visible(connection)
    return [Keyless(schema, table, (schema, table) in partly) for schema, table in rows]


def keyless_in(connection: Connection[Any], plan: Plan) -> list[Keyless]:
    """The planned tables that have no key which the user may see."""
    partly = partly_visible(connection)
    names = [table.source_name for table in plan.tables if not table.is_view and not table.primary_key]
    return [Keyless(plan.schema, name, (plan.schema, name) in partly) for name in names]
