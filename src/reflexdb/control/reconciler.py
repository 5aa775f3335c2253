"""The loop that makes what is so become what should be: observe every database, decide, act.

One thread looks; workers, each a thread with one database, do what takes time. All that must survive is in the
records, so the loop can be killed at any instant and the next one goes on. A table of contents: what to do is in
`decide`, how in `worker`, `actions` and `health`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from reflexdb.control.actions import Actions
from reflexdb.control.decide import Job, Known, Step, decide, goal_action
from reflexdb.control.images import Images
from reflexdb.control.origin import Origin, acting
from reflexdb.control.rooms import Rooms
from reflexdb.control.worker import INTERRUPTED, Worker
from reflexdb.model.errors import Conflict, ReflexError
from reflexdb.model.lifecycle import STABLE, Status, availability
from reflexdb.model.schedule import latest_due
from reflexdb.records import builds, databases, deployments, jobs
from reflexdb.records.rows import DatabaseRow, DeploymentRow, JobRow

log = structlog.get_logger()

_LOOK_EVERY_S = 5.0
"""How often the deployer is asked what runs when nothing is known to have changed."""

_REST_AFTER_CRASH_S = 5.0
"""A worker that crashed (a full disk) leaves an interrupted job; it is taken up again, but not in a tight loop."""


class Reconciler:
    def __init__(self, rooms: Rooms, actions: Actions, worker: Worker, images: Images, wake: threading.Event) -> None:
        self._rooms = rooms
        self._actions = actions
        self._worker = worker
        self._images = images
        self._wake = wake
        self._busy: dict[str, tuple[threading.Thread, bool]] = {}
        self._lock = threading.Lock()
        self._resting: dict[str, float] = {}
        self._looked_at = float("-inf")

    def tick(self) -> None:
        """Look at every database once and carry out what is due."""
        with self._lock:
            busy = set(self._busy) | {each for each, until in self._resting.items() if until > time.monotonic()}
        with self._rooms.store.read() as tx:
            rows = databases.everyones(tx)
            unfinished = jobs.unfinished(tx)
            serving = deployments.all_serving(tx)
        found = self._look([job for database_id, job in unfinished.items() if database_id not in busy])
        for row in rows:
            if row.id in busy:
                continue
            try:
                self._one(row, unfinished.get(row.id), serving.get(row.id), found)
            except (ReflexError, OSError):
                log.exception("reconcile_failed", database=row.id)
        if found is not None:
            self._retire_unknown(found.keys() - {row.id for row in rows})

    def busy(self) -> bool:
        with self._lock:
            return bool(self._busy)

    def _look(self, idle_jobs: list[JobRow]) -> dict[str, str] | None:
        """What the deployer runs, by database; asked now and then, and when an interrupted job needs it."""
        interrupted = any(job.owner is not None for job in idle_jobs)
        if not interrupted and time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return None
        self._looked_at = time.monotonic()
        return {each.database_id: each.deployment_id for each in self._rooms.deployer.deployed()}

    def _one(
        self, row: DatabaseRow, job: JobRow | None, serving: DeploymentRow | None, found: dict[str, str] | None
    ) -> None:
        known = self._known(row, job, serving, found)
        step = decide(known)
        if step is Step.NOTHING:
            if job is None and row.pause_schedule is not None and row.status in STABLE:
                self._follow_schedule(row, row.pause_schedule)
            return
        if step is not Step.RUN:
            log.info("reconcile", database=row.id, step=step.name.lower(), status=row.status.value)
        self._act(step, row, job, serving)

    def _known(
        self, row: DatabaseRow, job: JobRow | None, serving: DeploymentRow | None, found: dict[str, str] | None
    ) -> Known:
        return Known(
            status=row.status,
            job=self._known_job(job) if job else None,
            desired=row.desired_state,
            serving=serving.id if serving else None,
            found=found.get(row.id) if found is not None else None,
            looked=found is not None,
            has_image=self._has_image(row),
            build_slot=self._build_slot(),
        )

    def _known_job(self, job: JobRow) -> Job:
        with self._rooms.store.read() as tx:
            build = builds.by_id(tx, job.build_id) if job.build_id else None
        started = build is not None and build.status == "in_progress"
        return Job(job.owner is not None, job.attempt, started, job.deployment_id)

    def _has_image(self, row: DatabaseRow) -> bool:
        if row.desired_state is None or row.status not in STABLE:
            return False
        with self._rooms.store.read() as tx:
            return any(self._images.deployable(build) for build in builds.of_database(tx, row.id))

    def _build_slot(self) -> bool:
        with self._lock:
            building = sum(1 for _, builds_now in self._busy.values() if builds_now)
        return building < self._rooms.settings.builds_at_once

    def _act(self, step: Step, row: DatabaseRow, job: JobRow | None, serving: DeploymentRow | None) -> None:
        match step:
            case Step.RUN if job is not None:
                self._start(row, lambda: self._worker.run(job.id))
            case Step.RETRY_BUILD if job is not None:
                self._worker.retry_build(job)
                self._wake.set()
            case Step.FAIL_JOB if job is not None:
                self._worker.fail(job, "build", f"{INTERRUPTED}, twice; start it again")
            case Step.ADOPT if job is not None:
                self._worker.adopt(job)
            case Step.PURSUE:
                self._pursue(row)
            case Step.CLEAR_DESIRED:
                self._clear_desired(row)
            case Step.RETIRE_STRAY:
                self._start(row, lambda: self._rooms.deployer.retire(row.id))
            case Step.RESTORE if serving is not None:
                self._actions.restore(row, serving.build_id)
            case Step.FORGET:
                self._forget(row)

    def _start(self, row: DatabaseRow, work: Callable[[], None]) -> None:
        """Run on a thread of its own, if there is room; if not, the next tick tries again."""
        with self._lock:
            if len(self._busy) >= self._rooms.settings.workers:
                return
            thread = threading.Thread(target=self._work, args=(row.id, work), name=f"work-{row.id[:8]}", daemon=True)
            self._busy[row.id] = (thread, row.status is Status.QUEUED)
        thread.start()

    def _work(self, database_id: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("work_crashed", database=database_id)
            with self._lock:
                self._resting[database_id] = time.monotonic() + _REST_AFTER_CRASH_S
        finally:
            with self._lock:
                del self._busy[database_id]
            self._wake.set()

    def _pursue(self, row: DatabaseRow) -> None:
        assert row.desired_state is not None
        try:
            self._actions.pursue(row, goal_action(row.desired_state))
        except Conflict as exc:
            log.info("desired_state_refused", database=row.id, reason=exc.message)
            self._clear_desired(row)

    def _follow_schedule(self, row: DatabaseRow, schedule: Mapping[str, Any]) -> None:
        """Carry out the latest action that is due, where the status allows it; it counts as done either way."""
        now = self._rooms.now()
        since = row.schedule_checked_at or now
        due = latest_due(schedule, since, now)
        if due is None and since <= now:
            return
        if due is not None and availability(row.status, due, has_image=False).allowed:
            log.info("schedule", database=row.id, due=due.value)
            with acting(Origin("schedule")):
                self._actions.pursue(row, due)
        with self._rooms.store.write() as tx:  # also where the clock was set back, or nothing would be due until then
            databases.note_schedule_checked(tx, row.id, now)

    def _clear_desired(self, row: DatabaseRow) -> None:
        with self._rooms.store.write() as tx:
            if databases.by_id(tx, row.id).desired_state is row.desired_state:
                databases.change(tx, row.id, self._rooms.now(), desired_state=None)

    def _forget(self, row: DatabaseRow) -> None:
        with self._rooms.store.write() as tx:
            if jobs.of_database(tx, row.id) is None:
                deployments.retire_others(tx, row.id, self._rooms.now())

    def _retire_unknown(self, database_ids: set[str]) -> None:
        """Instances of deleted databases."""
        for database_id in database_ids:
            log.warning("stray_instance_retired", database=database_id)
            self._rooms.deployer.retire(database_id)
