"""What has happened to a database: its builds, one build with everything known of it, and its deployments.

Asked by the API alone. Everything is read from the records, the image store and the build's log; nothing is decided,
and nothing written. A part that was not kept when it happened is None, never made up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection as Tx

from reflexdb.build.base import Signature
from reflexdb.control.build_log import log_path
from reflexdb.control.databases import found
from reflexdb.control.histories import Histories, Show, images_of, is_deployable
from reflexdb.control.images import Images
from reflexdb.control.queue import expected_start, in_turn
from reflexdb.control.rooms import Rooms, canonical_id
from reflexdb.model.errors import NotFound, ReflexError
from reflexdb.model.lifecycle import Action, Status
from reflexdb.records import builds, databases, deployments, jobs, leases, rollouts
from reflexdb.records.builds import BuildFilter, Listed
from reflexdb.records.jobs import JobFilter
from reflexdb.records.rows import BuildRow, DeploymentRow, JobRow, RolloutRow

LOG_TAIL_LINES = 20
DEPLOYING = (
    Action.PROVISION,
    Action.REBUILD,
    Action.REDEPLOY,
    Action.RECONFIGURE,
    Action.RESIZE,
    Action.RESUME,
)
"""The actions that put an instance in place."""


@dataclass(frozen=True, slots=True)
class History:
    """A database's builds, newest first, each with whether it can be deployed; and the build that serves now."""

    database_id: str
    builds: list[tuple[Listed, bool]]
    active_build_id: str | None
    more: bool = False
    """There are older ones that fit, beyond the limit."""


@dataclass(frozen=True, slots=True)
class BuildDetail:
    row: BuildRow
    why_not_deployable: str | None
    deployment: DeploymentRow | None
    """The newest that served it: where the numbers of rows come from."""
    queue_position: int | None
    """1 is next; None where it does not wait for a place."""
    expected_start: datetime | None
    """When it is likely to be begun; None where it does not wait, or nothing is known of how long builds take."""
    tables: tuple[str, ...]
    log_tail: tuple[str, ...]
    """The last lines of a failed build's log."""
    signature: Signature | None
    """Of the image, by a key that is trusted."""

    smoked: BuildRow | None
    """The build of this image in which its server was tried out: this one, or an earlier one whose image is reused."""

    @property
    def rows(self) -> Mapping[str, int]:
        return self.deployment.row_counts if self.deployment else {}

    @property
    def bytes(self) -> Mapping[str, int]:
        return (self.deployment.table_bytes if self.deployment else None) or {}


class Past:
    def __init__(self, rooms: Rooms, images: Images) -> None:
        self._rooms = rooms
        self._images = images
        self._histories = Histories(images)

    def all_builds(self, customer_id: str, database_id: str, show: Show) -> tuple[bytes, str | None]:
        """What `show` makes of all builds, newest first; and the build that serves now."""
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            shown = self._histories.of(tx, row.id, show)
            serving = deployments.serving(tx, row.id)
        return shown, serving.build_id if serving else None

    def builds(
        self,
        customer_id: str,
        database_id: str,
        wanted: BuildFilter,
        *,
        deployable: bool | None = None,
        limit: int | None = None,
    ) -> History:
        """The builds that fit, newest first."""
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            enough = limit + 1 if limit is not None and deployable is None else None
            rows = builds.history(tx, row.id, wanted, enough)
            serving = deployments.serving(tx, row.id)
        usable = {image: self._images.usable(image) for image in images_of(rows)}
        page = [(build, is_deployable(build, usable)) for build in rows]
        if deployable is not None:
            page = [each for each in page if each[1] is deployable]
        more = limit is not None and len(page) > limit
        return History(row.id, page[:limit], serving.build_id if serving else None, more)

    def build(self, customer_id: str, database_id: str, build_id: str) -> BuildDetail:
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            build = builds.get(tx, row.id, canonical_id(build_id, "build"))
            deployment = deployments.last_of_build(tx, build.id) if build else None
            smoked = _smoked(tx, build) if build else None
            queue_position = _queue_position(tx, row.id) if build and build.status == "queued" else None
            expected = self._expected_start(tx, queue_position) if queue_position else None
        if build is None:
            raise NotFound("This database has no build with this id")
        return BuildDetail(
            row=build,
            why_not_deployable=self._images.why_not(build),
            deployment=deployment,
            tables=self._tables(build, deployment),
            queue_position=queue_position,
            smoked=smoked,
            expected_start=expected,
            log_tail=self._log_tail(build) if build.status == "failed" else (),
            signature=self._rooms.images.signature(build.image_digest) if build.image_digest else None,
        )

    def deployments(
        self, customer_id: str, database_id: str, wanted: JobFilter, *, limit: int
    ) -> tuple[list[tuple[JobRow, RolloutRow | None]], bool]:
        """The jobs that put an instance in place, newest first, each with how it goes or went step by step; and whether
        there are older ones."""
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            page = jobs.deploying(tx, row.id, DEPLOYING, wanted, limit=limit + 1)
            rolling = rollouts.of_jobs(tx, [job.id for job in page])
        return [(job, rolling.get(job.id)) for job in page[:limit]], len(page) > limit

    def _expected_start(self, tx: Tx, position: int) -> datetime | None:
        """By what builds took lately, on all the control planes that share the work."""
        typical = builds.typical_seconds(tx)
        if typical is None:
            return None
        planes = len(leases.all_planes(tx)) or 1
        slots, now = planes * self._rooms.settings.builds.at_once, self._rooms.now()
        return expected_start(position, builds.under_way(tx), slots, timedelta(seconds=typical), now)

    def _tables(self, build: BuildRow, deployment: DeploymentRow | None) -> tuple[str, ...]:
        """The names of the image's tables; where it can't be read any more, of those that were seen when it served."""
        if build.image_digest is None:
            return ()
        try:
            return tuple(table.name for table in self._rooms.images.plan(build.image_digest).tables)
        except ReflexError:
            return tuple(deployment.row_counts) if deployment else ()

    def _log_tail(self, build: BuildRow) -> tuple[str, ...]:
        try:
            with log_path(self._rooms.data_dir, build.id).open(encoding="utf-8", errors="replace") as file:
                return tuple(line.rstrip("\n") for line in deque(file, LOG_TAIL_LINES))
        except FileNotFoundError:
            return ()


def _smoked(tx: Tx, build: BuildRow) -> BuildRow | None:
    if build.smoke_tests is not None or build.image_digest is None:
        return build if build.smoke_tests is not None else None
    return builds.smoked(tx, build.database_id, build.image_digest)


def _queue_position(tx: Tx, database_id: str) -> int | None:
    """Where the database's build is among all that wait for a place, whoever asked for them."""
    unfinished = jobs.unfinished(tx)
    turns = [row.id for row in in_turn(databases.these(tx, unfinished), unfinished) if row.status is Status.QUEUED]
    return turns.index(database_id) + 1 if database_id in turns else None
