"""Who may do what: keys, their ends, and the walls between accounts."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflexdb.control.control import Control
from reflexdb.control.databases import database_secret
from reflexdb.control.rooms import new_id
from reflexdb.records import accounts
from tests.api.api import Api
from tests.api.test_bad_input import GOOD
from tests.contract.contract import operations

OPEN = ("/healthz", "/v1/openapi.json")


@pytest.fixture
def stranger(api: Api, control: Control) -> Api:
    """Another account on the same control plane."""
    customer_id = new_id()
    with control.rooms.store.write() as tx:
        accounts.add_customer(tx, id=customer_id, name="other", plan="free", created_at=control.rooms.now())
    return Api(api.client, control.accounts.create_key(customer_id, "theirs", None).key)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic YTpi", "rmk_a.b", "Bearer rmk_", "Bearer rmk_.", "Bearer rmk_a", "Bearer rxk_a.b",
     "Bearer rmk_0000000000000000.x", "Bearer " + "x" * 10_000, "Bearer rmk_é.ü".encode().decode("latin-1"),
     "Bearer rmk_' OR 1=1 --.x"],
)  # fmt: skip
def test_what_is_no_valid_key_is_refused(shared: Api, authorization: str) -> None:
    reply = shared("GET", "/databases", headers={"Authorization": authorization.encode("latin-1")})  # type: ignore[dict-item]

    assert (reply.status_code, reply.json()["error"]) == (401, "unauthorized")
    assert reply.headers["www-authenticate"].startswith("Bearer")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_key_with_one_bit_changed_is_refused(shared: Api, data: st.DataObject) -> None:
    key = shared.key.encode()
    bit = data.draw(st.integers(0, 8 * len(key) - 1))
    changed = bytearray(key)
    changed[bit // 8] ^= 1 << bit % 8

    reply = shared("GET", "/databases", headers={"Authorization": b"Bearer " + bytes(changed)})  # type: ignore[dict-item]
    assert reply.status_code == 401


@pytest.mark.parametrize(("method", "path"), [each[:2] for each in operations()])
def test_no_operation_answers_without_a_key_whatever_its_body(shared: Api, method: str, path: str) -> None:
    reply = shared.client.request(method, f"/v1{path}", content=b"{", headers={"Content-Type": "application/json"})

    assert reply.status_code == 401
    assert reply.json()["error"] == "unauthorized"


def test_health_and_description_are_open(shared: Api) -> None:
    assert [shared.client.get(path).status_code for path in OPEN] == [200, 200]


def test_a_new_management_key_works_until_it_is_revoked(api: Api) -> None:
    made = api.post("/account/management-keys", {"name": "ci"}, expect=201)
    theirs = Api(api.client, made["key"])
    theirs.get("/databases")
    listed = {key["id"]: key for key in api.get("/account/management-keys")}

    assert "key" not in listed[made["id"]]
    assert listed[made["id"]]["lastUsedAt"] is not None
    api("DELETE", f"/account/management-keys/{made['id']}", expect=204)
    assert theirs("GET", "/databases").status_code == 401
    api("DELETE", f"/account/management-keys/{made['id']}", expect=204)
    assert {key["id"]: key["revokedAt"] for key in api.get("/account/management-keys")}[made["id"]] is not None


def test_an_expired_management_key_is_refused(api: Api, control: Control) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = api.post("/account/management-keys", {"name": "short", "expiresAt": soon}, expect=201)
    theirs = Api(api.client, made["key"])
    theirs.get("/databases")
    with control.rooms.store.write() as tx:
        tx.exec_driver_sql("UPDATE management_keys SET expires_at = '2020-01-01T00:00:00.000000Z' WHERE name = 'short'")

    refused = theirs("GET", "/databases")
    assert refused.status_code == 401
    assert "expired" in refused.json()["message"]


def test_only_a_hash_of_a_management_key_is_kept(api: Api, control: Control) -> None:
    secret = api.key.partition(".")[2].encode()
    control.rooms.store.close()

    for file in control.rooms.data_dir.rglob("*"):
        assert file.is_dir() or secret not in file.read_bytes()


def test_an_api_key_is_signed_with_the_databases_own_secret(api: Api, database: str, control: Control) -> None:
    made = api.post(f"/databases/{database}/api-keys", {"name": "web"}, expect=201)
    secret = control.rooms.secrets.get(database_secret(database))
    signature = hmac.new(secret, made["keyId"].encode(), hashlib.sha256).hexdigest()

    assert made["key"] == f"rxk_{made['keyId']}.{signature}"
    [listed] = api.get(f"/databases/{database}/api-keys")
    assert listed == {name: value for name, value in made.items() if name != "key"}


def test_a_revoked_api_key_is_no_longer_among_the_accepted(api: Api, database: str, control: Control) -> None:
    first, second = (api.post(f"/databases/{database}/api-keys", {"name": n}, expect=201) for n in ("a", "b"))
    assert set(control.keys.accepted(database).keys) == {first["keyId"], second["keyId"]}
    for key in (first["keyId"], second["id"]):
        api("DELETE", f"/databases/{database}/api-keys/{key}", expect=204)

    assert control.keys.accepted(database).keys == {}
    assert all(key["revokedAt"] for key in api.get(f"/databases/{database}/api-keys"))
    api("DELETE", f"/databases/{database}/api-keys/unknown", expect=404)


def test_a_stranger_sees_nothing(api: Api, database: str, stranger: Api) -> None:
    assert stranger.get("/databases") == []
    assert stranger.get("/connections") == []
    assert len(stranger.get("/account/management-keys")) == 1


def test_a_stranger_can_not_use_anothers_connection(api: Api, database: str, stranger: Api) -> None:
    connection_id = api.get("/connections")[0]["id"]

    stranger("POST", "/databases", {"connectionId": connection_id, "name": "x", "mysqlDb": "main"}, expect=404)


def test_another_databases_key_is_not_found(api: Api, database: str) -> None:
    connection_id = api.get("/connections")[0]["id"]
    second = api.post("/databases", {"connectionId": connection_id, "name": "2", "mysqlDb": "main"}, expect=201)["id"]
    made = api.post(f"/databases/{database}/api-keys", {"name": "k"}, expect=201)

    for key in (made["keyId"], made["id"]):
        api("DELETE", f"/databases/{second}/api-keys/{key}", expect=404)


def test_both_accounts_may_use_the_same_names(api: Api, database: str, stranger: Api) -> None:
    body = {**GOOD["createConnection"], "name": api.get("/connections")[0]["name"]}

    stranger.post("/connections", body, expect=201)
