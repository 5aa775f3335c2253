"""Deployments after their new instance answers: shared out step by step, watched, and undone where it is worse.

A canary's job stays unfinished until it is promoted or aborted; a deployment at once is finished, and its predecessor
stands by for a while. A thread of control calls `look`; what must survive is in the records, so that the next control
plane goes on from the same step. What instances run and who takes connections is the deployer's truth: where it has
changed places already, only writing that down is left. See decision 0030.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.audit import note
from reflexdb.control.finish import Finish
from reflexdb.control.keys import Keys
from reflexdb.control.leases import Leases
from reflexdb.control.rooms import Rooms, new_id
from reflexdb.control.telling import Telling
from reflexdb.deploy.base import AT_ONCE, Observation, Replacement
from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import ReflexError
from reflexdb.model.lifecycle import Action, Desired, Event, Status, advance
from reflexdb.model.rollout import verdict
from reflexdb.records import databases, deployments, jobs, rollouts
from reflexdb.records.rows import DatabaseRow, JobRow, RolloutRow

CANARY, WATCH = "canary", "watch"
ROLLBACK = "rollback"
"""The kind of a deployment that puts the former instance back, by itself."""
ABORTED, ROLLED_BACK = "rollout_aborted", "rolled_back"
SILENT_LOOKS = 5
"""So often an instance may not answer in a row before it counts as gone: one look may be a busy machine's."""
_ENDING = (Desired.PAUSED, Desired.TERMINATED)

log = structlog.get_logger()


