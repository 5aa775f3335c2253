"""Describes one schema of a PostgreSQL database from its catalog, in a fixed number of statements.

Called by source.py with a connection of its own. A partitioned table is one table; tables of extensions are left out.
Tables and columns that the user may not select from, and keys that lead out of the schema, are left out and listed with
the reason. Assumes PostgreSQL 12 or newer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from reflexdb.model.not_served import Cause, NotServed, in_order
from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.model.storage import Storage
from reflexdb.sources.postgres.collations import collation_of, foldings
from reflexdb.sources.postgres.connect import quoted
from reflexdb.sources.postgres.types import PgType, storage_of

Row = Sequence[Any]

_TABLES = """
    SELECT c.oid, c.relname, c.relkind IN ('v', 'm'), c.relkind IN ('v', 'f'), obj_description(c.oid, 'pg_class'),
           CASE WHEN c.relkind = 'p'
                THEN (SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) t
                      JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf)
                ELSE c.reltuples END::bigint,
           has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'),
           c.relkind <> 'm' OR c.relispopulated
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_COLUMNS = """
    SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull,
           col_description(a.attrelid, a.attnum), a.attgenerated <> '',
           has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
           CASE WHEN NOT coalesce((to_jsonb(c) ->> 'collisdeterministic')::boolean, true) THEN c.collname END
    FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation
    WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attrelid, a.attnum"""
_KEYS = """
    SELECT i.indrelid, i.indisprimary,
           ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, place)
                 LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
                 ORDER BY k.place)
    FROM pg_index i
    WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL"""
_FOREIGN_KEYS = """
    SELECT k.conrelid, k.conname, k.confrelid, k.confrelid::regclass::text,
           ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, place)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place),
           ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(attnum, place)
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place),
           coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false),
           (SELECT t.relnamespace FROM pg_class t WHERE t.oid = k.confrelid) = k.connamespace
    FROM pg_constraint k WHERE k.conrelid = ANY(%s) AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname"""
_TYPES = "SELECT oid, typname, typtype, typcategory, typbasetype FROM pg_type"


_USER = "SELECT current_setting('server_version'), current_user, has_schema_privilege(%s, 'USAGE')"
_PASSING = ("", "40", "53", "55", "57")
"""Classes of errors that say nothing of the view: locks, resources, a statement that was cancelled."""
_PROBE_LOCK_TIMEOUT = "SET lock_timeout = '1s'"
"""A view whose tables are locked just now is taken for one that can be read."""


def introspect(connection: psycopg.Connection[Any], schema: str, name: str) -> SourceSchema:
    """Tables and views of `schema`, sorted by name, without the views that can't be read; `name` is what the whole is
    called."""
    described = describe(connection, schema, name)
    described = replace(described, foldings=foldings(connection, described.key_collations()))
    unread = list(_unreadable(connection, schema, described.tables))
    if not unread:
        return described
    gone = {entry.table for entry in unread}
    tables = tuple(table for table in described.tables if table.name not in gone)
    return replace(described, tables=tables, not_served=in_order([*described.not_served, *unread]))


def describe(connection: psycopg.Connection[Any], schema: str, name: str) -> SourceSchema:
    """The same by the catalog alone: no view is asked for."""
    version, user, usage = connection.execute(_USER, (schema,)).fetchall()[0]
    everything = connection.execute(_TABLES, (schema,)).fetchall()
    grants = _Grants(schema, user, usage=usage)
    found = [row for row in everything if usage and row[6] and row[7]]
    not_served = [_table_left_out(row, grants) for row in everything if not (usage and row[6] and row[7])]
    oids = [row[0] for row in found]
    names = {row[0]: row[1] for row in found}
    types = {row[0]: PgType(*row[1:]) for row in connection.execute(_TYPES)}
    columns = _grouped(connection.execute(_COLUMNS, (oids,)).fetchall())
    keys = _grouped(connection.execute(_KEYS, (oids,)).fetchall())
    foreign = _grouped(connection.execute(_FOREIGN_KEYS, (oids,)).fetchall())
    tables = []
    for oid, table, is_view, uncounted, comment, estimated_rows, *_ in sorted(found, key=lambda row: row[1]):
        primary = next((tuple(key) for _, is_primary, key in keys[oid] if is_primary), ())
        not_served += [grants.column(table, row[1]) for row in columns[oid] if not row[7]]
        not_served += [entry for row in foreign[oid] if (entry := _key_left_out(table, row, names))]
        tables.append(
            SourceTable(
                name=table,
                columns=tuple(_column(row, types) for row in columns[oid] if row[7]),
                primary_key=primary,
                unique_keys=tuple(
                    sorted({tuple(key) for _, is_primary, key in keys[oid] if not is_primary and None not in key})
                ),
                foreign_keys=tuple(
                    ForeignKey(row[1], tuple(row[4]), names[row[2]], tuple(row[5]))
                    for row in foreign[oid]
                    if _key_left_out(table, row, names) is None
                ),
                comment=comment or "",
                is_view=is_view,
                estimated_rows=None if uncounted or estimated_rows is None or estimated_rows < 0 else estimated_rows,
            )
        )
    version = f"PostgreSQL {version}"
    return SourceSchema(Backend.POSTGRES, name, version, tuple(tables), in_order(not_served), grant=grants.everything())


