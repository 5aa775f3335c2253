"""Describes one schema of a PostgreSQL database from its catalog, in a fixed number of statements.

Called by source.py with a connection of its own. A partitioned table is one table; tables of extensions, and tables
and columns the user may not select from, are left out. Assumes PostgreSQL 12 or newer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import psycopg

from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.sources.postgres.types import PgType, storage_of

Row = Sequence[Any]

_TABLES = """
    SELECT c.oid, c.relname, c.relkind IN ('v', 'm'), c.relkind IN ('v', 'f'), obj_description(c.oid, 'pg_class'),
           CASE WHEN c.relkind = 'p'
                THEN (SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) t
                      JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf)
                ELSE c.reltuples END::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
      AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'))
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""
_COLUMNS = """
    SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull,
           col_description(a.attrelid, a.attnum), a.attgenerated <> ''
    FROM pg_attribute a
    WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
      AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
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
                 JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place)
    FROM pg_constraint k WHERE k.conrelid = ANY(%s) AND k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conname"""
_TYPES = "SELECT oid, typname, typtype, typcategory, typbasetype FROM pg_type"


def introspect(connection: psycopg.Connection[Any], schema: str, name: str) -> SourceSchema:
    """Tables and views of `schema`, sorted by name; `name` is what the whole is called."""
    row = connection.execute("SHOW server_version").fetchone()
    version = f"PostgreSQL {row[0] if row else ''}"
    found = connection.execute(_TABLES, (schema,)).fetchall()
    oids = [row[0] for row in found]
    names = {row[0]: row[1] for row in found}
    types = {row[0]: PgType(*row[1:]) for row in connection.execute(_TYPES)}
    columns = _grouped(connection.execute(_COLUMNS, (oids,)).fetchall())
    keys = _grouped(connection.execute(_KEYS, (oids,)).fetchall())
    foreign = _grouped(connection.execute(_FOREIGN_KEYS, (oids,)).fetchall())
    tables = []
    for oid, table, is_view, uncounted, comment, estimated_rows in sorted(found, key=lambda row: row[1]):
        primary = next((tuple(key) for _, is_primary, key in keys[oid] if is_primary), ())
        tables.append(
            SourceTable(
                name=table,
                columns=tuple(_column(row, types) for row in columns[oid]),
                primary_key=primary,
                unique_keys=tuple(
                    sorted({tuple(key) for _, is_primary, key in keys[oid] if not is_primary and None not in key})
                ),
                foreign_keys=tuple(
                    ForeignKey(constraint, tuple(own), names[target], tuple(theirs))
                    for _, constraint, target, _, own, theirs in foreign[oid]
                    if target in names
                ),
                notes=tuple(
                    f"Foreign key {row[1]!r} leads to {row[3]}, which is not part of this schema, and is left out."
                    for row in foreign[oid]
                    if row[2] not in names
                ),
                comment=comment or "",
                is_view=is_view,
                estimated_rows=None if uncounted or estimated_rows is None or estimated_rows < 0 else estimated_rows,
            )
        )
    return SourceSchema(Backend.POSTGRES, name, version, tuple(tables))


def _grouped(rows: list[Row]) -> defaultdict[int, list[Row]]:
    grouped: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(row)
    return grouped


def _column(row: Row, types: dict[int, PgType]) -> SourceColumn:
    _, name, declared, oid, not_null, comment, generated = row
    return SourceColumn(name, declared, storage_of(oid, types), not not_null, comment or "", generated)
