"""How an instance follows its source: chosen when it is deployed, and what that left at the source removed afterwards.

A source whose changes can be followed is followed, unless the connection asks for `poll`. Whatever stands in the way
goes into the build's log in words a person can act on; where the connection names the way itself, it is an error. A
slot at the source outlives the instance that read it and keeps the source's log for ever, so each is written down
before it can exist and forgotten only when it is gone. One that a paused database goes on from later is kept for a
while, and not at any price.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from reflexdb.control.rooms import Rooms
from reflexdb.control.wanted import AUTO, address
from reflexdb.model.errors import DeployFailed, ReflexError, SourceError
from reflexdb.model.lifecycle import Status
from reflexdb.model.plan import Plan
from reflexdb.records import builds, databases, deployments
from reflexdb.records.rows import DeploymentRow
from reflexdb.sources.apart import Drop, Following, KeptBytes, Preflight, Succeed
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import Follower, FollowOptions
from reflexdb.sources.registry import FOLLOWED

log = structlog.get_logger()

POLL = "poll"
PAUSED_FOR = timedelta(days=1)
"""So long a paused database's place in its source's log is kept there; afterwards a resume reads everything."""
SILENT_FOR_S = 30.0
"""A source that does not answer keeps the others waiting no more often than this."""
PAUSED_BYTES_MAX = 10 << 30
"""Or until the source keeps so much of its log for it."""
_MAY_RESUME = frozenset(
    {
        Status.PAUSING,
        Status.PAUSED,
        Status.RESUMING,
        Status.TESTING_CONNECTION,
        Status.QUEUED,
        Status.BUILDING,
        Status.DEPLOYING,
    }
)
"""Of a database of which nothing runs: the last deployment may be succeeded by another one."""


def options_for(deployment_id: str, server_id: int | None) -> FollowOptions:
    """How a deployment's follower presents itself; `server_id` is the database's own, where one was chosen."""
    digest = hashlib.sha256(deployment_id.encode()).digest()
    derived = int.from_bytes(digest[:4], "big") | 1 << 31
    return FollowOptions(f"reflexdb_{deployment_id.replace('-', '')}", server_id or derived)


def publication_of(row: DeploymentRow) -> str:
    """What a deployment's follower calls what it shares."""
    return row.capture_publication or options_for(row.id, None).name