class _Grants:
    """What the user may lack, and the statement that gives it."""

    def __init__(self, schema: str, user: str, *, usage: bool) -> None:
        self._schema, self._user, self._usage = schema, user, usage

    def everything(self) -> str:
        schema, to = quoted(self._schema), quoted(self._user)
        return f"GRANT USAGE ON SCHEMA {schema} TO {to}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {to};"

    def table(self, table: str) -> NotServed:
        statement = f"Run: GRANT SELECT ON {self._named(table)} TO {quoted(self._user)};"
        if self._usage:
            reason = f"The user {quoted(self._user)} may not SELECT from it."
        else:
            reason = f"The user {quoted(self._user)} has no USAGE on the schema {quoted(self._schema)}."
            statement = f"Run: {self.everything()}"
        return NotServed.of_table(table, Cause.NO_PRIVILEGE, reason, statement)

    def column(self, table: str, column: str) -> NotServed:
        reason = f"The user {quoted(self._user)} may not SELECT it."
        statement = f"Run: GRANT SELECT ({quoted(column)}) ON {self._named(table)} TO {quoted(self._user)};"
        return NotServed.of_column(table, column, Cause.NO_PRIVILEGE, reason, statement)

    def populate(self, table: str) -> NotServed:
        statement = f"Run: REFRESH MATERIALIZED VIEW {self._named(table)}; and rebuild."
        return NotServed.of_table(table, Cause.UNREADABLE, "The materialized view was never populated.", statement)

    def _named(self, table: str) -> str:
        return f"{quoted(self._schema)}.{quoted(table)}"


def _table_left_out(row: Row, grants: _Grants) -> NotServed:
    """Of a row of _TABLES that is not described."""
    populated = row[7]
    return grants.table(row[1]) if populated or not row[6] else grants.populate(row[1])


def _key_left_out(table: str, row: Row, names: dict[int, str]) -> NotServed | None:
    """Of a row of _FOREIGN_KEYS; None where the key can be served."""
    _, constraint, target, named, _, _, period, same_schema = row
    if period:
        reason = "It is a key with PERIOD, which matches ranges of time and not values."
        return NotServed.of_relation(table, constraint, Cause.TEMPORAL_KEY, reason, "")
    if target in names:
        return None
    if not same_schema:
        reason = f"It refers to {named}, which is in another schema."
        return NotServed.of_relation(table, constraint, Cause.OTHER_SCHEMA, reason, "")
    reason = f"It refers to {named}, which is not served."
    return NotServed.of_relation(table, constraint, Cause.MISSING_TARGET, reason, "Serve that table, too.")


def _unreadable(
    connection: psycopg.Connection[Any], schema: str, tables: tuple[SourceTable, ...]
) -> Iterator[NotServed]:
    """Views that the server refuses to read for this user, found without reading a row."""
    views = [table.name for table in tables if table.is_view]
    if views:
        connection.execute(_PROBE_LOCK_TIMEOUT)
    for view in views:
        try:
            connection.execute(sql.SQL("SELECT FROM {} LIMIT 0").format(sql.Identifier(schema, view)))
        except psycopg.Error as error:
            if connection.closed:
                raise
            if (error.sqlstate or "")[:2] in _PASSING:
                continue
            said = " ".join(str(error).split())
            remedy = "Mend the view, or give its owner what it needs, and rebuild."
            yield NotServed.of_table(view, Cause.UNREADABLE, f"The server refuses to read the view: {said}", remedy)


def _grouped(rows: list[Row]) -> defaultdict[int, list[Row]]:
    grouped: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(row)
    return grouped


def _column(row: Row, types: dict[int, PgType]) -> SourceColumn:
    _, name, declared, oid, not_null, comment, generated, _, folds = row
    storage = storage_of(oid, types)
    collation = collation_of(oid, types, folds) if storage is Storage.TEXT else ""
    return SourceColumn(name, declared, storage, not not_null, comment or "", generated, collation=collation)
