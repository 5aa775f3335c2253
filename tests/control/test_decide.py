"""What the reconciler does next, as a table: what is known, and the one step that follows."""

from __future__ import annotations

import itertools

import pytest

from reflexdb.control.decide import Job, Known, Step, decide
from reflexdb.model.lifecycle import STABLE, Desired, Status

WAITING = Job(interrupted=False)
LOST = Job(interrupted=True)
S = Status

TABLE = [
    ("a waiting job is begun", Known(S.TESTING_CONNECTION, WAITING), Step.RUN),
    ("a build is begun when there is a slot", Known(S.QUEUED, WAITING), Step.RUN),
    ("a build waits for a slot", Known(S.QUEUED, WAITING, build_slot=False), Step.NOTHING),
    ("a test needs no slot", Known(S.TESTING_CONNECTION, WAITING, build_slot=False), Step.RUN),
    ("an interrupted test is done again", Known(S.TESTING_CONNECTION, LOST), Step.RUN),
    ("an interrupted wait goes on", Known(S.QUEUED, LOST), Step.RUN),
    ("an interrupted build is tried once more", Known(S.BUILDING, Job(True, 1, True)), Step.RETRY_BUILD),
    (
        "a build called off is not tried again",
        Known(S.BUILDING, Job(True, 1, True, cancelled=True)),
        Step.CANCEL,
    ),
    ("called off, it waits for no slot", Known(S.QUEUED, Job(True, cancelled=True), build_slot=False), Step.CANCEL),
    ("a deployment goes on whatever its build was told", Known(S.DEPLOYING, Job(True, cancelled=True)), Step.RUN),
    ("an interrupted second try fails", Known(S.BUILDING, Job(True, 2, True)), Step.FAIL_JOB),
    ("a deployment not yet begun is begun", Known(S.DEPLOYING, LOST), Step.RUN),
    (
        "a finished handover is adopted",
        Known(S.DEPLOYING, Job(True, deployment_id="new"), serving="old", found="new", looked=True),
        Step.ADOPT,
    ),
    (
        "an unfinished handover is done again",
        Known(S.DEPLOYING, Job(True, deployment_id="new"), serving="old", found="old", looked=True),
        Step.RUN,
    ),
    ("without a look nothing is judged", Known(S.DEPLOYING, Job(True, deployment_id="new")), Step.NOTHING),
    (
        "a finished resume is adopted",
        Known(S.RESUMING, Job(True, deployment_id="new"), found="new", looked=True),
        Step.ADOPT,
    ),
    ("an interrupted pause goes on", Known(S.PAUSING, LOST), Step.RUN),
    ("an interrupted termination goes on", Known(S.TERMINATING, LOST), Step.RUN),
    ("a job goes before a desired state", Known(S.BUILDING, WAITING, Desired.PAUSED), Step.RUN),
    ("a build of what is to be terminated is called off", Known(S.QUEUED, WAITING, Desired.TERMINATED), Step.CANCEL),
    ("it is not begun again either", Known(S.BUILDING, LOST, Desired.TERMINATED), Step.CANCEL),
    ("a queued pause is carried out", Known(S.RUNNING, desired=Desired.PAUSED), Step.PURSUE),
    ("a queued resume is carried out", Known(S.PAUSED, desired=Desired.RUNNING), Step.PURSUE),
    ("a queued termination follows a failure", Known(S.FAILED, desired=Desired.TERMINATED), Step.PURSUE),
    ("a reached goal is forgotten", Known(S.PAUSED, desired=Desired.PAUSED), Step.CLEAR_DESIRED),
    ("a pause of what failed is refused", Known(S.FAILED, desired=Desired.PAUSED), Step.CLEAR_DESIRED),
    ("what serves as recorded is left alone", Known(S.RUNNING, serving="a", found="a", looked=True), Step.NOTHING),
    ("a canary needs no worker", Known(S.DEPLOYING, Job(False, deployment_id="b", parked=True)), Step.NOTHING),
    (
        "the parts of a rollout are no strays",
        Known(S.RUNNING, serving="a", found="b", looked=True, rolling=True),
        Step.NOTHING,
    ),
    ("a vanished instance is restored", Known(S.RUNNING, serving="a", looked=True), Step.RESTORE),
    ("another instance than recorded is replaced", Known(S.RUNNING, serving="a", found="b", looked=True), Step.RESTORE),
    ("a vanished instance of a failed one is noted", Known(S.FAILED, serving="a", looked=True), Step.FORGET),
    ("an old instance of a failed one serves on", Known(S.FAILED, serving="a", found="a", looked=True), Step.NOTHING),
    ("a stray of a failed one is stopped", Known(S.FAILED, found="a", looked=True), Step.RETIRE_STRAY),
    ("a terminated one runs nothing", Known(S.TERMINATED, found="a", looked=True), Step.RETIRE_STRAY),
    ("a paused one runs nothing", Known(S.PAUSED, serving="a", found="a", looked=True), Step.RETIRE_STRAY),
    ("without a look nothing vanished", Known(S.RUNNING, serving="a"), Step.NOTHING),
]


@pytest.mark.parametrize(("known", "step"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_next_step(known: Known, step: Step) -> None:
    assert decide(known) is step


def test_no_combination_is_left_undecided() -> None:
    jobs = [None, WAITING, LOST, Job(True, 1, True), Job(True, 9, True), Job(True, deployment_id="a")]
    ids = [None, "a", "b"]
    for status, job, desired, serving, found, looked, slot in itertools.product(
        Status, jobs, [None, *Desired], ids, ids, (False, True), (False, True)
    ):
        known = Known(status, job, desired, serving, found, looked, build_slot=slot)
        step = decide(known)

        assert isinstance(step, Step)
        if job is None and status not in STABLE and not looked:
            assert step is Step.NOTHING


def test_a_desired_state_is_always_either_pursued_or_cleared_at_rest() -> None:
    for status, desired in itertools.product(STABLE, Desired):
        assert decide(Known(status, desired=desired)) in (Step.PURSUE, Step.CLEAR_DESIRED)