class Capture:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._guards: dict[str, Follower] = {}
        """By deployment, what withdraws."""
        self._silent: dict[str, float] = {}
        """By deployment: until when its source, which did not answer, is not asked again."""

    def succeeding(self, options: FollowOptions, database_id: str, plan: Plan, source: SourceAddress) -> FollowOptions:
        """The options of a follower that goes on from where the database's last deployment is, where that had the same
        plan and source."""
        with self._rooms.store.read() as tx:
            former = deployments.last_served(tx, database_id)
            build = None if former is None else builds.by_id(tx, former.build_id)
        if former is None or build is None or build.image_digest is None or former.capture_schema != plan.schema:
            return options
        had = address(former.settings, "")
        if (had.backend, had.host, had.port) != (source.backend, source.host, source.port):
            return options
        try:
            alike = self._rooms.images.plan(build.image_digest).fingerprint() == plan.fingerprint()
        except ReflexError:  # its image is gone
            return options
        name = options_for(former.id, None).name
        return replace(options, former=name, publication=publication_of(former)) if alike else options

    def succeed(
        self,
        mode: str,
        plan: Plan,
        source: SourceAddress,
        options: FollowOptions,
        note: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        """Take the former deployment's place at the source, if there is one; otherwise everything is read."""
        if mode == POLL or options.former is None or source.backend not in FOLLOWED:
            return
        try:
            self._rooms.asking.ask(Succeed(Following(source, plan.schema, options)), check)
        except SourceError as exc:
            note(f"sync: the former deployment's place in the log is not to be had, so all is read: {exc.message}")

    def choose(
        self,
        wanted: str,
        plan: Plan,
        source: SourceAddress,
        options: FollowOptions,
        note: Callable[[str], None],
        check: Callable[[], None],
    ) -> str:
        """The mode to run with. Raises DeployFailed where `wanted` names one that is not possible."""
        if wanted == POLL or source.backend not in FOLLOWED:
            return POLL
        try:
            found = self._rooms.asking.ask(Preflight(Following(source, plan.schema, options), plan), check)
        except SourceError as exc:
            if wanted != AUTO:
                raise
            issues: tuple[str, ...] = (exc.message,)
        else:
            if not found.issues:
                note(f"sync: following the source ({found.mode})")
                for warning in found.warnings:
                    note(f"sync: {warning}")
                return found.mode
            issues = found.issues
        if wanted != AUTO:
            raise DeployFailed("preflight", f"syncMode {wanted} is not possible: {' '.join(issues)}")
        note("sync: the source can't be followed, so it is polled:")
        for issue in issues:
            note(f"sync: {issue}")
        return POLL

    def release(self, database_id: str | None = None) -> None:
        """Remove from the sources what retired deployments left there; of every database where none is named."""
        with self._rooms.store.read() as tx:
            left = deployments.unreleased(tx, database_id)
        for row in left:
            try:
                if not self._is_kept(row):
                    self._release(row)
            except (ReflexError, OSError) as exc:
                log.warning("capture_not_released", database=row.database_id, deployment=row.id, reason=str(exc))

    def withdraw(self) -> None:
        """Take back, for deployments that run no more, what would make their sources refuse statements. Used by one
        thread."""
        with self._rooms.store.read() as tx:
            left = {row.id: row for row in deployments.unreleased(tx)}
        for ended in self._guards.keys() - left.keys():
            self._guards.pop(ended).close()
        self._silent = {known: until for known, until in self._silent.items() if known in left}
        for row in left.values():
            if self._silent.get(row.id, 0.0) < time.monotonic():
                self._withdraw(row)

    def _withdraw(self, row: DeploymentRow) -> None:
        """In this process and with a connection that is kept: it is asked too often for a process of its own."""
        following = self._following_of(row)
        if following is None:
            return
        follower = self._guards.pop(row.id, None) or following.follower()
        try:
            for sentence in follower.withdraw():
                log.warning("table_withdrawn", database=row.database_id, deployment=row.id, reason=sentence)
        except (ReflexError, OSError) as exc:
            self._silent[row.id] = time.monotonic() + SILENT_FOR_S
            log.debug("source_not_guarded", database=row.database_id, deployment=row.id, reason=str(exc))
            follower.close()
        else:
            self._guards[row.id] = follower

    def _is_kept(self, row: DeploymentRow) -> bool:
        """Whether a later deployment may go on from where this one, which is retired, was."""
        with self._rooms.store.read() as tx:
            database = databases.by_id(tx, row.database_id)
            last = deployments.last_served(tx, row.database_id)
        if last is None or last.id != row.id or database.status not in _MAY_RESUME:
            return False
        if row.retired_at is None or self._rooms.now() - row.retired_at > PAUSED_FOR:
            return False
        following = self._following_of(row)
        if following is None:
            return False
        try:
            return self._rooms.asking.ask(KeptBytes(following)) <= PAUSED_BYTES_MAX
        except SourceError:  # nor could it be dropped
            return True

    def _following_of(self, row: DeploymentRow) -> Following | None:
        ref = row.password_ref
        password = self._rooms.secrets.get(ref).decode() if ref else ""
        assert row.capture_schema is not None
        options = replace(options_for(row.id, None), publication=publication_of(row))
        source = address(row.settings, password)
        return Following(source, row.capture_schema, options) if source.backend in FOLLOWED else None

    def _release(self, row: DeploymentRow) -> None:
        following = self._following_of(row)
        if following is not None:
            with self._rooms.store.read() as tx:
                others = [other for other in deployments.captured(tx, row.database_id) if other.id != row.id]
            is_shared = publication_of(row) in map(publication_of, others)
            self._rooms.asking.ask(Drop(following, shared=not is_shared))
        with self._rooms.store.write() as tx:
            deployments.change(tx, row.id, self._rooms.now(), capture_schema=None)
