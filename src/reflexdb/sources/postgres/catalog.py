"""What following needs to know of the server beside the changes themselves, asked over an ordinary connection.

Which tables the planned names mean, what their columns are, whether a slot still has what follows a position, and the
JSON of values that replication sends as text. Used by one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from reflexdb.model.errors import PositionLost
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.postgres.connect import Place, quoted, translated
from reflexdb.sources.postgres.definitions import VISIBLE
from reflexdb.sources.postgres.fingerprint import TYPE_LEVELS, Shape, query
from reflexdb.sources.postgres.identity import Obstacle, obstacles
from reflexdb.sources.postgres.layout import Layout, Misfit, Reread, lay_out
from reflexdb.sources.postgres.pgoutput import Relation
from reflexdb.sources.postgres.publication import Publication
from reflexdb.sources.postgres.replication import parse_lsn
from reflexdb.sources.postgres.types import select_expression

_RELATIONS = """
    SELECT c.relname, c.oid, c.relkind::text,
           ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid
                 WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY(i.indkey[0:i.indnkeyatts - 1]))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
_COLUMNS = """
    SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
           has_schema_privilege(c.relnamespace, 'USAGE') AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""
_SECURED = "SELECT oid FROM pg_class WHERE oid = ANY(%s) AND row_security_active(oid)"
_PULSE = f"""
    SELECT {VISIBLE},
           s.wal_status, s.safe_wal_size, pg_wal_lsn_diff(
             CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
             s.restart_lsn)::bigint
    FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = %s"""  # noqa: S608 - our own words
_REACHED = """
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text"""
_SLOT = """
    SELECT confirmed_flush_lsn::text, wal_status, active FROM pg_replication_slots
    WHERE slot_name = %s AND database = current_database() AND plugin = 'pgoutput'"""

KEPT_BYTES = 10 << 30
"""Log that a server keeps for a slot without a limit, from which on it is told."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a planned name means at the server; the letter is that of pg_class."""

    oid: int
    kind: str
    key: list[str]
    """The primary key's columns in no order."""


class Column(NamedTuple):
    """A column of a relation, as the server has it now."""

    oid: int
    """The relation's."""
    name: str
    declared: str
    is_generated: bool
    is_readable: bool


_WRITTEN = "SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn()::text END"
"""The end of the server's log. Not of a standby, which after a restart may know less of it for a while."""


