"""The audit: every accepted change is told once, with who and from where, and never with a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from reflexdb.control.control import Control
from reflexdb.control.rooms import new_id, utc_now
from reflexdb.records import accounts
from tests.api.api import Api

pytestmark = pytest.mark.both_records

SECRET = "hunter2-hunter2"


def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/audit{query}")["entries"]
    return found


def test_a_change_is_told_with_who_from_where_and_what(api: Api, database: str) -> None:
    headers = {"X-Request-Id": "my-request"}
    api("PATCH", f"/databases/{database}", {"instanceSize": "small", "logLevel": "info"}, headers=headers, expect=200)

    [entry] = entries(api, "?action=database.update")
    assert (entry["before"], entry["after"]) == ({"instance_size": "nano"}, {"instance_size": "small"})
    assert (entry["trigger"], entry["keyName"], entry["address"]) == ("api", "first key", "testclient")
    assert (entry["requestId"], entry["targetType"], entry["targetId"]) == ("my-request", "database", database)
    assert entry["keyId"] == api.key.partition("_")[2].partition(".")[0]


def test_every_kind_of_change_has_its_entry(api: Api, database: str) -> None:
    connection = api.get(f"/databases/{database}")["connectionId"]
    key = api.post(f"/databases/{database}/api-keys", {"name": "k"}, expect=201)
    manager = api.post("/account/management-keys", {"name": "m"}, expect=201)
    api("PATCH", f"/connections/{connection}", {"name": "renamed"}, expect=200)
    api("PUT", f"/databases/{database}/config", content="version: 1\n", headers={"Content-Type": "application/yaml"})
    api.post(f"/databases/{database}/resize", {"instanceSize": "small"})
    api("DELETE", f"/databases/{database}/api-keys/{key['keyId']}", expect=204)
    api("DELETE", f"/account/management-keys/{manager['id']}", expect=204)
    api("DELETE", f"/databases/{database}", expect=204)
    api("DELETE", f"/connections/{connection}", expect=204)

    told = entries(api)
    assert [entry["action"] for entry in reversed(told)][1:] == [
        "connection.create", "database.create", "apiKey.create", "managementKey.create", "connection.update",
        "database.config", "database.resize", "apiKey.revoke", "managementKey.revoke", "database.delete",
        "connection.delete",
    ]  # fmt: skip
    assert told[-1]["action"] == "managementKey.create"  # the account's first key
    assert [entry["number"] for entry in told] == sorted((entry["number"] for entry in told), reverse=True)
    resize = entries(api, "?action=database.resize")[0]
    assert (resize["before"], resize["after"]) == ({"instance_size": "nano"}, {"instance_size": "small"})
    for made in (key, manager):
        assert made["key"].partition(".")[2] not in json.dumps(told)


def test_a_password_is_never_told(api: Api, control: Control) -> None:
    body = {
        "name": "p", "backend": "postgres", "mysqlHost": "h", "mysqlUser": "u", "mysqlPassword": SECRET,
        "availableSchemas": ["public"],
    }  # fmt: skip
    connection = api.post("/connections", body, expect=201)["connection"]["id"]
    api("PATCH", f"/connections/{connection}", {"mysqlPassword": SECRET + "2"}, expect=200)

    changed, created = entries(api, f"?target={connection}")
    assert (changed["before"], changed["after"]) == ({"password": "(set)"}, {"password": "(set)"})
    assert created["after"]["password"] == "(set)"
    with control.rooms.store.read() as tx:
        names = control.rooms.secrets.names()
        stored = str(tx.exec_driver_sql("SELECT * FROM audit").fetchall())
    assert SECRET not in stored
    assert not any(name in stored for name in names if name.startswith("connection/"))


def test_what_was_refused_or_changes_nothing_has_no_entry(api: Api, database: str) -> None:
    before = entries(api)
    api("PATCH", f"/databases/{database}", {"instanceSize": "nano"}, expect=200)
    api("POST", f"/databases/{database}/resume", expect=409)
    api("PATCH", f"/databases/{database}", {"mysqlDb": "nowhere"}, expect=400)

    assert entries(api) == before


def test_pages_and_filters_choose(api: Api, database: str) -> None:
    for size in ("small", "medium", "large"):
        api("PATCH", f"/databases/{database}", {"instanceSize": size}, expect=200)
    everything = entries(api)

    seen, cursor = [], ""
    while True:
        page = api.get(f"/audit?limit=2{cursor}")
        seen += page["entries"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == everything
    at = everything[1]["at"]
    assert [entry["number"] for entry in entries(api, f"?until={at}")] == [
        entry["number"] for entry in everything if entry["at"] < at
    ]
    assert len(entries(api, f"?target={database}")) == 4
    assert entries(api, "?key=nobody") == []
    for query in ("limit=0", "since=x", "cursor=x"):
        assert api("GET", f"/audit?{query}").status_code == 400


def test_an_account_sees_its_own_alone(api: Api, control: Control, database: str) -> None:
    other = new_id()
    with control.rooms.store.write() as tx:
        accounts.add_customer(tx, id=other, name="other", plan="free", created_at=utc_now())
    stranger = Api(api.client, control.accounts.create_key(other, "k", None).key)

    assert [entry["action"] for entry in entries(stranger)] == ["managementKey.create"]
    assert database not in json.dumps(entries(stranger))


@pytest.mark.parametrize("statement", ["UPDATE audit SET action = 'x'", "DELETE FROM audit"])
def test_an_entry_can_not_be_changed_or_removed(api: Api, control: Control, database: str, statement: str) -> None:
    with pytest.raises(IntegrityError), control.rooms.store.write() as tx:
        tx.exec_driver_sql(statement)
