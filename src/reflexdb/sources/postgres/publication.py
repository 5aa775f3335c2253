"""The publication that changes are told by: who is in it, and who must leave it because the server would refuse writes.

A publication is either ours, made and kept by us, or the owner's, of which we only take out tables, and only where we
own it. No statement waits longer than a moment for a lock: while it waited, it would keep the application's own
definitions waiting. Owns no connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
from psycopg import errors as pg_errors
from psycopg import sql

from reflexdb.sources.base import SourceAddress
from reflexdb.sources.postgres.connect import quoted, translated
from reflexdb.sources.postgres.identity import Obstacle, obstacles

OWNERS_PUBLICATION = "reflexdb"
"""What an owner calls a publication made for us where we may not make one."""
EVERYTHING: LiteralString = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
"""What a publication must tell."""
HARMLESS: LiteralString = "publish = 'insert, truncate'"
"""What a publication may tell of a table of any kind."""
LOCK_WAIT: LiteralString = "SET LOCAL lock_timeout = '1s'"
LOOK_WAIT: LiteralString = "SET LOCAL lock_timeout = '100ms'"
_STATE = """
    SELECT pg_has_role(pubowner, 'USAGE') AND NOT pg_is_in_recovery(), pubinsert AND pubupdate AND pubdelete
           AND pubtruncate AND pubviaroot FROM pg_publication WHERE pubname = %s"""
_LISTED = """
    SELECT r.prrelid, n.nspname, c.relname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = %s"""
_TOLD = """
    SELECT c.oid FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename WHERE t.pubname = %s"""
_NARROWED = """
    SELECT r.prrelid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    WHERE p.pubname = %s AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)"""
_NARROWED_FROM = 150_000

Table = tuple[str, str]
"""Schema and name."""


class Publication:
    """One publication, which may not exist. Every exception of the driver leaves translated."""

    def __init__(self, connection: psycopg.Connection[Any], address: SourceAddress, name: str) -> None:
        self._connection = connection
        self._address = address
        self._said: frozenset[int] | None = None
        """Its tables, as the server said last."""
        self.name = name

    def exists(self) -> bool:
        return self._state() is not None

    def is_ours(self) -> bool:
        """Whether we may alter it: we own it, and the server is no standby."""
        state = self._state()
        return state is not None and bool(state[0])

    def is_complete(self) -> bool:
        """Whether it tells every kind of change, and partitions' as their table's."""
        state = self._state()
        return state is not None and bool(state[1])

    def told(self) -> frozenset[int]:
        """The tables it tells all changes of, whatever its form is."""
        told = set(self._members())
        if self._connection.info.server_version >= _NARROWED_FROM:
            told -= {oid for (oid,) in self._ask(_NARROWED)}
        return frozenset(told)

    def _members(self) -> frozenset[int]:
        """The server opens each table to say this. Where one is locked, it is what was said before, or else what the
        publication names one by one."""
        with translated(self._address, f"looking at its publication {quoted(self.name)}"):
            try:
                with self._connection.transaction():
                    self._connection.execute(LOOK_WAIT)
                    rows = self._connection.execute(_TOLD, (self.name,)).fetchall()
                    self._said = frozenset(oid for (oid,) in rows)
            except pg_errors.LockNotAvailable:
                if self._said is None and not (listed := self.listed()):
                    raise
                return self._said if self._said is not None else frozenset(listed)
        return self._said

    def listed(self) -> dict[int, Table]:
        """The tables that it names one by one."""
        return {oid: (schema, name) for oid, schema, name in self._ask(_LISTED)}

    def broken(self) -> dict[Table, Obstacle]:
        """The tables whose writes the server refuses because of it."""
        listed = self.listed()
        with translated(self._address, "looking at its replica identities"):
            found = obstacles(self._connection, list(listed))
        return {listed[oid]: what for oid, what in found.items() if what.is_harmful}

    def narrowed(self) -> frozenset[int]:
        """The tables it tells a part of: some rows, or some columns."""
        if self._connection.info.server_version < _NARROWED_FROM:
            return frozenset()
        return frozenset(oid for (oid,) in self._ask(_NARROWED))

    def create(self) -> None:
        """Empty: so it locks no table."""
        with self._altering():
            self._run(sql.SQL("CREATE PUBLICATION {} WITH ({})").format(self._identifier, sql.SQL(EVERYTHING)))

    def complete(self) -> None:
        with self._altering():
            self._run(sql.SQL("ALTER PUBLICATION {} SET ({})").format(self._identifier, sql.SQL(EVERYTHING)))

    def rest(self) -> None:
        """Tell nothing that the server could refuse a write for; it locks no table."""
        with self._altering():
            self._run(sql.SQL("ALTER PUBLICATION {} SET ({})").format(self._identifier, sql.SQL(HARMLESS)))

    def withdraw(self, tables: Collection[int] | None = None) -> dict[Table, Obstacle | None]:
        """Take out the tables, or where none are named those whose writes the server refuses because of it. Gives
        them, and what is in their way."""
        with self._altering():
            listed = self.listed()
            found = obstacles(self._connection, list(listed))
            harmful = [oid for oid, what in found.items() if what.is_harmful]
            named = harmful if tables is None else tables
            leaving = {listed[oid]: found.get(oid) for oid in named if oid in listed}
            kept = [] if not leaving or self._drop(leaving) else [table for table in leaving if not self._drop([table])]
            if any(what is not None and what.is_harmful for what in map(leaving.get, kept)):
                self.rest()
        return leaving

    def admit(self, tables: dict[int, Table]) -> None:
        """Put in those of the tables that can be: each is judged once more while it is locked."""
        with self._altering():
            if tables and not self._add(tables):
                for oid, table in tables.items():
                    self._add({oid: table})

    def _add(self, tables: dict[int, Table]) -> bool:
        added = False
        with suppress(*_NOT_NOW), self._connection.transaction() as transaction:
            self._connection.execute(LOCK_WAIT)
            self._run(sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(self._identifier, _only(tables.values())))
            if obstacles(self._connection, list(tables)):
                raise psycopg.Rollback(transaction)
            added = True
        return added

    def _drop(self, tables: Iterable[Table]) -> bool:
        """Whether all are out. A long VACUUM or index build of one of them may be in the way."""
        dropped = False
        with suppress(*_NOT_NOW), self._connection.transaction():
            self._connection.execute(LOCK_WAIT)
            self._run(sql.SQL("ALTER PUBLICATION {} DROP TABLE {}").format(self._identifier, _only(tables)))
            dropped = True
        return dropped

    @property
    def _identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    def _altering(self) -> Any:
        return translated(self._address, f"keeping its publication {quoted(self.name)}")

    def _state(self) -> tuple[bool, bool] | None:
        rows = self._ask(_STATE)
        return (rows[0][0], rows[0][1]) if rows else None

    def _ask(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        with translated(self._address, f"looking at its publication {quoted(self.name)}"):
            return self._connection.execute(statement, (self.name,)).fetchall()

    def _run(self, statement: sql.Composed) -> None:
        self._connection.execute(statement)


_NOT_NOW = (
    pg_errors.LockNotAvailable,
    pg_errors.DeadlockDetected,
    pg_errors.InsufficientPrivilege,
    pg_errors.UndefinedTable,
    pg_errors.UndefinedObject,
    pg_errors.DuplicateObject,
    pg_errors.InvalidParameterValue,
    pg_errors.ObjectNotInPrerequisiteState,
)
"""A table that is locked, not ours, gone meanwhile or changed by somebody else at the same time."""


def _only(tables: Iterable[Table]) -> sql.Composed:
    """Without the tables that inherit from them, which may not be in the publication."""
    return sql.SQL(", ").join(sql.SQL("ONLY {}").format(sql.Identifier(*table)) for table in tables)
