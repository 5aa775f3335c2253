"""Lists in pages: the plain call has everything, and the pages together have the same, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id, utc_now
from reflexdb.records import accounts, databases
from tests.api.api import Api, sqlite_connection

MANY = 5


@pytest.fixture
def lists(api: Api, database: str, source: Path) -> dict[str, int]:
    """The paths of lists that begin with the oldest, and how many each has."""
    connection = api.get(f"/databases/{database}")["connectionId"]
    for number in range(MANY - 1):
        api.post("/connections", _without_instance(source, f"c{number}"), expect=201)
        api.post("/databases", {"connectionId": connection, "name": f"d{number}", "mysqlDb": "main"}, expect=201)
        api.post("/account/management-keys", {"name": f"k{number}"}, expect=201)
        api.post(f"/databases/{database}/api-keys", {"name": f"a{number}"}, expect=201)
    return {
        "/connections": MANY,
        "/databases": MANY,
        "/account/management-keys": MANY,
        f"/databases/{database}/api-keys": MANY - 1,
    }


def _without_instance(source: Path, name: str) -> dict[str, Any]:
    body = sqlite_connection(str(source), name=name)
    del body["instance"]
    return body


def pages(api: Api, path: str) -> list[list[Any]]:
    """Page after page, as the header Link leads."""
    found = []
    following: str | None = path
    while following is not None:
        reply = api("GET", following, expect=200)
        found.append(reply.json())
        link = reply.links.get("next")
        following = urljoin(path, link["url"]) if link else None
    return found


def test_the_pages_together_are_the_plain_list(api: Api, lists: dict[str, int]) -> None:
    for path, many in lists.items():
        plain = api("GET", path, expect=200)
        assert len(plain.json()) == many
        assert "link" not in plain.headers
        for limit in (1, 2, many, many + 1):
            found = pages(api, f"{path}?limit={limit}")
            assert [each["id"] for page in found for each in page] == [each["id"] for each in plain.json()]
            assert all(len(page) == limit for page in found[:-1])
            assert found[-1], "a page that is linked to has something"


def test_what_comes_and_goes_meanwhile_moves_nothing(api: Api, lists: dict[str, int], source: Path) -> None:
    first = api("GET", "/connections?limit=2", expect=200)
    everything = [each["id"] for each in api.get("/connections")]
    added = api.post("/connections", _without_instance(source, "late"), expect=201)["connection"]["id"]
    api("DELETE", f"/connections/{everything[1]}", expect=204)

    rest = pages(api, urljoin("/connections", first.links["next"]["url"]))

    assert [each["id"] for page in rest for each in page] == [*everything[2:], added]


def test_only_what_is_wanted(api: Api, lists: dict[str, int], database: str, control: Control) -> None:
    for path in lists:
        newest = api.get(path)[-1]
        assert api.get(f"{path}?since=2999-01-01T00:00:00Z") == []
        assert newest["id"] in [each["id"] for each in api.get(f"{path}?since={newest['createdAt']}")]
    with control.rooms.store.write() as tx:
        databases.change(tx, database, utc_now(), status="queued")
    assert [each["id"] for each in api.get("/databases?status=building")] == [database], "as it is published"
    assert len(api.get("/databases?status=registered")) == MANY - 1
    keys = f"/databases/{database}/api-keys"
    gone = api.get(keys)[0]["keyId"]
    api("DELETE", f"{keys}/{gone}", expect=204)
    assert [each["keyId"] for each in api.get(f"{keys}?status=revoked")] == [gone]
    assert len(api.get(f"{keys}?status=active")) == MANY - 2
    assert api.get(f"{keys}?status=expired") == api.get("/account/management-keys?status=expired") == []
    assert len(api.get("/account/management-keys?status=active&limit=1")) == 1


def test_a_cursor_is_of_one_list_of_one_account_and_cannot_be_made(
    api: Api, lists: dict[str, int], control: Control
) -> None:
    cursors = {
        path: api("GET", f"{path}?limit=1", expect=200).links["next"]["url"].partition("cursor=")[2] for path in lists
    }
    assert len(set(cursors.values())) == len(lists)
    other = new_id()
    with control.rooms.store.write() as tx:
        accounts.add_customer(tx, id=other, name="other", plan="free", created_at=utc_now())
    stranger = Api(api.client, control.accounts.create_key(other, "k", None).key)
    theirs = cursors["/connections"]
    changed = theirs[:10] + ("A" if theirs[10] != "A" else "B") + theirs[11:]
    forged = ["x", "", "%00", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIiwieCJd", changed, cursors["/databases"], "A" * 500]

    for cursor in forged:
        refused = api("GET", f"/connections?cursor={cursor}", expect=400)
        assert "cursor" in refused.json()["message"], cursor
    assert stranger("GET", f"/connections?cursor={theirs}").status_code == 400
    assert api("GET", f"/connections?cursor={theirs}").status_code == 200
    for path in (*lists, "/audit"):
        for wrong in ("limit=0", "limit=1001", "limit=x", "since=x", "cursor=x"):
            refused = api("GET", f"{path}?{wrong}", expect=400)
            assert wrong.partition("=")[0] in refused.json()["message"]


def test_deployments_are_chosen_by_outcome_and_time(api: Api, database: str) -> None:
    api.post(f"/databases/{database}/provision")
    path = f"/databases/{database}/deployments"

    assert len(api.get(f"{path}?status=pending")["deployments"]) == 1
    for outcome in ("in_progress", "succeeded", "failed"):
        assert api.get(f"{path}?status={outcome}")["deployments"] == []
    assert api.get(f"{path}?since=2999-01-01T00:00:00Z")["deployments"] == []
    assert "status" in api("GET", f"{path}?status=done", expect=400).json()["message"]