class Rollouts:
    def __init__(self, rooms: Rooms, keys: Keys, leases: Leases) -> None:
        self._rooms = rooms
        self._leases = leases
        self._finish = Finish(rooms, keys)
        self._telling = Telling(rooms)
        self._told: set[tuple[str, int]] = set()
        """Steps whose share the instances were told by this control plane."""
        self._silent: Counter[str] = Counter()

    def how(self, job: JobRow) -> Replacement:
        """How the job's new instance is to take over. Steps and standing by need one that serves."""
        with self._rooms.store.read() as tx:
            serving = deployments.serving(tx, job.database_id)
        if serving is None or job.from_status != Status.RUNNING.value:
            return AT_ONCE
        if job.steps:
            return Replacement(share=job.steps[0][0])
        return Replacement(keep=self._rooms.settings.rollouts.standby_s > 0)

    def begin(self, job: JobRow, found: Observation) -> None:
        """The canary takes its first share: from now on no worker is needed."""
        with self._rooms.store.write() as tx:
            former = deployments.serving(tx, job.database_id)
            assert former is not None
            self._add(tx, job, found.deployed.deployment_id, former.id, CANARY)
            jobs.change(tx, job.id, owner=None)
            note_to = {"deployment_id": job.id, "steps": [list(step) for step in job.steps or ()]}
            row = databases.by_id(tx, job.database_id)
            note(tx, self._rooms.now(), row.customer_id, "database.canary", row.id, after=note_to)

    def watch(self, job: JobRow, found: Observation) -> Callable[[Tx], None]:
        """What is written when the job is finished: its predecessor still runs, but does not serve."""
        with self._rooms.store.read() as tx:
            former = deployments.serving(tx, job.database_id)
        if former is None or self._rooms.deployer.beside(job.database_id) is None:
            return lambda _: None

        def write(tx: Tx) -> None:
            self._add(tx, job, found.deployed.deployment_id, former.id, WATCH, former_serving_at=former.serving_at)
            deployments.change(tx, former.id, self._rooms.now(), serving_at=None, retired_at=None)

        return write

    def supersede(self, tx: Tx, database_id: str) -> None:
        """Another deployment begins, or the end of all: the deployer ends what stands by."""
        row = rollouts.of_database(tx, database_id)
        if row is not None:
            self._end(tx, row, "superseded", "another deployment took its place")

    def look(self) -> None:
        """Carry on with every rollout of ours, and call off the deployments that somebody wants called off."""
        with self._rooms.store.read() as tx:
            rows, unfinished = rollouts.unfinished(tx), jobs.unfinished(tx)
            ending = {row.id for row in databases.these(tx, databases.desiring(tx)) if _is_ending(row)}
        rolling = {row.job_id for row in rows}
        for job in unfinished.values():
            is_over = job.cancel_asked_at is not None or job.database_id in ending
            if is_over and job.id not in rolling and self._leases.holds(job.database_id):
                self._rooms.deployer.call_off(job.database_id)
        for row in rows:
            if self._leases.holds(row.database_id):
                try:
                    self._canary(row) if row.state == CANARY else self._watch(row)
                except ReflexError as exc:
                    log.warning("rollout_held_up", database=row.database_id, job=row.job_id, reason=exc.message)

    def _canary(self, row: RolloutRow) -> None:
        current, new = self._both(row)
        if current is not None and current.deployed.deployment_id == row.deployment_id:
            self._promoted(row, current)  # by a control plane that could not write it down any more
            return
        with self._rooms.store.read() as tx:
            job, database = jobs.by_id(tx, row.job_id), databases.by_id(tx, row.database_id)
        ours = new is not None and new.deployed.deployment_id == row.deployment_id
        why = "its instance is gone" if not ours else self._worse(row, new, current)
        if row.wanted == "abort":
            why = "it was asked for"
        elif database.desired_state in _ENDING:
            why = "the database is to be paused or terminated"
        if why is not None or new is None:
            self._abort(row, why or "")
            return
        steps = job.steps or ()
        waited = (self._rooms.now() - row.step_at).total_seconds()
        if row.wanted == "promote" or (waited >= steps[row.step][1] and row.step + 1 == len(steps)):
            self._promoted(row, self._rooms.deployer.exchange(row.database_id, row.deployment_id))
            return
        if waited >= steps[row.step][1]:
            self._step(row, row.step + 1)
            row_step = row.step + 1
        else:
            row_step = row.step
        if (row.job_id, row_step) not in self._told:
            self._rooms.deployer.give_share(row.database_id, steps[row_step][0])
            self._told.add((row.job_id, row_step))

    def _watch(self, row: RolloutRow) -> None:
        current, former = self._both(row)
        if current is not None and current.deployed.deployment_id == row.former_id:
            self._rolled_back(row, current, "it was worse than the one before")
            return
        if former is None or former.deployed.deployment_id != row.former_id:
            self._kept(row)
            return
        why = self._worse(row, current, None)
        if why is not None:
            back = self._rooms.deployer.exchange(row.database_id, row.former_id)
            self._rolled_back(row, back, why)
        elif (self._rooms.now() - row.step_at).total_seconds() >= self._rooms.settings.rollouts.standby_s:
            self._rooms.deployer.end_beside(row.database_id)
            self._kept(row)

    def _both(self, row: RolloutRow) -> tuple[Observation | None, Observation | None]:
        return self._rooms.deployer.observe(row.database_id), self._rooms.deployer.beside(row.database_id)

    def _worse(self, row: RolloutRow, new: Observation | None, old: Observation | None) -> str | None:
        """What the new instance's requests say of it; noted, to be shown. `old` where it serves beside it."""
        if new is None or new.health == "unreachable":
            self._silent[row.job_id] += 1
            return "it does not answer" if self._silent[row.job_id] >= SILENT_LOOKS else None
        self._silent[row.job_id] = 0
        began = row.began or {}
        fresh = _since(new, began.get("new"))
        other = Requests.read(began.get("old")) if old is None else _since(old, began.get("old"))
        seen = {"new": fresh and fresh.to_json(), "old": other and other.to_json()}
        if seen != row.seen:
            with self._rooms.store.write() as tx:
                rollouts.change(tx, row.job_id, seen=seen)
        return verdict(fresh, other, self._rooms.settings.rollouts.error_rate) if fresh else None

    def _add(self, tx: Tx, job: JobRow, new: str, former: str, state: str, **more: Any) -> None:
        current = self._rooms.deployer.observe(job.database_id)
        beside = self._rooms.deployer.beside(job.database_id)
        fresh, old = (beside, current) if state == CANARY else (current, beside)
        began = {"new": None if state == CANARY else _counts(fresh), "old": _counts(old)}
        rollouts.add(
            tx,
            job_id=job.id,
            database_id=job.database_id,
            deployment_id=new,
            former_id=former,
            state=state,
            step_at=self._rooms.now(),
            began=began,
            **more,
        )

    def _step(self, row: RolloutRow, step: int) -> None:
        with self._rooms.store.write() as tx:
            rollouts.change(tx, row.job_id, step=step, step_at=self._rooms.now())
        log.info("canary_step", database=row.database_id, job=row.job_id, step=step)

    def _promoted(self, row: RolloutRow, found: Observation) -> None:
        ended = self._rooms.deployer.end_beside(row.database_id)
        now = self._rooms.deployer.observe(row.database_id)
        failed = _failed(row, now, ended)
        with self._rooms.store.read() as tx:
            job = jobs.by_id(tx, row.job_id)
        self._finish.deployed(job, found, failed, lambda tx: self._end(tx, row, "promoted", None))

    def _abort(self, row: RolloutRow, why: str) -> None:
        """The old instance takes everything again; the database is where it was."""
        self._rooms.deployer.end_beside(row.database_id)
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            job, database = jobs.by_id(tx, row.job_id), databases.by_id(tx, row.database_id)
            if job.finished_at is not None:
                return
            deployments.change(tx, row.deployment_id, now, retired_at=now)
            after = advance(database.status, Event.CANCELLED_RUNNING)
            databases.change(tx, database.id, now, status=after.value)
            error = f"canary: {why}"
            jobs.finish(tx, job.id, now, error=error, error_code=ABORTED, error_step="canary")
            self._end(tx, row, "aborted", why)
            done = {"deployment_id": job.id, "reason": why}
            note(tx, now, database.customer_id, "database.canary_aborted", database.id, after=done)
        self._finish.settle(row.database_id)
        self._telling.ended(job, failed=True)
        log.warning("canary_aborted", database=row.database_id, job=row.job_id, reason=why)

    def _rolled_back(self, row: RolloutRow, back: Observation, why: str) -> None:
        ended = self._rooms.deployer.end_beside(row.database_id)
        now, began = self._rooms.now(), (row.began or {}).get("new")
        with self._rooms.store.write() as tx:
            bad, database = jobs.by_id(tx, row.job_id), databases.by_id(tx, row.database_id)
            former = deployments.by_id(tx, row.former_id)
            deployments.change(tx, row.deployment_id, now, retired_at=now)
            deployments.change(tx, former.id, now, serving_at=now, retired_at=None, endpoint_url=former.endpoint_url)
            reason = f"deployment {bad.id} was put back: {why}"
            error = {"error": f"watch: {why}", "error_code": ROLLED_BACK, "error_step": "watch"}
            jobs.change(tx, bad.id, **error)
            again = new_id()
            jobs.add(
                tx,
                id=again,
                database_id=row.database_id,
                action=Action.REDEPLOY.value,
                kind=ROLLBACK,
                build_id=former.build_id,
                deployment_id=former.id,
                from_build_id=bad.build_id,
                from_status=database.status.value,
                created_at=now,
                started_at=now,
                finished_at=now,
                trigger="reconcile",
                reason=reason,
                requests_failed=ended.since(Requests.read(began)).failed if ended else None,
            )
            self._end(tx, row, "rolled_back", why)
            done = {"build_id": former.build_id, "deployment_id": again, "reason": reason}
            note(tx, now, database.customer_id, "database.rollback", database.id, after=done)
            job = jobs.by_id(tx, again)
        self._finish.settle(row.database_id)
        self._telling.ended(job)
        log.warning("rolled_back", database=row.database_id, job=row.job_id, reason=why, to=back.deployed.build_id)

    def _kept(self, row: RolloutRow) -> None:
        """The new instance has proved itself, or the old one is gone."""
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            self._end(tx, row, "kept", None)
            deployments.retire_others(tx, row.database_id, now, but=row.deployment_id)
        self._finish.settle(row.database_id)

    def _end(self, tx: Tx, row: RolloutRow, state: str, reason: str | None) -> None:
        now = self._rooms.now()
        rollouts.change(tx, row.job_id, state=state, reason=reason, ended_at=now)
        former = deployments.by_id(tx, row.former_id)
        if row.state == WATCH and former.serving_at is None:
            deployments.change(tx, former.id, now, serving_at=row.former_serving_at, retired_at=now)


def _counts(observation: Observation | None) -> dict[str, Any] | None:
    counted = observation.requests if observation else None
    return counted.to_json() if counted else None


def _since(observation: Observation, began: dict[str, Any] | None) -> Requests | None:
    return observation.requests.since(Requests.read(began)) if observation.requests else None


def _failed(row: RolloutRow, new: Observation | None, old: Requests | None) -> int | None:
    if new is None or new.requests is None or old is None:
        return None
    return new.requests.failed + old.since(Requests.read((row.began or {}).get("old"))).failed


def _is_ending(row: DatabaseRow) -> bool:
    """Whether a deployment of the database is for nothing, however far it has come."""
    return row.desired_state is Desired.TERMINATED and row.status in (Status.DEPLOYING, Status.RESUMING)
