"""ETag and If-Match: nobody's change is lost, and nobody is refused without reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.api import Api
from tests.contract.contract import every_operation, served

NOBODY = "00000000-0000-4000-8000-000000000000"
OTHER = '"0123456789abcdef0123456789abcdef"'


def tag_of(api: Api, path: str) -> str:
    return str(api("GET", path, expect=200).headers["etag"])


def change(api: Api, path: str, match: str, name: str = "renamed") -> httpx.Response:
    return api("PATCH", path, {"name": name}, headers={"If-Match": match})


@pytest.fixture
def paths(api: Api, database: str) -> tuple[str, str]:
    """Of the database and of its connection."""
    connection = api.get(f"/databases/{database}")["connectionId"]
    return f"/databases/{database}", f"/connections/{connection}"


def test_a_tag_stays_until_something_changes_and_is_answered_with_each_change(api: Api, paths: tuple[str, str]) -> None:
    for path in paths:
        before = tag_of(api, path)
        assert tag_of(api, path) == before
        changed = change(api, path, before)
        assert changed.status_code == 200
        assert changed.headers["etag"] == tag_of(api, path) != before


def test_a_change_of_what_was_changed_since_is_refused_and_does_nothing(api: Api, paths: tuple[str, str]) -> None:
    for path in paths:
        seen = tag_of(api, path)
        change(api, path, seen, "first")
        refused = change(api, path, seen, "second")

        assert (refused.status_code, refused.json()["error"]) == (412, "precondition_failed")
        assert "If-Match" in refused.json()["message"]
        assert api.get(path)["name"] == "first"


FORMS = {
    "{}": 200, "*": 200, " {} , " + OTHER: 200, OTHER + ",{}": 200, ",,{}": 200, "W/{}": 412, "W/{}, " + OTHER: 412,
    OTHER: 412, '""': 412, "{}x": 400, "x": 400, "": 400, '"': 400, "*, {}": 400, "w/{}": 400, '"a" "b"': 400,
}  # fmt: skip


def test_the_forms_of_if_match(api: Api, paths: tuple[str, str]) -> None:
    for path in paths:
        for form, status in FORMS.items():
            assert change(api, path, form.replace("{}", tag_of(api, path))).status_code == status, form


def test_several_headers_are_one_list(api: Api, database: str) -> None:
    path = f"/v1/databases/{database}"
    tag = tag_of(api, f"/databases/{database}")
    headers = [("Authorization", f"Bearer {api.key}"), ("If-Match", OTHER), ("If-Match", tag)]

    assert api.client.patch(path, headers=headers, json={"name": "n"}).status_code == 200


def test_of_two_that_race_with_the_same_tag_one_wins(api: Api, paths: tuple[str, str]) -> None:
    for path in paths:
        tag = tag_of(api, path)
        with ThreadPoolExecutor(6) as pool:
            replies = list(pool.map(lambda number: change(api, path, tag, f"n{number}"), range(6)))  # noqa: B023
        assert sorted(reply.status_code for reply in replies) == [200] + 5 * [412]


CONDITIONAL = [
    (method, path)
    for method, path, operation in every_operation(served())
    if any(each["name"] == "If-Match" for each in operation.get("parameters", ()))
]


def test_every_operation_that_says_so_waits_for_the_condition(api: Api, paths: tuple[str, str]) -> None:
    database, connection = (each.rpartition("/")[2] for each in paths)
    yaml = {"content": b"version: 1\n", "headers": {"Content-Type": "application/yaml"}}
    api("PUT", f"/databases/{database}/config", expect=204, **yaml)
    before = api.get(paths[0]), api.get(paths[1])
    bodies: dict[str, dict[str, Any]] = {
        "PUT": yaml,
        "redeploy": {"json": {"buildId": NOBODY}},
        "resize": {"json": {"instanceSize": "small"}},
        "PATCH": {"json": {"name": "x"}},
    }

    assert len(CONDITIONAL) == 20
    for method, path in CONDITIONAL:
        there = path.replace("{id}", connection if path.startswith("/connections") else database)
        there = there.replace("{build_id}", NOBODY)
        options = bodies.get(path.rpartition("/")[2], bodies.get(method, {}))
        headers = {**options.get("headers", {}), "If-Match": OTHER}
        assert api(method, there, **{**options, "headers": headers}).status_code == 412, there
    assert (api.get(paths[0]), api.get(paths[1])) == before


def test_a_configuration_has_a_tag_of_its_own(api: Api, database: str) -> None:
    path = f"/databases/{database}/config"

    def put(text: bytes, match: str) -> int:
        headers = {"Content-Type": "application/yaml", "If-Match": match}
        return api("PUT", path, content=text, headers=headers).status_code

    assert put(b"version: 1\n", "*") == 412  # there is none yet
    api("PUT", path, content=b"version: 1\n", headers={"Content-Type": "application/yaml"}, expect=204)
    tag = tag_of(api, path)
    assert put(b"version: 1\n\n", tag) == 204
    assert put(b"version: 1\n\n\n", tag) == 412
    assert put(b"version: 1\n\n\n", "*") == 204


def test_a_request_that_would_be_refused_anyway_is_refused_for_that(api: Api, database: str) -> None:
    for match in ('W/"a"', OTHER):
        refused = api("PATCH", f"/databases/{database}", {"name": 1}, headers={"If-Match": match})
        assert (refused.status_code, refused.json()["error"]) == (400, "bad_request")


def test_what_does_not_exist_is_not_found_whatever_is_demanded(api: Api) -> None:
    assert change(api, f"/databases/{NOBODY}", "*").status_code == 404
    assert change(api, f"/connections/{NOBODY}", OTHER).status_code == 404
