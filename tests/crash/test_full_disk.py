"""A disk that is full, or read-only, from the n-th write on, for every n: nothing that serves notices, and all goes on
once it can be written again."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tests.api.api import Api, until
from tests.crash.chosen import PARTS, WHOLE, chosen
from tests.crash.house import House
from tests.crash.test_walk import ACTIONS, MOST_STEPS, Action, ask, at_peace, bring_to, house, killed_at, nursery

__all__ = ["house", "nursery"]

WALKED = [
    (kind, action, samples)
    for kind, name, samples in (("full", "rebuild", 3), ("full", "resume", 2), ("read-only", "rebuild", 2))
    for action in ACTIONS
    if action.name == name
]


@pytest.mark.timeout(7200 if WHOLE else 300)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("kind", "action", "samples"), WALKED, ids=lambda each: getattr(each, "name", str(each)))
def test_a_disk_that_can_not_be_written_fails_an_action_in_words_or_delays_it(
    house: House, kind: str, action: Action, samples: int, part: int
) -> None:
    api = house.started()
    house.register(api)
    bring_to(house, api, action.before)
    life, api = killed_at(house, api, action, MOST_STEPS)
    for step in chosen(f"{kind} disk, {action.name}", len(life.trail), samples, part, PARTS):
        if at_peace(house, api) != action.before:
            ask(house, api, action.back)
            until(house.at_rest, action.back)
        _refused_from(house, api, action, step, kind)
        house.kill()  # counting begins with a life
        api = house.started()


def _refused_from(house: House, api: Api, action: Action, step: int, kind: str) -> None:
    if action.new_schema:
        house.change_schema()
    house.order(step, kind)
    with house.asked_all_the_time() if action.serves else nullcontext([]) as wrong:
        reply = api("POST", f"/databases/{house.database}/{action.name}")
        until(house.stuck, "all that can be done without writing")
        where = (house.trail() or ["before any step"])[-1]
        house.forget_order()
        until(house.at_rest, f"rest after {where}")
        status = at_peace(house, api)
    assert wrong == [], where
    assert reply.status_code == 202 or reply.status_code >= 500, reply.text
    if status == "failed":
        error = api.get(f"/databases/{house.database}")["lastError"]
        assert any(words in error for words in ("space", "full", "ead-only")), error
        ask(house, api, "rebuild")
        until(house.at_rest, "another try")
        assert at_peace(house, api) == "running"
