"""kill -9 before every single step of every action, and the next control plane finds its way to the truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.api.api import Api, until
from tests.crash.chosen import PARTS, WHOLE, chosen
from tests.crash.house import House, Life
from tests.crash.invariants import complaints
from tests.crash.nursery import Nursery

MOST_STEPS = 1_000
REST_LIMIT_S = 100.0
"""What could not be removed is tried again each minute."""


@dataclass(frozen=True)
class Action:
    name: str
    before: str
    after: str
    samples: int
    """Steps that are tried where not all are."""
    new_schema: bool = False
    serves: bool = False
    """Queries are answered before, during and after."""
    back: str = ""
    """The action that leads back to where it began."""


ACTIONS = [
    Action("provision", "terminated", "running", 3, new_schema=True, back="terminate"),
    Action("rebuild", "running", "running", 4, new_schema=True, serves=True),
    Action("redeploy", "running", "running", 3, serves=True),
    Action("pause", "running", "paused", 2, back="resume"),
    Action("resume", "paused", "running", 2, back="pause"),
    Action("terminate", "running", "terminated", 2, back="provision"),
]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def house(tmp_path: Path, nursery: Nursery, records: URL | None) -> Iterator[House]:
    house = House(tmp_path, nursery, records)
    try:
        yield house
    finally:
        house.clear()


def at_peace(house: House, api: Api) -> str:
    """The status once the database is at rest and there is nothing to complain of."""
    found: list[str] = []

    def peace() -> bool:
        found[:] = complaints(house, api) if house.at_rest() else ["not at rest"]
        return not found

    try:
        until(house.at_rest, "rest")
        until(peace, "peace", REST_LIMIT_S)
    except AssertionError as exc:
        told = api.get(f"/databases/{house.database}")
        raise AssertionError(f"{told['status']} ({told['lastError']}): {'; '.join(found) or 'no rest'}") from exc
    status: str = api.get(f"/databases/{house.database}")["status"]
    return status


def ask(house: House, api: Api, action: str, expect: int = 202) -> None:
    body = {"buildId": active(house)} if action == "redeploy" else None
    api.post(f"/databases/{house.database}/{action}", body, expect)


def active(house: House) -> str:
    [row] = house.records("SELECT build_id FROM deployments WHERE serving_at IS NOT NULL AND retired_at IS NULL")
    return str(row["build_id"])


def bring_to(house: House, api: Api, status: str) -> None:
    for name in {"terminated": ["provision", "terminate"], "paused": ["provision", "pause"]}.get(status, ["provision"]):
        ask(house, api, name)
        until(house.at_rest, name)
    assert at_peace(house, api) == status


def killed_at(house: House, api: Api, action: Action, step: int) -> tuple[Life, Api]:
    """The action, with a control plane that dies before its n-th step, and one that finds what it left."""
    if action.new_schema:
        house.change_schema()
    body = {"buildId": active(house)} if action.name == "redeploy" else None
    with house.asked_all_the_time() if action.serves else nullcontext([]) as wrong:
        life = house.act(step, lambda: api("POST", f"/databases/{house.database}/{action.name}", body))
        api = house.started()
        status = at_peace(house, api)
    where = life.trail[-1] if life.killed else "the end"
    assert wrong == [], where
    if life.reply is not None:
        assert (life.reply.status_code, status) == (202, action.after), where
    assert status in (action.before, action.after), where
    return life, api


@pytest.mark.timeout(7200 if WHOLE else 300)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_killed_at_any_step_an_action_ends_in_the_truth(house: House, action: Action, part: int) -> None:
    api = house.started()
    house.register(api)
    bring_to(house, api, action.before)
    life, api = killed_at(house, api, action, MOST_STEPS)
    assert not life.killed
    for step in chosen(action.name, len(life.trail), action.samples, part, PARTS):
        api = _back(house, api, action)
        try:
            life, api = killed_at(house, api, action, step)
        except AssertionError as exc:
            raise AssertionError(f"{action.name}, killed at step {step}: {exc}") from exc


def _back(house: House, api: Api, action: Action) -> Api:
    status = at_peace(house, api)
    if status != action.before:
        ask(house, api, action.back)
        until(house.at_rest, action.back)
        assert at_peace(house, api) == action.before
    return api
