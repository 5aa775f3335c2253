"""kill -9 before every step of the first start and of requests that only write: done whole, or not done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from reflexdb.records.store import Store
from tests.api.api import Api
from tests.crash.chosen import WHOLE, chosen
from tests.crash.house import House
from tests.crash.invariants import everything_in
from tests.crash.nursery import Nursery

PASSWORD = "a password to look for"
_TEMPORARY = re.compile(r"(^|/)\.(?!lock$|supervised$)|\.new$")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def leftovers(house: House) -> list[str]:
    """Temporary files, and secrets that no record points to or that a record points to in vain."""
    files = [path for path in everything_in(house.data) if _TEMPORARY.search(path) and not path.endswith(".lock")]
    kept = set(json.loads((house.data / "secrets.bin").read_text())["entries"]) if house.database else set()
    databases = house.records("SELECT id FROM databases WHERE deleted_at IS NULL")
    wanted = {"image-signing", *(f"database/{row['id']}/hmac" for row in databases)}
    wanted |= {
        row["password_ref"]
        for row in house.records("SELECT password_ref FROM connections WHERE deleted_at IS NULL")
        if row["password_ref"]
    }
    return files + sorted(kept ^ wanted if house.database else [])


@pytest.mark.both_records
@pytest.mark.timeout(1800 if WHOLE else 280)
def test_a_first_start_killed_at_any_step_is_followed_by_one_that_can_be_used(
    tmp_path: Path, nursery: Nursery, records: URL | None
) -> None:
    steps = chosen("first start", _first_start(tmp_path / "whole", nursery, 10_000, records), 5)
    for step in steps:
        _first_start(tmp_path / str(step), nursery, step, records)


def _first_start(root: Path, nursery: Nursery, last: int, records: URL | None) -> int:
    """Start on a new directory with this order, and then without; the number of steps that were counted."""
    if records is not None:
        Store(records, migrate=False).empty()
    house = House(root, nursery, records)
    try:
        house.order(last)
        api = house.start()
        counted = len(house.trail())
        if api is not None:
            house.kill()
        house.forget_order()
        api = house.started()
        keys = api.get("/account/management-keys")
        assert (len(keys), leftovers(house)) == (1, []), f"killed at step {last}"
    finally:
        house.clear()
    return counted


@dataclass(frozen=True)
class Request:
    name: str
    ask: Callable[[Api, House, int], httpx.Response]
    done: Callable[[Api, House, int], bool]
    """Whether the records show all of it; what is not done has left nothing."""


def _connection(number: int) -> dict[str, Any]:
    return {
        "name": f"made {number}",
        "backend": "mysql",
        "mysqlHost": "127.0.0.1",
        "availableSchemas": ["main"],
        "mysqlUser": "reader",
        "mysqlPassword": PASSWORD,
        "instance": {"name": f"first {number}", "mysqlDb": "main"},
    }


def _made(api: Api, house: House, number: int) -> bool:
    connections = [each for each in api.get("/connections") if each["name"] == f"made {number}"]
    databases = [each for each in api.get("/databases") if each["name"] == f"first {number}"]
    assert len(connections) == len(databases)
    return len(connections) == 1


def _deleted(api: Api, house: House, number: int) -> bool:
    return not [each for each in api.get("/databases") if each["name"] == f"first {number}"]


def _id(api: Api, kind: str, name: str) -> str:
    [found] = [each["id"] for each in api.get(f"/{kind}") if each["name"] == name]
    return str(found)


def _new_password(api: Api, house: House, number: int) -> httpx.Response:
    changes = {"mysqlPassword": f"{PASSWORD} {number}", "mysqlUser": f"reader {number}"}
    return api("PATCH", f"/connections/{house.other_connection}", changes)


def _has_new_user(api: Api, house: House, number: int) -> bool:
    return bool(api.get(f"/connections/{house.other_connection}")["mysqlUser"] == f"reader {number}")


REQUESTS = [
    Request(
        "a connection with its first database", lambda api, _, n: api("POST", "/connections", _connection(n)), _made
    ),
    Request("a new password", _new_password, _has_new_user),
    Request("a deletion", lambda api, house, n: api("DELETE", f"/databases/{house.victim}"), _deleted),
]


@pytest.mark.both_records
@pytest.mark.timeout(1800 if WHOLE else 280)
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)
def test_killed_at_any_step_a_request_is_done_whole_or_not_at_all(
    tmp_path: Path, nursery: Nursery, records: URL | None, request_: Request
) -> None:
    house = House(tmp_path, nursery, records)
    try:
        api = house.started()
        house.register(api)
        api.post("/connections", _connection(0), expect=201)
        house.other_connection = _id(api, "connections", "made 0")
        counted: list[int] = []
        for number, step in enumerate(_steps(request_.name, counted), 1):
            if request_.name == "a deletion":
                api.post("/connections", _connection(number), expect=201)
                house.victim = _id(api, "databases", f"first {number}")
            life = house.act(step, lambda n=number, a=api: request_.ask(a, house, n))
            counted.append(len(life.trail))
            api = house.started()
            where = f"killed at step {step}: {life.trail[-1]}"
            assert leftovers(house) == [], where
            done = request_.done(api, house, number)
            if life.reply is not None:
                assert life.reply.is_success, life.reply.text
                assert done, where
    finally:
        house.clear()


def _steps(name: str, counted: list[int]) -> Iterator[int]:
    """First a life that comes through, which tells how many steps there are, then those that do not."""
    yield 10_000
    yield from chosen(name, counted[0], 3)
