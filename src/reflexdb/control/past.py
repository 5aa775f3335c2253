"""What has happened to a database: its builds, one build with everything known of it, and its deployments.

Asked by the API alone. Everything is read from the records, the image store and the build's log; nothing is decided,
and nothing written. A part that was not kept when it happened is None, never made up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from reflexdb.build.base import Signature
from reflexdb.control.build_log import log_path
from reflexdb.control.databases import found
from reflexdb.control.images import Images
from reflexdb.control.rooms import Rooms, canonical_id
from reflexdb.model.errors import NotFound, ReflexError
from reflexdb.model.lifecycle import Action
from reflexdb.records import builds, deployments, jobs
from reflexdb.records.builds import BuildFilter, Listed
from reflexdb.records.jobs import JobFilter
from reflexdb.records.rows import BuildRow, DeploymentRow, JobRow

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
    tables: tuple[str, ...]
    log_tail: tuple[str, ...]
    """The last lines of a failed build's log."""
    signature: Signature | None
    """Of the image, by a key that is trusted."""

    @property
    def rows(self) -> Mapping[str, int]:
        return self.deployment.row_counts if self.deployment else {}


class Past:
    def __init__(self, rooms: Rooms, images: Images) -> None:
        self._rooms = rooms
        self._images = images

    def builds(
        self,
        customer_id: str,
        database_id: str,
        wanted: BuildFilter | None = None,
        *,
        deployable: bool | None = None,
        limit: int | None = None,
    ) -> History:
        """The builds that fit, newest first; all of them where nothing is said."""
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            enough = limit + 1 if limit is not None and deployable is None else None
            rows = builds.history(tx, row.id, wanted or BuildFilter(), enough)
            serving = deployments.serving(tx, row.id)
        usable = self._usable(rows)
        page = [(build, build.image_digest in usable and build.status == "succeeded") for build in rows]
        if deployable is not None:
            page = [each for each in page if each[1] is deployable]
        more = limit is not None and len(page) > limit
        return History(row.id, page[:limit], serving.build_id if serving else None, more)

    def _usable(self, rows: list[Listed]) -> set[str | None]:
        """The images of these builds that can be deployed; each is looked at once, however many builds made it."""
        made = {each.image_digest for each in rows if each.status == "succeeded" and each.image_digest is not None}
        return {digest for digest in made if self._images.usable(digest)}

    def build(self, customer_id: str, database_id: str, build_id: str) -> BuildDetail:
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            build = builds.get(tx, row.id, canonical_id(build_id, "build"))
            deployment = deployments.last_of_build(tx, build.id) if build else None
        if build is None:
            raise NotFound("This database has no build with this id")
        return BuildDetail(
            row=build,
            why_not_deployable=self._images.why_not(build),
            deployment=deployment,
            tables=self._tables(build),
            log_tail=self._log_tail(build) if build.status == "failed" else (),
            signature=self._rooms.images.signature(build.image_digest) if build.image_digest else None,
        )

    def deployments(
        self, customer_id: str, database_id: str, wanted: JobFilter, *, limit: int
    ) -> tuple[list[JobRow], bool]:
        """The jobs that put an instance in place, newest first, and whether there are older ones."""
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            page = jobs.deploying(tx, row.id, DEPLOYING, wanted, limit=limit + 1)
        return page[:limit], len(page) > limit

    def _tables(self, build: BuildRow) -> tuple[str, ...]:
        """The names of the image's tables; none where it can't be read any more."""
        if build.image_digest is None:
            return ()
        try:
            return tuple(table.name for table in self._rooms.images.plan(build.image_digest).tables)
        except ReflexError:
            return ()

    def _log_tail(self, build: BuildRow) -> tuple[str, ...]:
        try:
            with log_path(self._rooms.data_dir, build.id).open(encoding="utf-8", errors="replace") as file:
                return tuple(line.rstrip("\n") for line in deque(file, LOG_TAIL_LINES))
        except FileNotFoundError:
            return ()
