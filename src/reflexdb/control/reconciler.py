"""The loop that makes what is so become what should be: observe every database, decide, act.

One thread looks; workers, each a thread with one database, do what takes time. All that must survive is in the
records, so the loop can be killed at any instant and the next one goes on. A table of contents: what to do is in
`decide`, how in `worker`, `actions` and `health`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from reflexdb.control.actions import Actions
from reflexdb.control.decide import Job, Known, Step, decide, goal_action
from reflexdb.control.images import Images
from reflexdb.control.leases import Leases
from reflexdb.control.origin import Origin, acting
from reflexdb.control.queue import in_turn
from reflexdb.control.rooms import Rooms
from reflexdb.control.share import Share
from reflexdb.control.worker import INTERRUPTED, Worker
from reflexdb.model.errors import Conflict, ReflexError
from reflexdb.model.lifecycle import STABLE, Status, availability
from reflexdb.model.schedule import latest_due
from reflexdb.records import builds, databases, deployments, jobs, rollouts
from reflexdb.records.rows import DatabaseRow, DeploymentRow, JobRow, RolloutRow
from reflexdb.records.store import background, patience

log = structlog.get_logger()

_LOOK_EVERY_S = 5.0
"""How often the deployer is asked what runs when nothing is known to have changed."""

PATIENCE_S = 120.0
"""How long work at hand waits for records that are away, before it is given up and begun again later."""

_REST_AFTER_CRASH_S = 5.0
"""A worker that crashed (a full disk) leaves an interrupted job; it is taken up again, but not in a tight loop."""


@dataclass(frozen=True, slots=True)
class _Due:
    """The databases that something may have to be done about, in one look at the records."""

    rows: list[DatabaseRow]
    serving: dict[str, DeploymentRow]
    rolling: dict[str, RolloutRow]
    known: set[str]
    """Those of the ones that run that are not deleted."""


class Reconciler:
    def __init__(
        self,
        rooms: Rooms,
        actions: Actions,
        worker: Worker,
        images: Images,
        wake: threading.Event,
        leases: Leases,
    ) -> None:
        self._share = Share(rooms, leases, wake)
        self._leases = leases
        self._rooms = rooms
        self._actions = actions
        self._worker = worker
        self._images = images
        self._wake = wake
        self._busy: dict[str, tuple[threading.Thread, bool]] = {}
        self._lock = threading.Lock()
        self._resting: dict[str, float] = {}
        self._looked_at = float("-inf")
        self._minute = -1
        self._ended: set[str] = set()
        """The databases whose work ended since the last look."""

    def tick(self) -> None:
        """Look at every database of ours once and carry out what is due."""
        with self._lock:
            busy = set(self._busy) | {each for each, until in self._resting.items() if until > time.monotonic()}
            ended, self._ended = self._ended, set()
        with self._rooms.store.read() as tx:
            unfinished = jobs.unfinished(tx)
        waiting = [job for each, job in unfinished.items() if each not in busy and self._leases.holds(each)]
        found = self._look(waiting)
        due = self._due(set(unfinished) | ended, found)
        for row in in_turn(due.rows, unfinished):
            if row.id in busy or not self._leases.holds(row.id):
                continue
            try:
                self._one(row, unfinished.get(row.id), due, found)
            except (ReflexError, OSError):
                log.exception("reconcile_failed", database=row.id)
        if found is not None:
            self._retire_unknown({each for each in found.keys() - due.known if self._leases.holds(each)})
        if self._leases.shared:
            with self._lock:  # what has just been started, and what may have ended since the records were read
                busy |= set(self._busy)
            self._share.out(due.rows, unfinished, busy, self._can_run, looked=found is not None)

    def _due(self, in_work: set[str], found: dict[str, str] | None) -> _Due:
        """What a look has to read. The other databases are not read: a look costs what changes, not what exists."""
        with self._rooms.store.read() as tx:
            due = in_work | databases.desiring(tx)
            if self._schedules_due():
                due |= databases.scheduled(tx)
            if found is not None:
                due |= self._differing(deployments.serving_ids(tx), found) | databases.without_need(tx, found)
            return _Due(
                rows=databases.these(tx, due),
                serving=deployments.serving_of(tx, due),
                rolling=rollouts.unfinished_of(tx, due),
                known=databases.alive(tx, found) if found else set(),
            )

    @staticmethod
    def _differing(serving: dict[str, str], found: dict[str, str]) -> set[str]:
        return {each for each in serving.keys() | found.keys() if serving.get(each) != found.get(each)}

    def _schedules_due(self) -> bool:
        """Schedules are in minutes: they are read once in each; that of a database whose work kept it from its schedule
        is, when the work has ended. Where planes share the work, the one that takes a database for its schedule looks
        at it later: then they are always read."""
        minute = int(self._rooms.now().timestamp() // 60)
        due = minute != self._minute or self._leases.shared
        self._minute = minute
        return due

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

    def _one(self, row: DatabaseRow, job: JobRow | None, due: _Due, found: dict[str, str] | None) -> None:
        serving = due.serving.get(row.id)
        known = self._known(row, job, due, found)
        step = decide(known)
        if step is Step.NOTHING:
            if job is None and row.pause_schedule is not None and row.status in STABLE:
                self._follow_schedule(row, row.pause_schedule)
            return
        if step is not Step.RUN:
            log.info("reconcile", database=row.id, step=step.name.lower(), status=row.status.value)
        self._act(step, row, job, serving)

    def _known(self, row: DatabaseRow, job: JobRow | None, due: _Due, found: dict[str, str] | None) -> Known:
        serving, rolling = due.serving.get(row.id), due.rolling.get(row.id)
        return Known(
            status=row.status,
            job=self._known_job(job, rolling) if job else None,
            rolling=rolling is not None,
            desired=row.desired_state,
            serving=serving.id if serving else None,
            found=found.get(row.id) if found is not None else None,
            looked=found is not None,
            has_image=self._has_image(row),
            build_slot=self._build_slot(),
        )

    def _known_job(self, job: JobRow, rolling: RolloutRow | None) -> Job:
        if rolling is not None and rolling.job_id == job.id:
            return Job(False, job.attempt, False, job.deployment_id, parked=True)
        if job.owner is None:
            return Job(False, job.attempt, False, job.deployment_id, job.cancel_asked_at is not None)
        with self._rooms.store.read() as tx:
            build = builds.by_id(tx, job.build_id) if job.build_id else None
        started = build is not None and build.status == "in_progress"
        return Job(job.owner is not None, job.attempt, started, job.deployment_id, job.cancel_asked_at is not None)

    def _has_image(self, row: DatabaseRow) -> bool:
        if row.desired_state is None or row.status not in STABLE:
            return False
        with self._rooms.store.read() as tx:
            made = builds.images(tx, row.id)
        return any(map(self._images.usable, made))

    def _can_run(self, row: DatabaseRow) -> bool:
        """Whether a job of the database could go on here now."""
        with self._lock:
            room = len(self._busy) < self._rooms.settings.workers
        return room and (row.status is not Status.QUEUED or self._build_slot())

    def _build_slot(self) -> bool:
        with self._lock:
            building = sum(1 for _, builds_now in self._busy.values() if builds_now)
        return building < self._rooms.settings.builds.at_once

    def _act(self, step: Step, row: DatabaseRow, job: JobRow | None, serving: DeploymentRow | None) -> None:
        match step:
            case Step.RUN if job is not None:
                self._start(row, lambda: self._worker.run(job.id))
            case Step.RETRY_BUILD if job is not None:
                self._worker.retry_build(job)
                self._wake.set()
            case Step.CANCEL if job is not None:
                self._worker.cancel(job)
            case Step.FAIL_JOB if job is not None:
                self._worker.fail(job, "build", f"{INTERRUPTED}, twice; start it again")
            case Step.ADOPT if job is not None:
                self._worker.adopt(job)
            case Step.PURSUE:
                self._pursue(row)
            case Step.CLEAR_DESIRED:
                self._clear_desired(row)
            case Step.RETIRE_STRAY:
                paused = row.status in (Status.PAUSING, Status.PAUSED)
                self._start(row, lambda: self._rooms.deployer.retire(row.id, keep_checkpoint=paused))
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
            with patience(PATIENCE_S), background(self._rooms.precedence.let_pass):
                work()
        except Exception:
            log.exception("work_crashed", database=database_id)
            with self._lock:
                self._resting[database_id] = time.monotonic() + _REST_AFTER_CRASH_S
        finally:
            with self._lock:
                del self._busy[database_id]
                self._ended.add(database_id)
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