class Catalog:
    """Owns the connection."""

    def __init__(
        self,
        address: SourceAddress,
        connection: psycopg.Connection[Any],
        place: Place,
        plan: Plan,
        postgis: str | None,
    ) -> None:
        self._address = address
        self._connection = connection
        self._plan = plan
        self.postgis = postgis
        """The quoted schema of the extension PostGIS, where there is one."""
        self.place = place
        self._indexes = {table.source_name: index for index, table in enumerate(plan.tables)}
        self.relations = self._find_relations()
        """By source name: what the planned names meant when this was opened."""
        self.obstacles: dict[str, Obstacle] = {}
        """By source name: why replication can't tell of a table without breaking its writers, at the last look."""
        self.followed: frozenset[str] = frozenset()
        """Names of the planned tables whose changes are told, as the follower's last look found."""
        self._now = self.relations
        self._secured: frozenset[str] = frozenset()
        """Names of the tables of which row security hides rows from us, at the last look."""
        self._judge()
        self._names = {relation.oid: name for name, relation in self.relations.items()}
        self._secured_at_first = self._secured
        self._noticed: set[int] = set()

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()

    def lay_out(self, relation: Relation) -> Layout | Reread | Misfit | None:
        """How the relation's rows become planned ones; None where nobody planned it."""
        name = self._names.get(relation.oid)
        if name is None:
            taken = self._indexes.get(relation.name) if relation.namespace == self.place.schema else None
            return None if taken is None else Misfit(taken, f"another table has the name {relation.name!r} now")
        index = self._indexes[name]
        if (relation.namespace, relation.name) != (self.place.schema, name):
            return Misfit(index, f"the table is {relation.namespace}.{relation.name} now")
        if self._hidden([relation.oid]):
            return Reread(index, "row security hides rows of it")
        declared = self._declared(relation)
        generated = frozenset(column.name for column in self._columns([relation.oid]) if column.is_generated)
        return lay_out(index, self._plan.tables[index], relation, declared, generated)

    def look(self) -> None:
        """Ask what the planned names mean now, and which of these tables can be published."""
        self._now = self._find_relations()
        self._judge()

    def publication(self, name: str) -> Publication:
        """One that is looked at and altered by the same connection."""
        return Publication(self._connection, self._address, name)

    def name(self, oid: int) -> str | None:
        """The planned name of a relation; None where nobody planned it."""
        return self._names.get(oid)

    def is_described_by(self, relation: Relation) -> bool:
        """Whether the columns are now what replication says they were."""
        columns = self._columns([relation.oid])
        stored = [column.name for column in columns if not column.is_generated]
        generated = {column.name for column in columns if column.is_generated}
        return stored == [column.name for column in relation.columns if column.name not in generated]

    def changes(self) -> Iterator[tuple[str, str]]:
        """Tables that at the last look were not what they were when this was opened, each once, and what is
        different."""
        now = self._now
        columns = {(column.oid, column.name): column for column in self._columns([found.oid for found in now.values()])}
        for name, index in self._indexes.items():
            what = self._difference(name, now, columns)
            if what is None and (name in self._secured) != (name in self._secured_at_first):
                what = f"row security {'hides rows' if name in self._secured else 'no longer hides rows'} of the table"
            if index in self._noticed or what is None:
                continue
            self._noticed.add(index)
            yield name, what

    def shapes(self, publication: str) -> dict[str, Shape]:
        """What the planned relations are now, by name. Of a table with `where` every column counts: it may name any."""
        asked: list[tuple[int, str | None]] = []
        for table in self._plan.tables:
            if (found := self.relations.get(table.source_name)) is not None:
                names = [None] if table.where is not None else [column.source_name for column in table.columns]
                asked += [(found.oid, name) for name in names]
        values = {
            "oids": [oid for oid, _ in asked],
            "names": [name for _, name in asked],
            "levels": TYPE_LEVELS,
            "publication": publication,
        }
        with translated(self._address, "looking at its tables"):
            rows = self._connection.execute(query(self._connection.info.server_version), values).fetchall()
        return {self._names[shape.oid]: shape for shape in map(Shape.of, rows)}

    def pulse(self, slot: str) -> tuple[str, str | None]:
        """A text that is another one once anything in the catalog may have changed, and what people should know of the
        slot though all goes well. One statement that reads no table."""
        ((state, status, safe, kept),) = self.execute(_PULSE, slot)
        return str(state), _slot_warning(slot, status, safe, kept)

    def reached(self) -> int:
        """Where the server's log is: everything that a statement saw before is at or before it."""
        return parse_lsn(self.execute(_REACHED)[0][0])

    def filled(self, parts: Iterable[str]) -> frozenset[str]:
        """Which of these tables, by their ids, have rows. One that can't be asked counts as filled."""
        found = set()
        for part in parts:
            names = self.execute("SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON "
                                 "n.oid = c.relnamespace WHERE c.oid = %s", int(part))  # fmt: skip
            for name in names:
                try:
                    asked = sql.SQL("SELECT 1 FROM ONLY {} LIMIT 1").format(sql.Identifier(*name))
                    if self._connection.execute(asked).fetchall():
                        found.add(part)
                except psycopg.Error:
                    found.add(part)
        return frozenset(found)

    def streamed(self) -> dict[str, int]:
        """Ids of the planned tables whose changes a publication may tell, by name."""
        return {name: found.oid for name, found in sorted(self._now.items()) if name not in self.obstacles}

    def unstreamed(self) -> dict[str, Obstacle]:
        """Planned tables, not views, whose changes no publication may tell, and why."""
        return {name: what for name, what in sorted(self.obstacles.items()) if self._now[name].kind in "rpf"}

    def keyless(self) -> list[str]:
        """Planned tables without a primary key in the plan."""
        return [table.source_name for table in self._plan.tables if not table.primary_key and not table.is_view]

    def convert(self, table: PlannedTable, place: int, texts: list[Any]) -> list[Any]:
        """What a read gives for values of a column whose text is known."""
        if not texts:
            return []
        column = table.columns[place]
        value = f"t.v::{column.declared_type}"  # as the server's format_type quotes it, and checked to be so still
        expression = select_expression(value, column.declared_type, column.storage, self.postgis)
        query = f"SELECT {expression} FROM unnest(%s::text[]) WITH ORDINALITY t(v, n) ORDER BY n"  # noqa: S608
        with translated(self._address, f"reading values of {table.source_name}.{column.source_name}"):
            return [row[0] for row in self._connection.execute(query, (texts,))]

    def slot(self, name: str) -> tuple[str, str | None, bool] | None:
        """A slot's confirmed position, the state of its log and whether somebody uses it; None where there is none."""
        with translated(self._address, "looking at its replication slots"):
            return self._connection.execute(_SLOT, (name,)).fetchone()

    def publishes(self, name: str) -> bool:
        """Whether the database has a publication of this name."""
        return bool(self.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", name))

    def require_slot(self, name: str, position: str) -> None:
        """Raises PositionLost where the slot can't give everything after the position."""
        found = self.slot(name)
        if found is None:
            raise PositionLost(f"The replication slot {name!r} does not exist any more: somebody dropped it.")
        confirmed, status, _ = found
        if status == "lost":
            raise PositionLost(
                f"The replication slot {name!r} fell so far behind that the server removed the log it needs "
                "(max_slot_wal_keep_size)."
            )
        if confirmed is not None and parse_lsn(confirmed) > parse_lsn(position):
            raise PositionLost(
                f"The replication slot {name!r} has gone on to {confirmed}; the changes after {position} are gone."
            )
        ((written,),) = self.execute(_WRITTEN)
        if written is not None and parse_lsn(written) < parse_lsn(position):
            raise PositionLost(
                f"Position {position} is ahead of the server, which is at {written}: it was restored from a backup, or "
                "it is another server."
            )

    def execute(self, statement: sql.Composable | str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement of the caller's."""
        with translated(self._address, "preparing to follow its changes"):
            cursor = self._connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def _find_relations(self) -> dict[str, Found]:
        with translated(self._address, "looking at its tables"):
            rows = self._connection.execute(_RELATIONS, (self.place.schema, list(self._indexes))).fetchall()
        return {name: Found(*rest) for name, *rest in rows}

    def _judge(self) -> None:
        oids = [relation.oid for relation in self._now.values()]
        with translated(self._address, "looking at its replica identities"):
            found = obstacles(self._connection, oids)
        hidden = self._hidden(oids)
        self._secured = frozenset(name for name, relation in self._now.items() if relation.oid in hidden)
        mend = f"ALTER ROLE {quoted(self._address.user)} BYPASSRLS;"
        obstacle = Obstacle("row security hides rows of it, which replication would show", mend, False)
        found = dict.fromkeys(hidden, obstacle) | found
        self.obstacles = {name: found[relation.oid] for name, relation in self._now.items() if relation.oid in found}

    def _hidden(self, oids: list[int]) -> frozenset[int]:
        """Of these relations, those of which row security hides rows from us."""
        with translated(self._address, "looking at its row security"):
            return frozenset(oid for (oid,) in self._connection.execute(_SECURED, (oids,)))

    def _columns(self, oids: list[int]) -> list[Column]:
        """In their order."""
        with translated(self._address, "looking at its columns"):
            return [Column(*row) for row in self._connection.execute(_COLUMNS, (oids,))]

    def _declared(self, relation: Relation) -> dict[str, str]:
        types = [column.type_oid for column in relation.columns]
        modifiers = [column.type_modifier for column in relation.columns]
        with translated(self._address, "looking at its types"):
            rows = self._connection.execute(
                "SELECT format_type(o, m) FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY t(o, m, n) ORDER BY n",
                (types, modifiers),
            ).fetchall()
        return {column.name: row[0] for column, row in zip(relation.columns, rows, strict=True)}

    def _difference(self, name: str, now: dict[str, Found], columns: dict[tuple[int, str], Column]) -> str | None:
        found = now.get(name)
        if found is None:
            return "the table is gone"
        if name in self.relations and found.oid != self.relations[name].oid:
            return f"another table has the name {quoted(name)} now"
        table = self._plan.tables[self._indexes[name]]
        key = {table.columns[index].source_name for index in table.primary_key}
        if key and key != set(found.key):
            return f"the primary key is ({', '.join(found.key)}) and was ({', '.join(sorted(key))})"
        for column in table.columns:
            present = columns.get((found.oid, column.source_name))
            if present is None:
                return f"column {column.source_name!r} is gone"
            if not present.is_readable:
                return f"user {self._address.user!r} may not read column {column.source_name!r}"
            if present.declared != column.declared_type:
                return f"column {column.source_name!r} is {present.declared} and was {column.declared_type}"
        return None


def _slot_warning(name: str, status: str | None, safe: int | None, kept: int | None) -> str | None:
    """That a slot is about to be lost, or the disk about to be filled by it; None where all is well."""
    if status is None:
        return None
    if status in ("unreserved", "lost") or (status == "extended" and safe is not None):
        return (
            f"The replication slot {name!r} is {status}: the server keeps {kept or 0:,} bytes of its log for it "
            f"and gives it up after {max(safe or 0, 0):,} more. Run: ALTER SYSTEM SET max_slot_wal_keep_size = "
            "'...'; with more room, and look at what holds transactions open."
        )
    if safe is None and (kept or 0) > KEPT_BYTES:
        return (
            f"The server keeps {kept:,} bytes of its log for the replication slot {name!r}, and no "
            "max_slot_wal_keep_size bounds that. Look for long transactions, or let replication go on."
        )
    return None
