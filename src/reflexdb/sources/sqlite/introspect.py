"""Describes a SQLite file: its tables and views, as the file itself declares them.

Called by source.py with a connection in a read transaction. Names are only ever bound as arguments or quoted by
`quoted`. What SQLite itself can't read, such as a view with an application's function, is left out and listed with the
reason. A column whose declared type says nothing gets the storage of the values it holds at this moment, which
costs one pass over the table.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from string import ascii_uppercase

from reflexdb.model.folding import Folding, folding
from reflexdb.model.not_served import Cause, NotServed, as_utf8, in_order
from reflexdb.model.schema import Backend, ForeignKey, SourceColumn, SourceSchema, SourceTable
from reflexdb.model.storage import Storage
from reflexdb.sources.sqlite.types import storage_of, storage_of_values

SCHEMA = "main"
FOLDINGS = (
    folding("NOCASE", {ord(letter): (ord(letter.lower()),) for letter in ascii_uppercase}, pads=False),
    Folding("RTRIM", pads=True),
)
"""Of the collations that SQLite has itself: https://sqlite.org/datatype3.html, section 7."""
_GENERATED = (2, 3)
_HIDDEN = 1


def quoted(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def introspect(connection: sqlite3.Connection) -> SourceSchema:
    """Everything the file has, sorted by name."""
    names = _names(connection)
    by_folded = {name.lower(): name for name, _ in names}
    tables: list[SourceTable] = []
    not_served: list[NotServed] = []
    for name, is_view in sorted(names):
        try:
            connection.execute(f"SELECT * FROM {quoted(name)} LIMIT 0")  # noqa: S608 - quoted
            tables.append(_table(connection, name, is_view, by_folded, not_served))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # not of this table: the file is locked or damaged
                raise
            kind = "view" if is_view else "table"
            reason = f"SQLite can't read the {kind}: {error}."
            remedy = f"Mend the {kind}, or copy what it shows into a table."
            not_served.append(NotServed.of_table(as_utf8(name), Cause.UNREADABLE, reason, remedy))
    version = f"SQLite {sqlite3.sqlite_version}"
    return SourceSchema(Backend.SQLITE, SCHEMA, version, tuple(tables), in_order(not_served), FOLDINGS)


def _names(connection: sqlite3.Connection) -> list[tuple[str, bool]]:
    """Tables and views, without SQLite's own and the tables that virtual tables keep for themselves."""
    if sqlite3.sqlite_version_info >= (3, 37):
        rows = connection.execute(
            "SELECT name, type = 'view' FROM pragma_table_list WHERE schema = 'main' AND type != 'shadow'"
        )
    else:
        rows = connection.execute("SELECT name, type = 'view' FROM sqlite_master WHERE type IN ('table', 'view')")
    return [(name, bool(is_view)) for name, is_view in rows if not name.lower().startswith("sqlite_")]


def _table(
    connection: sqlite3.Connection,
    name: str,
    is_view: bool,
    by_folded: dict[str, str],
    not_served: list[NotServed],
) -> SourceTable:
    described = connection.execute(
        'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', (name,)
    ).fetchall()
    described = [row for row in described if row[4] != _HIDDEN]
    key = tuple(row[0] for row in sorted((row for row in described if row[3]), key=lambda row: row[3]))
    rowid_alias = len(key) == 1 and any(row[3] and row[1].upper() == "INTEGER" for row in described)
    collations = {} if is_view else _collations(connection, name)
    columns = tuple(
        replace(
            _column(connection, name, column, declared, bool(not_null) or (rowid_alias and column == key[0]), hidden),
            collation=collations.get(column, ""),
        )
        for column, declared, not_null, _, hidden in described
    )
    foreign_keys = () if is_view else _foreign_keys(connection, name, by_folded, not_served)
    return SourceTable(
        name=name,
        columns=columns,
        primary_key=key,
        unique_keys=() if is_view else _unique_keys(connection, name),
        foreign_keys=foreign_keys,
        is_view=is_view,
        estimated_rows=None if is_view else _estimated_rows(connection, name),
    )


def _column(
    connection: sqlite3.Connection, table: str, name: str, declared: str, not_null: bool, hidden: int
) -> SourceColumn:
    storage = storage_of(declared) or _storage_by_values(connection, table, name)
    return SourceColumn(name, declared, storage, not not_null, generated=hidden in _GENERATED)


def _storage_by_values(connection: sqlite3.Connection, table: str, column: str) -> Storage:
    rows = connection.execute(f"SELECT DISTINCT typeof({quoted(column)}) FROM {quoted(table)}")  # noqa: S608 - quoted
    return storage_of_values(frozenset(row[0] for row in rows))


def _unique_keys(connection: sqlite3.Connection, table: str) -> tuple[tuple[str, ...], ...]:
    """Unique constraints and indexes over whole columns of all rows; not the primary key's own."""
    keys = set()
    for index in connection.execute(
        "SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial AND origin != 'pk'", (table,)
    ).fetchall():
        columns = connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", index).fetchall()
        if all(column is not None for (column,) in columns):
            keys.add(tuple(column for (column,) in columns))
    return tuple(sorted(keys))


def _collations(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Of columns that a key compares by something else than bytes, in whatever letters it is written."""
    rows = connection.execute(
        "SELECT x.name, upper(x.coll) FROM pragma_index_list(?) i, pragma_index_xinfo(i.name) x "
        "WHERE i.\"unique\" AND NOT i.partial AND x.key AND x.name IS NOT NULL ORDER BY i.origin = 'pk'",
        (table,),
    )
    return {name: "" if collation == "BINARY" else collation for name, collation in rows}


def _foreign_keys(
    connection: sqlite3.Connection, table: str, by_folded: dict[str, str], not_served: list[NotServed]
) -> tuple[ForeignKey, ...]:
    """Foreign keys in the order of declaration. SQLite does not keep their names and does not check that what they
    refer to exists; those of which it does not are added to `not_served`.
    """
    grouped: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, target, column, target_column in connection.execute(
        'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table,)
    ).fetchall():
        grouped.setdefault(number, []).append((target, column, target_column))
    keys = []
    for parts in grouped.values():
        target = by_folded.get(parts[0][0].lower())
        if target is None:
            not_served.append(_key_left_out(table, parts, f"It refers to {parts[0][0]!r}, which does not exist."))
            continue
        own = _columns_of(connection, table)
        theirs = _columns_of(connection, target)
        named = [part[2] for part in parts]
        referenced = [name for name in named if name is not None] or list(_key_of(connection, target))
        if len(referenced) != len(parts) or any(name.lower() not in theirs for name in referenced):
            not_served.append(_key_left_out(table, parts, f"It refers to columns that {target!r} does not have."))
            continue
        columns = tuple(own.get(part[1].lower(), part[1]) for part in parts)
        keys.append(
            ForeignKey(
                "_".join((table, *columns, "fkey")), columns, target, tuple(theirs[name.lower()] for name in referenced)
            )
        )
    return tuple(keys)


def _key_left_out(table: str, parts: list[tuple[str, str, str | None]], reason: str) -> NotServed:
    columns = "_".join(part[1] for part in parts)
    name = as_utf8(f"{table}_{columns}_fkey")
    return NotServed.of_relation(as_utf8(table), name, Cause.MISSING_TARGET, as_utf8(reason), "")


def _columns_of(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?)", (table,)).fetchall()
    return {name.lower(): name for (name,) in rows}


def _key_of(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk ORDER BY pk", (table,)).fetchall()
    return tuple(name for (name,) in rows)


def _estimated_rows(connection: sqlite3.Connection, table: str) -> int | None:
    """What ANALYZE last saw, or the exact count where it never ran (SQLite keeps no count)."""
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone()[0]:
        row = connection.execute(
            "SELECT stat FROM sqlite_stat1 WHERE tbl = ? AND stat IS NOT NULL LIMIT 1", (table,)
        ).fetchone()
        if row is not None:
            return int(str(row[0]).split()[0])
    try:
        count: int = connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0]  # noqa: S608 - quoted
    except sqlite3.OperationalError:  # a virtual table whose module is not in this SQLite
        return None
    return count
