"""When sync works and what on, without clocks."""

from __future__ import annotations

import pytest

from reflexdb.sync.backoff import Backoff
from reflexdb.sync.schedule import Schedule, Work


def steady() -> Backoff:
    return Backoff(1.0, 30.0, uniform=lambda _, high: high)


def schedule(interval_s: float = 10, safety_net_s: float = 100) -> Schedule:
    return Schedule(interval_s, safety_net_s, steady())


def test_waits_double_up_to_the_longest_and_start_over() -> None:
    backoff = steady()
    waits = [backoff.next() for _ in range(7)]
    backoff.reset()

    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.next() == 1


def test_jitter_shortens_a_wait_by_at_most_a_half() -> None:
    waits = [Backoff(1.0, 30.0).next() for _ in range(200)]

    assert all(0.5 <= wait <= 1.0 for wait in waits)
    assert len(set(waits)) > 1


@pytest.mark.parametrize(
    ("loaded", "paused", "ordered", "work"),
    [
        (False, False, False, Work.LOAD),
        (False, True, False, Work.LOAD),
        (True, False, False, Work.REFRESH),
        (True, True, False, None),
        (True, True, True, Work.LOAD),
        (True, False, True, Work.LOAD),
    ],
)
def test_what_is_done_when_something_is_due(loaded: bool, paused: bool, ordered: bool, work: Work | None) -> None:
    assert schedule().decide(1.0, loaded, paused, ordered) is work


def test_a_refresh_is_due_an_interval_after_the_last_one_began() -> None:
    plan = schedule(interval_s=10)
    plan.done(Work.REFRESH, began=100)

    assert plan.decide(109.9, True, False, False) is None
    assert plan.rest_s(104, True, False) == 6
    assert plan.decide(110, True, False, False) is Work.REFRESH


def test_a_thorough_reload_is_due_every_safety_net_and_never_without_one() -> None:
    with_net, without = schedule(safety_net_s=100), schedule(safety_net_s=0)
    for plan in (with_net, without):
        plan.done(Work.LOAD, began=0)
        plan.done(Work.REFRESH, began=90)

    assert with_net.decide(100, True, False, False) is Work.THOROUGH
    assert without.decide(10_000, True, False, False) is Work.REFRESH


def test_a_failure_that_may_mend_is_tried_again_soon_and_another_at_the_interval() -> None:
    soon, later = schedule(interval_s=10), schedule(interval_s=10)
    soon.failed(now=0, soon=True)
    later.failed(now=0, soon=False)

    assert soon.decide(1, True, False, False) is Work.REFRESH
    assert later.decide(9, True, False, False) is None
    assert later.decide(10, True, False, False) is Work.REFRESH


def test_a_paused_instance_waits_for_an_order_alone() -> None:
    assert schedule().rest_s(0, loaded=True, paused=True) == float("inf")


def test_the_safety_net_does_not_wait_for_the_interval_but_for_the_backoff() -> None:
    plan = schedule(interval_s=600, safety_net_s=100)
    plan.done(Work.REFRESH, began=0)  # of a process that found a server loaded
    rests = plan.rest_s(0, True, False)
    due = plan.decide(100, True, False, False)
    plan.failed(100, soon=True)

    assert (rests, due) == (100, Work.THOROUGH)
    assert plan.decide(100.5, True, False, False) is None
    assert plan.decide(101, True, False, False) is Work.THOROUGH


def test_nothing_but_an_order_comes_before_the_moment() -> None:
    schedule = Schedule(10, 0)
    schedule.not_before(5)
    schedule.at_once()
    assert schedule.decide(4, False, False, False) is None
    assert schedule.rest_s(4, False, False) == 1
    assert schedule.decide(4, True, False, True) is Work.LOAD
    assert schedule.decide(5, False, False, False) is Work.LOAD
