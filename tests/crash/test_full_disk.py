"""A disk that is full from the n-th write on, for every n: nothing that serves notices, and with space all goes on."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tests.api.api import Api, until
from tests.crash.chosen import PARTS, WHOLE, chosen
from tests.crash.house import House
from tests.crash.test_walk import ACTIONS, MOST_STEPS, Action, ask, at_peace, bring_to, house, killed_at, nursery

__all__ = ["house", "nursery"]

WALKED = [
    (action, samples) for action in ACTIONS for name, samples in (("rebuild", 3), ("resume", 2)) if action.name == name
]


@pytest.mark.timeout(7200 if WHOLE else 300)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("action", "samples"), WALKED, ids=lambda each: getattr(each, "name", ""))
def test_a_full_disk_fails_an_action_in_words_or_delays_it(
    house: House, action: Action, samples: int, part: int
) -> None:
    api = house.started()
    house.register(api)
    bring_to(house, api, action.before)
    life, api = killed_at(house, api, action, MOST_STEPS)
    for step in chosen(f"full disk, {action.name}", len(life.trail), samples, part, PARTS):
        if at_peace(house, api) != action.before:
            ask(house, api, action.back)
            until(house.at_rest, action.back)
        _filled_at(house, api, action, step)
        house.kill()  # counting begins with a life
        api = house.started()


def _filled_at(house: House, api: Api, action: Action, step: int) -> None:
    if action.new_schema:
        house.change_schema()
    house.order(step, "full")
    with house.asked_all_the_time() if action.serves else nullcontext([]) as wrong:
        reply = api("POST", f"/databases/{house.database}/{action.name}")
        until(house.stuck, "all that can be done without space")
        where = (house.trail() or ["before any step"])[-1]
        house.forget_order()
        until(house.at_rest, f"rest after {where}")
        status = at_peace(house, api)
    assert wrong == [], where
    assert reply.status_code == 202 or reply.status_code >= 500, reply.text
    if status == "failed":
        error = api.get(f"/databases/{house.database}")["lastError"]
        assert "space" in error or "full" in error, error
        ask(house, api, "rebuild")
        until(house.at_rest, "another try")
        assert at_peace(house, api) == "running"
