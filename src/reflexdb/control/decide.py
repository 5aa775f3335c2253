"""What to do next about one database: all the ifs of the reconciler, as one pure function.

The reconciler observes (records, and what the deployer says runs), calls `decide`, and carries out the one step it
answers. Knows no records, threads or clocks; its tests are tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reflexdb.model.lifecycle import NOTHING_RUNS, STABLE, Action, Desired, Status, availability

MAX_BUILD_ATTEMPTS = 2
"""A build that was interrupted is started once more by itself;

a second interruption fails it, lest a build that kills its host go on for ever.
"""

CANCELLABLE = frozenset({Status.TESTING_CONNECTION, Status.QUEUED, Status.BUILDING})
"""As long as the job's build is not finished."""

_REACHED = {Desired.RUNNING: Status.RUNNING, Desired.PAUSED: Status.PAUSED, Desired.TERMINATED: Status.TERMINATED}
_GOAL_ACTION = {
    Desired.RUNNING: Action.RESUME,
    Desired.PAUSED: Action.PAUSE,
    Desired.TERMINATED: Action.TERMINATE,
}


class Step(StrEnum):
    """One thing for the reconciler to carry out."""

    NOTHING = "nothing"
    RUN = "run the job from its present status"
    RETRY_BUILD = "mark the interrupted build failed and queue a new one"
    CANCEL = "end the job: it was called off or its database is to be terminated, and whoever carried it out is gone"
    FAIL_JOB = "fail the job: it was interrupted too often"
    ADOPT = "take over the deployment that a stopped control plane had finished"
    PURSUE = "start the action that the desired state asks for"
    CLEAR_DESIRED = "forget the desired state: it is reached, or can't be"
    RETIRE_STRAY = "stop an instance that should not run"
    RESTORE = "deploy the active build again: its instance is gone"
    FORGET = "note that the deployment no longer runs"


@dataclass(frozen=True, slots=True)
class Job:
    """The unfinished job of a database that no worker is busy with."""

    interrupted: bool
    """A worker had begun it and is gone: the control plane was stopped, or the worker crashed."""
    attempt: int = 1
    build_started: bool = False
    """The job's build is in progress."""
    deployment_id: str | None = None
    cancelled: bool = False
    """Its build was called off."""
    parked: bool = False
    """Its deployment goes step by step, and no worker is needed."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one database now."""

    status: Status
    job: Job | None = None
    desired: Desired | None = None
    serving: str | None = None
    """The deployment that serves by our records."""
    found: str | None = None
    """The deployment that the deployer runs; meaningful only where `looked` is set."""
    looked: bool = False
    has_image: bool = False
    rolling: bool = False
    """A deployment goes step by step, or is watched: its parts are not strays."""
    build_slot: bool = True
    """Another build may start."""


def decide(known: Known) -> Step:
    """The next step for a database that no worker is busy with; NOTHING where all is well."""
    if known.job is not None and known.job.parked:
        return Step.NOTHING
    if known.job is not None:
        return _with_job(known, known.job)
    if known.desired is not None and known.status in STABLE:
        return _pursue(known, known.desired)
    if not known.looked:
        return Step.NOTHING
    return _compare(known)


def goal_action(desired: Desired) -> Action:
    """The action that leads to a desired state."""
    return _GOAL_ACTION[desired]


def _with_job(known: Known, job: Job) -> Step:
    if (job.cancelled or known.desired is Desired.TERMINATED) and known.status in CANCELLABLE:
        return Step.CANCEL
    if known.status is Status.QUEUED and not known.build_slot:
        return Step.NOTHING
    if not job.interrupted:
        return Step.RUN
    if known.status is Status.BUILDING and job.build_started:
        return Step.RETRY_BUILD if job.attempt < MAX_BUILD_ATTEMPTS else Step.FAIL_JOB
    if known.status in (Status.DEPLOYING, Status.RESUMING) and job.deployment_id is not None:
        if not known.looked:
            return Step.NOTHING
        return Step.ADOPT if known.found == job.deployment_id else Step.RUN
    return Step.RUN


def _pursue(known: Known, desired: Desired) -> Step:
    if known.status is _REACHED[desired]:
        return Step.CLEAR_DESIRED
    allowed = availability(known.status, _GOAL_ACTION[desired], has_image=known.has_image)
    return Step.PURSUE if allowed.allowed and not allowed.queued else Step.CLEAR_DESIRED


def _compare(known: Known) -> Step:
    if known.found is not None and known.status in NOTHING_RUNS:
        return Step.RETIRE_STRAY
    if known.serving == known.found or known.rolling:
        return Step.NOTHING
    if known.serving is None:
        return Step.RETIRE_STRAY
    if known.status is Status.RUNNING:
        return Step.RESTORE
    return Step.FORGET if known.found is None else Step.NOTHING
