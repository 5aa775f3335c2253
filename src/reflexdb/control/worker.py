"""Carrying out one job: from the database's present status, step by step, until the job is finished.

A job is a walk through the lifecycle: each status has one step, and each step ends by writing the next status, and
what it achieved, in one transaction. A worker that is killed has therefore always left a status from which the walk
goes on. Called by the reconciler, on a thread of its own; at most one per database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.build_log import BuildLog, log_path
from reflexdb.control.cancel import Cancel, refuse_cancelled
from reflexdb.control.capture import POLL, Capture, options_for
from reflexdb.control.connections import source_address
from reflexdb.control.evidence import signed_provenance
from reflexdb.control.finish import Finish
from reflexdb.control.journal import Journal
from reflexdb.control.keys import Keys
from reflexdb.control.making import Making, subject_of
from reflexdb.control.origin import origin
from reflexdb.control.rollouts import Rollouts
from reflexdb.control.rooms import Rooms, elapsed_s, new_id
from reflexdb.control.shapes import Shapes
from reflexdb.control.supervised import Supervised, ending_of
from reflexdb.control.telling import Telling
from reflexdb.control.wanted import address, wanted
from reflexdb.deploy.base import InstanceSpec
from reflexdb.model.compute import cost_estimate_cents, select_tier
from reflexdb.model.errors import (
    BuildCancelled,
    BuildFailed,
    DeployFailed,
    ImageDamaged,
    LeaseLost,
    RecordsUnavailable,
    ReflexError,
    SourceMissing,
)
from reflexdb.model.lifecycle import Action, Event, Status, advance
from reflexdb.records import build_credits, builds, databases, deployments, jobs
from reflexdb.records.rows import BuildRow, ConnectionRow, DatabaseRow, JobRow
from reflexdb.sources.apart import Test

log = structlog.get_logger()

_MAKES_BUILDS = (Action.PROVISION.value, Action.REBUILD.value)

INTERRUPTED = "the control plane was stopped during the build"


class Worker:
    """The steps. `stopping` set means: finish the step at hand and leave the rest to the next start."""

    def __init__(self, rooms: Rooms, keys: Keys, stopping: threading.Event, rollouts: Rollouts, seen: Shapes) -> None:
        self._rooms = rooms
        self._keys = keys
        self._stopping = stopping
        self._capture = Capture(rooms)
        self._journal = Journal(rooms)
        self._making = Making(rooms, self._journal)
        self._telling = Telling(rooms)
        self._cancel = Cancel(rooms, lambda: None)
        self._finish = Finish(rooms, keys)
        self._rollouts = rollouts
        self._seen = seen
        self._steps: dict[Status, tuple[str, Callable[[JobRow], None]]] = {
            Status.TESTING_CONNECTION: ("test connection", self._test),
            Status.QUEUED: ("build", self._build),
            Status.DEPLOYING: ("deploy", self._deploy),
            Status.RESUMING: ("resume", self._deploy),
            Status.PAUSING: ("pause", self._retire),
            Status.TERMINATING: ("terminate", self._retire),
        }

    def run(self, job_id: str) -> None:
        """Walk until the job is finished, waits for a build slot, or the control plane stops."""
        with self._rooms.store.write() as tx:
            job = jobs.by_id(tx, job_id)
            if job.finished_at is not None:  # called off since it was seen
                return
            jobs.change(tx, job_id, owner=self._rooms.owner, started_at=job.started_at or self._rooms.now())
        with self._telling.job(job):
            self._walk(job_id)

    def _walk(self, job_id: str) -> None:
        while not self._stopping.is_set():
            job, row = self._present(job_id)
            if job.finished_at is not None or job.owner is None:
                return
            name, step = self._steps[row.status]
            try:
                with self._telling.step(name, job):
                    step(job)
            except BuildCancelled:
                self._cancel.end(job)
            except (RecordsUnavailable, LeaseLost):
                raise  # nobody could write it down; it goes on when the records are back, or elsewhere
            except ReflexError as exc:
                self.fail(job, f"{name}{_inner_step(exc)}", exc.message, exc.code)
            except OSError as exc:
                log.exception("step_crashed", database=row.id, job=job.id, step=name)
                self.fail(job, name, f"the control plane's machine refused: {exc.strerror or exc.__class__.__name__}")
            except Exception:
                log.exception("step_crashed", database=row.id, job=job.id, step=name)
                self.fail(job, name, "an internal error; the control plane's log has the details")

    def retry_build(self, job: JobRow) -> None:
        """The job's build was interrupted: it is failed, and a new one takes its place in the queue."""
        now, build_id = self._rooms.now(), new_id()
        assert job.build_id is not None
        # Said before it is written down: who follows the log stops when the records say that it has ended.
        self._log(job)(f"FAILED: {INTERRUPTED}; started again as build {build_id}")
        with self._rooms.store.write() as tx:
            who = origin().stamp()
            builds.add(tx, id=build_id, database_id=job.database_id, status="queued", created_at=now, **who)
            build_credits.move(tx, job.build_id, to=build_id)
            self._fail_build(tx, builds.by_id(tx, job.build_id), error=INTERRUPTED, error_code="interrupted")
            jobs.change(tx, job.id, build_id=build_id, attempt=job.attempt + 1, owner=None)
            self._advance(tx, job, Event.INTERRUPTED)
        self._making.abandon(job.build_id)

    def cancel(self, job: JobRow) -> None:
        """The job was called off, and whoever carried it out is gone."""
        self._cancel.end(job)
        if job.build_id is not None:
            self._making.abandon(job.build_id)

    def adopt(self, job: JobRow) -> None:
        """The job's deployment serves already: only writing it down was left."""
        found = self._rooms.deployer.observe(job.database_id)
        if found is None or found.deployed.deployment_id != job.deployment_id:
            return  # gone since it was seen; the next look decides anew
        self._rooms.deployer.end_beside(job.database_id)  # whoever would have watched is gone
        self._finish.deployed(job, found, None)
        log.info("deployment_adopted", database=job.database_id, deployment=job.deployment_id)

    def fail(self, job: JobRow, step: str, message: str, code: str = ReflexError.code) -> None:
        """End the job: the database is failed, with what went wrong and where; what serves goes on serving."""
        error, now = f"{step}: {message}", self._rooms.now()
        why = {"error": error, "error_code": code, "error_step": step}
        self._log(job)(f"FAILED {error}")
        with self._rooms.store.write() as tx:
            if job.build_id is not None:
                self._fail_build(tx, builds.by_id(tx, job.build_id), **why)
            current = jobs.by_id(tx, job.id)
            if current.deployment_id is not None:
                deployments.change(tx, current.deployment_id, now, retired_at=now)
            if self._is_called_off(tx, current):
                self._advance(tx, job, Event.CANCELLED_RUNNING)
                why |= {"error": f"{step}: it was called off", "error_code": BuildCancelled.code}
            else:
                self._advance(tx, job, Event.STEP_FAILED, last_error=error)
            jobs.finish(tx, job.id, now, **why)
        self._telling.ended(job, failed=True)
        log.warning("job_failed", database=job.database_id, job=job.id, job_action=job.action, error=error)

    def _is_called_off(self, tx: Tx, job: JobRow) -> bool:
        """Whether a deployment gave up because somebody wanted that, and the database serves as before."""
        deploying = databases.by_id(tx, job.database_id).status is Status.DEPLOYING
        return deploying and job.cancel_asked_at is not None and job.from_status == Status.RUNNING.value

    def _test(self, job: JobRow) -> None:
        row, connection = subject_of(self._rooms, job)
        note = self._log(job)
        note(f"test connection: {connection.backend} at {connection.host}, schema {row.schema_name}")
        with self._phase(job, "test connection"):
            question = Test(source_address(self._rooms, connection))
            result = self._rooms.asking.ask(question, Supervised(self._rooms, job).check)
        if row.schema_name not in result.available_schemas:
            raise SourceMissing(
                f"The source has no schema {row.schema_name!r} that this user can see; it has: "
                + (", ".join(repr(name) for name in result.available_schemas) or "none")
            )
        note(f"connected in {result.latency_ms:.0f} ms: {result.server_version}; waiting for a build slot")
        with self._rooms.store.write() as tx:
            refuse_cancelled(tx, job)
            self._advance(tx, job, Event.CONNECTION_TESTED)
            jobs.change(tx, job.id, owner=None)

    def _phase(self, job: JobRow, name: str) -> AbstractContextManager[None]:
        """A phase of the job's build; later deployments of the same build are not part of its making."""
        if job.build_id is None or job.action not in _MAKES_BUILDS:
            return nullcontext()
        return self._journal.phase(job.build_id, name)

    def _build(self, job: JobRow) -> None:
        started = self._rooms.now()
        assert job.build_id is not None
        with self._rooms.store.write() as tx:
            refuse_cancelled(tx, job)
            row = self._advance(tx, job, Event.BUILD_STARTED)
            builds.change(tx, job.build_id, status="in_progress", started_at=started, config_text=row.config_text)
        result = self._making.image(job, self._log(job))
        finished = self._rooms.now()
        seconds = elapsed_s(started, finished)
        tier = row.build_compute_override or select_tier(result.plan)
        engine = self._rooms.images.document(result.image.digest)["engine"]["version"]
        with self._rooms.store.read() as tx:
            made = builds.by_id(tx, job.build_id)
        statement = signed_provenance(self._rooms, made, row, result.image.digest, finished, reused=result.image.reused)
        with self._rooms.store.write() as tx:
            refuse_cancelled(tx, job)
            builds.change(
                tx,
                job.build_id,
                status="succeeded",
                finished_at=finished,
                duration_s=round(seconds),
                image_digest=result.image.digest,
                image_uri=result.image.uri,
                image_bytes=result.image.size_bytes,
                other_images={name: each.digest for name, each in result.others.items()} or None,
                fingerprint=result.plan.fingerprint().hex(),
                compute_type=tier,
                cost_cents=cost_estimate_cents(tier, seconds),
                provenance=statement,
                engine_version=engine,
            )
            if result.image.reused:
                build_credits.refund(tx, job.build_id, finished)
            self._advance(tx, job, Event.BUILT)
            build = builds.by_id(tx, job.build_id)
        self._telling.built(build, seconds, failed=False)

    def _deploy(self, job: JobRow) -> None:
        row, connection = subject_of(self._rooms, job)
        assert job.build_id is not None
        with self._rooms.store.read() as tx:
            build = builds.by_id(tx, job.build_id)
        note = self._log(job)
        check = ending_of(self._rooms, job)
        spec, settings = self._spec(row, connection, build, note, check)
        self._note_start(job, spec, settings, connection.password_ref)
        self._capture.succeed(spec.sync_mode, spec.plan, spec.source, spec.follow, note, check)
        note(f"deploy: build {build.id} as a {row.instance_size} instance, deployment {spec.deployment_id}")
        how, passed = self._rollouts.how(job), self._telling.deployment(job, spec.deployment_id)
        self._seen.collect_of(job.database_id)
        try:
            with self._phase(job, "deploy"):
                found = self._rooms.deployer.deploy(spec, note, passed, how)
        except ReflexError as exc:
            if not self._resized(job, settings):
                raise
            note(f"deploy failed ({exc.message}); trying again with the new size")
            return
        if self._resized(job, settings):
            note("the size was changed meanwhile; deploying again with it")
            return
        if how.share is not None:
            note(f"a canary: {how.share / 10:g}% of the new connections; see the deployment {job.id}")
            self._rollouts.begin(job, found)
            return
        note(f"running at {found.deployed.endpoint_url}")
        watch = self._rollouts.watch(job, found) if how.keep else None
        self._finish.deployed(job, found, found.failed, watch or (lambda _: None))

    def _note_start(self, job: JobRow, spec: InstanceSpec, settings: dict[str, Any], ref: str | None) -> None:
        """Written before anything is started, so that an interrupted deployment can be recognised."""
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            self._rollouts.supersede(tx, job.database_id)
            if job.deployment_id is not None:
                deployments.change(tx, job.deployment_id, now, retired_at=now)
            deployments.add(
                tx,
                id=spec.deployment_id,
                database_id=job.database_id,
                build_id=spec.build_id,
                settings=settings,
                password_ref=ref,
                capture_schema=None if spec.sync_mode == POLL else spec.plan.schema,
                capture_publication=spec.follow.publication,
                created_at=now,
                updated_at=now,
            )
            jobs.change(tx, job.id, deployment_id=spec.deployment_id)

    def _spec(
        self,
        row: DatabaseRow,
        connection: ConnectionRow,
        build: BuildRow,
        note: Callable[[str], None],
        check: Callable[[], None],
    ) -> tuple[InstanceSpec, dict[str, Any]]:
        if build.image_digest is None:
            raise ImageDamaged(f"Build {build.id} has no image; rebuild")
        plan = self._rooms.images.plan(build.image_digest)
        settings = wanted(row, connection, plan.sync, self._rooms.settings.min_sync_interval_s)
        source = address(settings, source_address(self._rooms, connection).password)
        deployment_id = new_id()
        follow = self._capture.succeeding(options_for(deployment_id, row.binlog_server_id), row.id, plan, source)
        settings["syncMode"] = self._capture.choose(settings["syncMode"], plan, source, follow, note, check)
        spec = InstanceSpec(
            database_id=row.id,
            deployment_id=deployment_id,
            build_id=build.id,
            image_digest=build.image_digest,
            plan=plan,
            source=source,
            sync_mode=settings["syncMode"],
            follow=follow,
            sync_interval_s=settings["syncInterval"],
            safety_net_s=settings["safetyNet"],
            memory_cap_mb=settings["taskMemoryMb"],
            cpu_units=settings["taskCpu"],
            log_level=settings["logLevel"],
            api_keys=self._keys.accepted(row.id),
            port=row.port,
        )
        return spec, settings

    def _resized(self, job: JobRow, settings: dict[str, Any]) -> bool:
        with self._rooms.store.read() as tx:
            return bool(databases.by_id(tx, job.database_id).instance_size != settings["instanceSize"])

    def _retire(self, job: JobRow) -> None:
        self._seen.collect_of(job.database_id)
        self._rooms.deployer.retire(job.database_id, keep_checkpoint=job.action == "pause")
        now = self._rooms.now()
        with self._rooms.store.write() as tx:
            self._rollouts.supersede(tx, job.database_id)
            deployments.retire_others(tx, job.database_id, now)
            self._advance(tx, job, Event.RETIRED)
            jobs.finish(tx, job.id, now)
        self._telling.ended(job)
        self._capture.release(job.database_id)
        log.info("retired", database=job.database_id, job_action=job.action)

    def _advance(self, tx: Tx, job: JobRow, event: Event, **changes: Any) -> DatabaseRow:
        row = databases.by_id(tx, job.database_id)
        databases.change(tx, row.id, self._rooms.now(), status=advance(row.status, event).value, **changes)
        return row

    def _fail_build(self, tx: Tx, build: BuildRow, **error: str) -> None:
        if build.status in ("succeeded", "failed"):
            return
        now: datetime = self._rooms.now()
        seconds = round(elapsed_s(build.started_at, now)) if build.started_at else None
        builds.change(tx, build.id, status="failed", finished_at=now, duration_s=seconds, **error)
        build_credits.refund(tx, build.id, now)
        self._telling.built(build, seconds or 0, failed=True)

    def _present(self, job_id: str) -> tuple[JobRow, DatabaseRow]:
        with self._rooms.store.read() as tx:
            job = jobs.by_id(tx, job_id)
            return job, databases.by_id(tx, job.database_id)

    def _log(self, job: JobRow) -> Callable[[str], None]:
        if job.build_id is None:
            return lambda line: log.info("job_note", job=job.id, line=line)
        return BuildLog(log_path(self._rooms.data_dir, job.build_id), self._rooms.now)


def _inner_step(exc: ReflexError) -> str:
    return f" ({exc.step})" if isinstance(exc, BuildFailed | DeployFailed) else ""
