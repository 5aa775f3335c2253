"""Asking for something to happen to a database:

checked against the lifecycle table, written down, and left to the reconciler.

Everything an action decides is written in one transaction that holds the write lock: of two that race, the second
sees what the first did. The few actions that an instance carries out at once (reload, pausing its sync) are passed on
directly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control import limits
from reflexdb.control.audit import note
from reflexdb.control.comparing import Comparing
from reflexdb.control.conditions import must_hold
from reflexdb.control.databases import database_view, found
from reflexdb.control.images import Images
from reflexdb.control.origin import origin
from reflexdb.control.rooms import Rooms, canonical_id, new_id
from reflexdb.model.errors import Conflict, InstanceUnreachable, NotFound, PlanConflict
from reflexdb.model.lifecycle import (
    ALLOWED,
    GOALS,
    Action,
    Availability,
    Event,
    Rule,
    Status,
    advance,
    availability,
)
from reflexdb.records import builds, databases, deployments, jobs
from reflexdb.records.rows import BuildRow, DatabaseRow

_EVENTS = {
    Action.PROVISION: Event.PROVISION,
    Action.REBUILD: Event.REBUILD,
    Action.REDEPLOY: Event.DEPLOY,
    Action.RECONFIGURE: Event.DEPLOY,
    Action.RESIZE: Event.DEPLOY,
    Action.PAUSE: Event.PAUSE,
    Action.RESUME: Event.RESUME,
    Action.TERMINATE: Event.TERMINATE,
}
RESTORE = "restore"
"""The kind of a redeploy that nobody asked for: the instance was gone."""

_AUDITED = ("status", "desired_state", "instance_size")
Steps = tuple[tuple[int, float], ...]
"""Shares of the new connections in thousandths, each with its seconds."""
_BUILDS = (Action.PROVISION, Action.REBUILD)
_DEPLOYS_WHAT_SERVED = (Action.RECONFIGURE, Action.RESIZE, Action.RESUME)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An action that was carried out, started or queued; `status` is the database's, as published."""

    status: str
    queued: bool = False
    build_id: str | None = None


