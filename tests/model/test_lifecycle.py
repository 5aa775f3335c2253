"""The lifecycle is its two tables, read whole: every status with every action and every event."""

from __future__ import annotations

import itertools

import pytest

from reflexdb.model import sizes
from reflexdb.model.lifecycle import (
    ALLOWED,
    GOALS,
    STABLE,
    TRANSITIONS,
    Action,
    Event,
    IllegalMove,
    Rule,
    Status,
    advance,
    availability,
)

PUBLISHED_TABLE = """
registered         | Y |   |   |   | Y |   |   |   | Y |   |   |
testing_connection |   |   |   |   |   |   |   |   |   |   |   |
queued             |   |   |   |   |   | Q |   | Q |   |   |   |
building           |   |   |   |   |   | Q |   | Q |   |   |   |
deploying          |   |   |   |   | Y | Q |   | Q |   |   |   |
running            |   | Y | Y | img | Y | Y |  | Y |   | Y | Y | Y
pausing            |   |   |   |   |   |   | Q | Q |   |   |   |
paused             |   | Y |   | img | Y |  | Y | Y |   |   |   |
resuming           |   |   |   |   |   | Q |   | Q |   |   |   |
failed             | Y | img | img | img | Y+ |  |  | Y |   |   |   |
stopped            | Y |   |   |   | Y |   |   |   | Y |   |   |
terminating        |   |   |   |   |   |   |   |   |   |   |   |
terminated         | Y |   |   |   |   |   |   |   | Y |   |   |
"""
"""Written out a second time, from the specification, so that a change of the code's table is a change of two places.
`Y+` is blank there."""

EVENTS = {
    Action.PROVISION: Event.PROVISION,
    Action.REBUILD: Event.REBUILD,
    Action.REDEPLOY: Event.DEPLOY,
    Action.RECONFIGURE: Event.DEPLOY,
    Action.RESIZE: Event.DEPLOY,
    Action.PAUSE: Event.PAUSE,
    Action.RESUME: Event.RESUME,
    Action.TERMINATE: Event.TERMINATE,
}
"""The move that an action begins where it is done at once; a resize begins one only while running."""


def published_rules() -> dict[tuple[Status, Action], Rule]:
    rules = {}
    for line in PUBLISHED_TABLE.strip().splitlines():
        name, *cells = [cell.strip() for cell in line.split("|")]
        for action, cell in zip(Action, cells, strict=True):
            rules[Status(name), action] = Rule(cell)
    return rules


@pytest.mark.parametrize(("status", "action"), list(itertools.product(Status, Action)))
def test_every_action_in_every_status_follows_the_published_table(status: Status, action: Action) -> None:
    rule = published_rules()[status, action]
    with_image, without = (availability(status, action, has_image=has) for has in (True, False))

    assert with_image.allowed == (rule is not Rule.REFUSED)
    assert without.allowed == (rule in (Rule.IMMEDIATE, Rule.QUEUED, Rule.EXTENSION))
    assert with_image.queued == (rule is Rule.QUEUED)
    assert bool(without.reason) == (not without.allowed)


@pytest.mark.parametrize(("status", "event"), list(itertools.product(Status, Event)))
def test_an_event_that_the_table_lacks_is_refused(status: Status, event: Event) -> None:
    if event in TRANSITIONS[status]:
        assert advance(status, event) is TRANSITIONS[status][event]
    else:
        with pytest.raises(IllegalMove):
            advance(status, event)


def test_every_status_can_be_reached_from_registered() -> None:
    reached, edge = set(), {Status.REGISTERED}
    while edge:
        reached |= edge
        edge = {after for status in edge for after in TRANSITIONS[status].values()} - reached

    assert reached == set(Status)


def test_every_transitional_status_can_fail_or_end_and_none_is_a_trap() -> None:
    for status in set(Status) - STABLE:
        assert Event.STEP_FAILED in TRANSITIONS[status]


def test_only_what_has_a_goal_is_ever_queued() -> None:
    queued = {action for rules in ALLOWED.values() for action, rule in rules.items() if rule is Rule.QUEUED}

    assert queued == set(GOALS)


def test_what_may_be_asked_at_once_has_a_move() -> None:
    """An allowed action whose event the table of moves lacks would crash instead of starting."""
    for status, rules in ALLOWED.items():
        for action, rule in rules.items():
            if (
                action in EVENTS
                and rule is not Rule.QUEUED
                and (action is not Action.RESIZE or status is Status.RUNNING)
            ):
                assert advance(status, EVENTS[action])


def test_two_statuses_are_published_as_building() -> None:
    differing = {status: status.published for status in Status if status.published != status.value}

    assert differing == {Status.TESTING_CONNECTION: "building", Status.QUEUED: "building"}


def test_each_size_doubles_the_one_before() -> None:
    values = list(sizes.SIZES.values())

    for smaller, larger in itertools.pairwise(values):
        assert (larger.task_cpu, larger.task_memory_mb) == (2 * smaller.task_cpu, 2 * smaller.task_memory_mb)
