"""Following one PostgreSQL database by logical replication: what it needs, the exact first view, and the stream.

The slot has the follower's name and belongs to it alone: whoever runs a follower gives it a name of its own and drops
it in the end, since a slot nobody reads keeps the server's log for ever. A follower that succeeds another one begins
with a copy of its slot and shares its publication: a new one would not exist yet at the positions where the copy
begins. A publication made by the database's owner under the name `reflexdb` is used where we may not make our own.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from reflexdb.model.errors import (
    InvalidRequest,
    PositionLost,
    SourceData,
    SourceError,
    SourceMissing,
    SourceUnreachable,
)
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import ChangeStream, FollowOptions
from reflexdb.sources.postgres.catalog import Catalog
from reflexdb.sources.postgres.connect import Place, connect_arrow, find, lock_timeout, quoted, translated
from reflexdb.sources.postgres.fingerprint import Shape
from reflexdb.sources.postgres.look import Look
from reflexdb.sources.postgres.membership import Membership
from reflexdb.sources.postgres.preflight import judge, warnings
from reflexdb.sources.postgres.publication import OWNERS_PUBLICATION, Publication
from reflexdb.sources.postgres.read import PostgresSnapshot, begin_view, end_view, postgis_schema
from reflexdb.sources.postgres.replication import CREATE_LIMIT_S, ReplicationConnection, parse_lsn
from reflexdb.sources.postgres.shapes import Memory
from reflexdb.sources.postgres.stream import LogicalStream, open_stream
from reflexdb.sources.retyped import as_read, retyped_stream

STREAM_WAIT_S = 1.0
"""For a lock, where the stream waits too."""
_DROP_LIMIT_S = 10.0
_SLOTS = """
    SELECT slot_name, active, pg_wal_lsn_diff(
             CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
             restart_lsn)::bigint
    FROM pg_replication_slots WHERE slot_name = ANY(%s) AND database = current_database()"""
_FOLLOWERS = r"""
    SELECT slot_name FROM pg_replication_slots WHERE database = current_database() AND slot_name LIKE 'reflexdb\_%'"""
_COPY_SLOT = "SELECT pg_copy_logical_replication_slot(%s, %s)"
_DROP_SLOT = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"


class PostgresFollower:
    """See Follower. Each use has connections of its own."""

    mode = "logical"

    def __init__(self, address: SourceAddress, schema: str, options: FollowOptions) -> None:
        """The options' `name` is the slot's, and the publication's where they name no other."""
        self._name = options.name
        self._ours = options.publication or options.name
        """The publication."""
        self._former = options.former
        self._memory = Memory(options.memory, self._ours)
        self._remembers = options.memory is not None
        self._address = address
        self._guarding: psycopg.Connection[Any] | None = None
        self._schema = schema

    def preflight(self, plan: Plan) -> tuple[str, ...]:
        with closing(self._catalog(plan)) as catalog:
            issues = list(judge(catalog, self._ours, self._idle_slots(catalog)))
            database = catalog.place.database
        try:
            with closing(ReplicationConnection(self._address, database)) as connection:
                connection.identify()
        except SourceError as error:
            issues.append(
                f"A replication connection is refused: {error.message} Where a pooler such as PgBouncer is in between, "
                "give the server's own host and port; allow it in pg_hba.conf."
            )
        return tuple(issues)

    def warnings(self, plan: Plan) -> tuple[str, ...]:
        with closing(self._catalog(plan)) as catalog:
            return tuple(warnings(catalog, self._ours))

    def unfollowed(self, plan: Plan) -> frozenset[int]:
        with closing(self._catalog(plan)) as catalog:
            followed = Membership(catalog, self._publication(catalog)).followed()
            return frozenset(index for index, table in enumerate(plan.tables) if table.source_name not in followed)

    @contextmanager
    def snapshot(self, plan: Plan, wait_s: float | None = None) -> Iterator[PostgresSnapshot]:
        with closing(self._catalog(plan, wait_s)) as catalog:
            place, postgis = catalog.place, catalog.postgis
            self._publish(catalog)
            catalog.followed = Membership(catalog, self._publication(catalog)).followed()
            shapes = catalog.shapes(self._publication(catalog))
            slot, temporary = self._slot_to_make(catalog)
        with self._exported(place, postgis, shapes, slot, wait_s, temporary=temporary) as reader:
            yield reader

    @contextmanager
    def view(self, plan: Plan, wait_s: float | None = None) -> Iterator[PostgresSnapshot]:
        with closing(self._catalog(plan, wait_s)) as catalog:
            place, postgis = catalog.place, catalog.postgis
        with self._exported(place, postgis, {}, self._slot_beside(), wait_s, temporary=True) as reader:
            yield reader

    @contextmanager
    def _exported(
        self,
        place: Place,
        postgis: str | None,
        shapes: Mapping[str, Shape],
        slot: str,
        wait_s: float | None,
        *,
        temporary: bool,
    ) -> Iterator[PostgresSnapshot]:
        """The view that making the slot gives. Tables of these shapes are remembered as read in it."""
        with closing(ReplicationConnection(self._address, place.database)) as replication:
            taken_at = datetime.now(UTC)
            made = replication.create_slot(
                slot, temporary=temporary, wait_s=CREATE_LIMIT_S if wait_s is None else wait_s
            )
            connection = self._view(place, made.snapshot, wait_s)

        def was_read(table: str) -> None:
            if table in shapes:
                self._memory.read(parse_lsn(made.consistent_point), table, shapes[table])

        try:
            yield PostgresSnapshot(
                connection, self._address, place.schema, made.consistent_point, taken_at, postgis, was_read
            )
        finally:
            end_view(connection)

    def stream(self, plan: Plan, position: str) -> ChangeStream:
        return retyped_stream(self._stream(as_read(plan), position), plan)

    def _stream(self, plan: Plan, position: str) -> LogicalStream:
        catalog = self._catalog(plan, STREAM_WAIT_S)
        try:
            publication = self._publication(catalog)
            if not catalog.publishes(publication):
                raise PositionLost(f"The publication {self._ours!r} does not exist any more: somebody dropped it.")
            connection = ReplicationConnection(self._address, catalog.place.database)
        except BaseException:
            catalog.close()
            raise
        members = Membership(catalog, publication)
        look = Look(catalog, self._memory, members, publication, self._name, trusts=not self._remembers)
        return open_stream(connection, catalog, plan, self._name, publication, position, look)

    def clock(self) -> datetime:
        _, connection = find(self._address, self._schema)
        with closing(connection), translated(self._address, "asking for its time"):
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        shown: datetime = row[0] if row else datetime.now(UTC)
        return shown

    def reached(self, position: str, wanted: str) -> bool:
        try:
            return parse_lsn(position) >= parse_lsn(wanted)
        except ValueError as error:
            raise InvalidRequest(f"The position is not one of PostgreSQL: {error}") from error

    def succeed(self) -> None:
        if self._former is None:
            return
        _, connection = find(self._address, self._schema)
        with closing(connection), translated(self._address, "copying our replication slot"):
            found = connection.execute(_SLOTS, ([self._name, self._former],)).fetchall()
            if self._name in (name for name, *_ in found):
                return
            if not found:
                raise PositionLost(f"The replication slot {self._former!r} does not exist any more.")
            try:
                connection.execute(_COPY_SLOT, (self._former, self._name))
            except psycopg.errors.ConfigurationLimitExceeded:
                self._make_room(connection, found)
                raise

    def _make_room(self, connection: Any, found: list[Any]) -> None:
        """All slots are in use: that of a former follower that runs no more makes room for a new one."""
        if not any(active for _, active, _ in found):
            connection.execute(_DROP_SLOT, (self._former,))

    def kept_bytes(self) -> int:
        try:
            _, connection = find(self._address, self._schema)
        except SourceMissing:
            return 0
        with closing(connection), translated(self._address, "looking at our replication slot"):
            found = connection.execute(_SLOTS, ([self._name],)).fetchall()
        return sum(kept or 0 for _, _, kept in found)

    def withdraw(self) -> tuple[str, ...]:
        try:
            if self._guarding is None:
                _, self._guarding = find(self._address, self._schema)
            said: list[str] = []
            for name in (self._ours, OWNERS_PUBLICATION):
                publication = Publication(self._guarding, self._address, name)
                if publication.is_ours():
                    said += [f"Table {quoted(table)}: {what}" for (_, table), what in publication.withdraw().items()]
        except SourceError:
            self.close()
            raise
        return tuple(said)

    def drop(self, *, shared: bool = True) -> None:
        try:
            _, connection = find(self._address, self._schema)
        except SourceMissing:
            return
        with closing(connection), translated(self._address, "dropping our replication slot"):
            give_up = time.monotonic() + _DROP_LIMIT_S
            while (user := _user_of_slot(connection, self._name)) is not None:
                if time.monotonic() > give_up:
                    raise SourceUnreachable(f"The replication slot {self._name!r} is in use and could not be dropped.")
                connection.execute("SELECT pg_terminate_backend(%s)", (user,))
                time.sleep(0.05)
            connection.execute(_DROP_SLOT, (self._name,))
            if shared:
                connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(self._ours)))
                owners = Publication(connection, self._address, OWNERS_PUBLICATION)
                if owners.is_ours() and not connection.execute(_FOLLOWERS).fetchall():
                    owners.rest()

    def close(self) -> None:
        """Beside the connection of `withdraw`, nothing is held between uses."""
        guarding, self._guarding = self._guarding, None
        if guarding is not None:
            with suppress(psycopg.Error):
                guarding.close()

    def _catalog(self, plan: Plan, wait_s: float | None = None) -> Catalog:
        place, connection = find(self._address, plan.schema)
        try:
            with translated(self._address, "looking at its extensions"):
                if wait_s is not None:
                    connection.execute(lock_timeout(wait_s))
                postgis = postgis_schema(connection)
            return Catalog(self._address, connection, place, plan, postgis)
        except BaseException:
            connection.close()
            raise

    def _view(self, place: Place, snapshot: str, wait_s: float | None) -> Any:
        """A connection in a transaction that sees the exported snapshot."""
        connection = connect_arrow(self._address, place.database)
        try:
            with translated(self._address, "beginning an exact snapshot"), connection.cursor() as cursor:
                cursor.execute(f"SET search_path TO {quoted(place.schema)}, public")
                if wait_s is not None:
                    cursor.execute(lock_timeout(wait_s))
                begin_view(cursor, snapshot)
        except SourceData as error:  # nothing is asked for yet but the view itself
            end_view(connection)
            raise SourceUnreachable(
                "The exact view of the source ended before it was used, with the connection that held it."
            ) from error
        except BaseException:
            end_view(connection)
            raise
        return connection

    def _slot_to_make(self, catalog: Catalog) -> tuple[str, bool]:
        """The name of a slot that gives an exact view, and whether it goes with its connection: ours if nobody reads
        it, for then everything begins anew, and else one for the view alone."""
        found = catalog.slot(self._name)
        if found is not None and found[2]:
            return self._slot_beside(), True
        if found is not None:
            catalog.execute("SELECT pg_drop_replication_slot(%s)", self._name)
        return self._name, False

    def _slot_beside(self) -> str:
        return f"{self._name}_{secrets.token_hex(4)}"

    def _publish(self, catalog: Catalog) -> None:
        """Make a publication of all that can be followed, which may be nothing any more, or find the owner's."""
        ours = catalog.publication(self._ours)
        if not ours.exists() and not catalog.publishes(OWNERS_PUBLICATION):
            ours.create()
        Membership(catalog, self._publication(catalog)).adjust()

    def _publication(self, catalog: Catalog) -> str:
        return self._ours if catalog.publishes(self._ours) else OWNERS_PUBLICATION

    def _idle_slots(self, catalog: Catalog) -> int:
        """Slots in use that will make room for ours: itself, and a former one that nobody reads any more."""
        found = [catalog.slot(name) for name in (self._name, self._former) if name is not None]
        return sum(slot is not None and not slot[2] for slot in found)


def _user_of_slot(connection: Any, name: str) -> int | None:
    """The process that reads the slot."""
    row = connection.execute("SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s", (name,)).fetchone()
    found: int | None = row[0] if row else None
    return found