class Actions:
    def __init__(self, rooms: Rooms, images: Images, wake: Callable[[], None]) -> None:
        self._rooms = rooms
        self._images = images
        self._comparing = Comparing(rooms)
        self._wake = wake

    def available(self, row: DatabaseRow) -> dict[Action, Availability]:
        """What may be asked of the database now, for every action."""
        has_image = self._has_image(row)
        return {action: availability(row.status, action, has_image=has_image) for action in Action}

    def request(
        self,
        customer_id: str,
        database_id: str,
        action: Action,
        steps: Steps | None = None,
        *,
        allow_breaking: bool = False,
    ) -> Accepted:
        """Provision, rebuild, reconfigure, pause, resume or terminate. Raises Conflict with the reason. `steps`: in
        which a rebuild's new instance takes over; `allow_breaking`: it may serve less than what serves now."""
        return self._begin(customer_id, database_id, action, None, steps=steps, allow_breaking=allow_breaking)

    def redeploy(self, customer_id: str, database_id: str, build_id: str, steps: Steps | None = None) -> Accepted:
        with self._rooms.store.read() as tx:
            row = self._meant(tx, customer_id, database_id)
            build = builds.get(tx, row.id, canonical_id(build_id, "build"))
        if build is None:
            raise NotFound("This database has no build with this buildId")
        self._check(row, Action.REDEPLOY, has_image=True)
        if build.image_digest is None:
            raise Conflict(f"Build {build.id} has no image: its status is {build.status}; choose a deployable build")
        why_not = self._images.refusal_at_last(build.image_digest)
        if why_not is not None:
            raise Conflict(f"Build {build.id} can't be deployed; choose another build, or rebuild. {why_not}")
        misfit = self._comparing.misfit(row, build.image_digest)
        if misfit is not None:
            raise Conflict(f"Build #{build.number} can't be deployed: {misfit}. Rebuild, or choose a build that fits")
        return self._begin(customer_id, database_id, Action.REDEPLOY, build, steps=steps)

    def resize(self, customer_id: str, database_id: str, size: str) -> Accepted:
        """Store the size; where an instance runs, deploy it again with the new one."""
        return self._begin(customer_id, database_id, Action.RESIZE, None, instance_size=size)

    def delete(self, customer_id: str, database_id: str) -> None:
        with self._rooms.store.write() as tx:
            row = self._meant(tx, customer_id, database_id)
            self._check(row, Action.DELETE)
            now = self._rooms.now()
            databases.change(tx, row.id, now, deleted_at=now)
            note(tx, now, customer_id, "database.delete", row.id, before=asdict(row))

    def reload(self, customer_id: str, database_id: str) -> Accepted:
        row = self._at_once(customer_id, database_id, Action.RELOAD, self._rooms.deployer.reload)
        return Accepted(row.status.published)

    def pause_sync(self, customer_id: str, database_id: str) -> None:
        self._at_once(customer_id, database_id, Action.PAUSE_SYNC, self._rooms.deployer.pause_sync)

    def resume_sync(self, customer_id: str, database_id: str) -> None:
        self._at_once(customer_id, database_id, Action.RESUME_SYNC, self._rooms.deployer.resume_sync)

    def pursue(self, row: DatabaseRow, action: Action) -> None:
        """Start the action that a queued desired state asks for. Raises Conflict where it is no longer possible."""
        self._begin(row.customer_id, row.id, action, None, desired_state=None)

    def restore(self, row: DatabaseRow, build_id: str) -> None:
        """Deploy a running database's build again, because its instance is gone."""
        with self._rooms.store.write() as tx:
            row = databases.by_id(tx, row.id)
            if row.status is Status.RUNNING and jobs.of_database(tx, row.id) is None:
                self._write(tx, row, Action.REDEPLOY, build_id, {}, kind=RESTORE)
                self._tell(tx, row, RESTORE, build_id)
        self._wake()

    def _begin(
        self,
        customer_id: str,
        database_id: str,
        action: Action,
        build: BuildRow | None,
        *,
        steps: Steps | None = None,
        allow_breaking: bool = False,
        **changes: Any,
    ) -> Accepted:
        with self._rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
        has_image = action is Action.REDEPLOY or self._has_image(row)
        with self._rooms.store.write() as tx:
            row = self._meant(tx, customer_id, database_id)
            allowed = availability(row.status, action, has_image=has_image)
            if not allowed.allowed:
                raise Conflict(allowed.reason or "")
            if build is not None and not self._images.deployable(build):  # removed since it was looked at
                raise Conflict(f"Build #{build.number} can't be deployed: {self._images.why_not(build)}")
            if steps is not None and row.status is not Status.RUNNING:
                raise Conflict(f"A canary needs an instance that serves beside it; the database is {row.status.value}")
            accepted = self._accept(tx, row, action, build, changes, queued=allowed.queued)
            how: dict[str, Any] = {} if steps is None else {"steps": [list(step) for step in steps]}
            how |= {"allow_breaking": True} if allow_breaking else {}
            if how and (job := jobs.of_database(tx, row.id)) is not None:
                jobs.change(tx, job.id, **how)
            self._tell(tx, row, action.value, accepted.build_id or (build.id if build else None))
        self._wake()
        return accepted

    def _accept(
        self, tx: Tx, row: DatabaseRow, action: Action, build: BuildRow | None, changes: dict[str, Any], *, queued: bool
    ) -> Accepted:
        now = self._rooms.now()
        if "instance_size" in changes:
            limits.check_size(self._rooms, tx, row.customer_id, changes["instance_size"], PlanConflict)
        if queued:
            databases.change(tx, row.id, now, **(changes | {"desired_state": GOALS[action].value}))
            return Accepted(row.status.published, queued=True)
        if action is Action.RESIZE and row.status is not Status.RUNNING:
            # Nothing to start: a deployment under way compares the size with its own before it ends.
            databases.change(tx, row.id, now, **changes)
            return Accepted(row.status.published)
        return self._write(tx, row, action, build.id if build else self._build_for(tx, row, action), changes)

    def _write(
        self,
        tx: Tx,
        row: DatabaseRow,
        action: Action,
        build_id: str | None,
        changes: dict[str, Any],
        *,
        kind: str | None = None,
    ) -> Accepted:
        now, status = self._rooms.now(), advance(row.status, _EVENTS[action])
        who, serving = origin().stamp(), deployments.serving(tx, row.id)
        if build_id is None and action in _BUILDS:
            build_id = new_id()
            builds.add(tx, id=build_id, database_id=row.id, status="queued", created_at=now, **who)
            limits.charge_build(self._rooms, tx, row, build_id, first=action is Action.PROVISION)
        databases.change(tx, row.id, now, status=status.value, last_error=None, **changes)
        jobs.add(
            tx,
            id=new_id(),
            database_id=row.id,
            action=action.value,
            kind=kind or action.value,
            build_id=build_id,
            from_build_id=serving.build_id if serving else None,
            from_status=row.status.value,
            created_at=now,
            request_id=origin().request_id,
            traceparent=self._rooms.watcher.cause(),
            **who,
        )
        return Accepted(status.published, build_id=build_id if action in _BUILDS else None)

    def _build_for(self, tx: Tx, row: DatabaseRow, action: Action) -> str | None:
        if action not in _DEPLOYS_WHAT_SERVED:
            return None
        last = deployments.last_served(tx, row.id)
        if last is not None:
            return last.build_id
        newest = builds.newest_with_image(tx, row.id)
        if newest is None:
            raise Conflict(f"{action.value} needs an earlier successful build, and there is none")
        return newest

    def _at_once(self, customer_id: str, database_id: str, action: Action, order: Callable[[str], None]) -> DatabaseRow:
        with self._rooms.store.read() as tx:
            row = self._meant(tx, customer_id, database_id)
        self._check(row, action)
        try:
            order(row.id)
        except InstanceUnreachable as exc:
            raise Conflict(f"The instance does not answer, so {action.value} could not be done: {exc.message}") from exc
        with self._rooms.store.write() as tx:
            self._tell(tx, row, action.value, None)
        return row

    def _meant(self, tx: Tx, customer_id: str, database_id: str) -> DatabaseRow:
        """The database, as the caller last saw it where the caller says so. Raises NotFound and PreconditionFailed."""
        row = found(tx, customer_id, database_id)
        must_hold(lambda: database_view(self._rooms, tx, row))
        return row

    def _tell(self, tx: Tx, before: DatabaseRow, done: str, build_id: str | None) -> None:
        """Put an accepted action into the audit, with what it changed of the record, and the build it is about."""
        after = databases.by_id(tx, before.id)
        names = [name for name in _AUDITED if getattr(before, name) != getattr(after, name)]
        changed = {name: getattr(after, name) for name in names} | ({"build_id": build_id} if build_id else {})
        was = {name: getattr(before, name) for name in names}
        note(tx, self._rooms.now(), before.customer_id, f"database.{done}", before.id, before=was, after=changed)

    def _check(self, row: DatabaseRow, action: Action, *, has_image: bool | None = None) -> None:
        """`has_image` where the caller knows of one, or will look at it by itself."""
        needs_image = ALLOWED[row.status].get(action) is Rule.NEEDS_IMAGE
        has_image = (not needs_image or self._has_image(row)) if has_image is None else has_image
        allowed = availability(row.status, action, has_image=has_image)
        if not allowed.allowed:
            raise Conflict(allowed.reason or "")

    def _has_image(self, row: DatabaseRow) -> bool:
        if Rule.NEEDS_IMAGE not in ALLOWED[row.status].values():
            return False
        with self._rooms.store.read() as tx:
            made = builds.images(tx, row.id)
        return any(map(self._images.usable, made))
