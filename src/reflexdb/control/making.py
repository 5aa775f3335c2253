"""The making of a job's image: the source's schema read, the builder called, and what it says written down as it goes.

Used by the worker, on its thread; also ends a build at a service that nobody waits for any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from reflexdb.build.base import BuildRequest, BuildResult, Log, Service, Stoppable
from reflexdb.build.plan import make_plan
from reflexdb.control.cancel import refuse_cancelled
from reflexdb.control.connections import source_address
from reflexdb.control.journal import Journal
from reflexdb.control.rooms import Rooms
from reflexdb.control.serving import Serving
from reflexdb.control.smoking import smoke_of
from reflexdb.control.supervised import Supervised
from reflexdb.model.config import parse_config
from reflexdb.model.errors import BreakingChange, InvalidConfig, InvalidSchema, ReflexError
from reflexdb.model.lifecycle import Action
from reflexdb.model.not_served import MAX_KEPT, NotServed, in_order
from reflexdb.model.schema import SourceSchema
from reflexdb.model.vanished import told, vanished
from reflexdb.records import builds, connections, databases
from reflexdb.records.rows import ConnectionRow, DatabaseRow, JobRow
from reflexdb.sources.apart import Introspect
from reflexdb.sources.base import SourceAddress

log = structlog.get_logger()

_MAX_URL_CHARS = 1_000
"""The records keep it in an index; a longer address is left out."""


class Making:
    def __init__(self, rooms: Rooms, journal: Journal) -> None:
        self._rooms = rooms
        self._journal = journal
        self._serving = Serving(rooms)

    def image(self, job: JobRow, note: Log) -> BuildResult:
        """Raises BuildCancelled, and whatever the source and the builder raise."""
        assert job.build_id is not None
        build_id, limits = job.build_id, Supervised(self._rooms, job)
        with self._journal.phase(build_id, "introspect"):
            schema = self._introspect(job, note, limits)
        with self._rooms.store.write() as tx:
            refuse_cancelled(tx, job)
            row = databases.by_id(tx, job.database_id)
            builds.change(tx, build_id, source_version=schema.server_version)
        note(f"build: {len(schema.tables)} tables and views of {schema.server_version}")
        self._note_not_served(job, row, schema, note)
        request = BuildRequest(
            schema,
            row.config_text,
            smoke_of(self._rooms, build_id, lambda: self._address(job), limits.check_asking),
            row.build_compute_override,
            self._begun(build_id),
        )
        result = self._rooms.builder.build(
            request,
            note,
            lambda name, seconds, failed: self._journal.passed(build_id, name, seconds, failed),
            limits.check,
        )
        reused = ", the same as an earlier build's" if result.image.reused else ""
        note(f"built: image {result.image.digest}, {result.image.size_bytes} bytes{reused}")
        return result

    def abandon(self, build_id: str) -> None:
        """Whoever waited for this build is gone: it is ended where it runs, too, as far as that can be done."""
        builder = self._rooms.builder
        if not isinstance(builder, Stoppable):
            return
        with self._rooms.store.read() as tx:
            build = builds.by_id(tx, build_id)
        if build.service_id is None:
            return
        try:
            builder.stop(build.service_id)
        except ReflexError as exc:
            log.warning("service_build_not_stopped", build=build.id, service_id=build.service_id, error=exc.message)

    def _note_not_served(self, job: JobRow, row: DatabaseRow, schema: SourceSchema, note: Log) -> None:
        """Into the build's record. Raises BreakingChange where what serves has more, and nobody asked for less."""
        gone: tuple[NotServed, ...] = ()
        try:
            plan = make_plan(schema, None if row.config_text is None else parse_config(row.config_text)).plan
        except (InvalidConfig, InvalidSchema):  # the builder says so, in its own pass
            entries = in_order(schema.not_served)
        else:
            served = self._serving.plan(row.id) if job.action == Action.REBUILD.value else None
            gone = vanished(served, plan, schema) if served is not None else ()
            entries = in_order([*plan.not_served, *gone])
        assert job.build_id is not None
        kept = [entry.to_json() for entry in entries[:MAX_KEPT]]
        with self._rooms.store.write() as tx:
            builds.change(tx, job.build_id, not_served=kept, not_served_total=len(entries))
        for entry in gone:
            note(f"plan: was served, and is no longer: {entry.line()}")
        if gone and not job.allow_breaking:
            raise BreakingChange(refusal(gone))

    def _begun(self, build_id: str) -> Callable[[Service], None]:
        def begun(service: Service) -> None:
            url = service.logs_url
            kept = url if url is not None and len(url) <= _MAX_URL_CHARS else None
            with self._rooms.store.write() as tx:
                builds.change(tx, build_id, service_id=service.id, logs_url=kept)

        return begun

    def _introspect(self, job: JobRow, note: Log, limits: Supervised) -> SourceSchema:
        row, _ = subject_of(self._rooms, job)
        note(f"introspect: schema {row.schema_name}")
        return self._rooms.asking.ask(Introspect(self._address(job), row.schema_name), limits.check_asking)

    def _address(self, job: JobRow) -> SourceAddress:
        _, connection = subject_of(self._rooms, job)
        return source_address(self._rooms, connection)


def refusal(gone: Sequence[NotServed]) -> str:
    """Why a rebuild is refused, and what to do."""
    lost = told(gone).rstrip(".")
    return (
        f"The rebuild would no longer serve what is served now: {lost}. What serves is left as it is. Rebuild "
        "again once that is mended; or ask for it: `reflexdb rebuild --allow-breaking`, allowBreaking=true in the API."
    )


def subject_of(rooms: Rooms, job: JobRow) -> tuple[DatabaseRow, ConnectionRow]:
    """A job's database and the connection to its source, as they are now."""
    with rooms.store.read() as tx:
        row = databases.by_id(tx, job.database_id)
        return row, connections.by_id(tx, row.connection_id)
