"""The operator's routes and the operator's own key, on a control plane without any issuer."""

from __future__ import annotations

import pytest

from reflexdb.control.control import Control
from tests.api.api import Api

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def operator(api: Api, control: Control) -> Api:
    kept: list[str] = []
    assert control.accounts.operators.ensure_first(kept.append)
    [key] = kept
    return Api(api.client, key)


@pytest.fixture(scope="module")
def settled(shared: Api) -> Api:
    """The operator of the module's control plane, for tests that leave nothing that another one would mind."""
    kept: list[str] = []
    control: Control = shared.client.app.state.control  # type: ignore[attr-defined]
    control.accounts.operators.ensure_first(kept.append)
    return Api(shared.client, kept[0])


def test_a_customer_is_made_shown_and_renamed(operator: Api) -> None:
    made = operator.post("/admin/customers", {"name": "Acme"}, expect=201)
    changed = operator("PATCH", f"/admin/customers/{made['id']}", {"name": "Acme Ltd"}, expect=200).json()

    assert (made["name"], made["suspendedAt"]) == ("Acme", None)
    assert changed == {**made, "name": "Acme Ltd"}
    assert operator.get(f"/admin/customers/{made['id']}") == changed
    assert operator.get("/admin/customers")["customers"][1:] == [changed]


def test_the_list_comes_in_pages(operator: Api) -> None:
    for name in "abcde":
        operator.post("/admin/customers", {"name": name}, expect=201)
    whole = operator.get("/admin/customers")

    seen, query = [], "limit=2"
    for _ in range(3):
        page = operator.get(f"/admin/customers?{query}")
        assert len(page["customers"]) == 2
        seen += page["customers"]
        query = f"limit=2&cursor={page['nextCursor']}"
    assert page["nextCursor"] is None
    assert seen == whole["customers"]
    assert [each["name"] for each in seen] == ["default", *"abcde"]
    for bad in ("limit=0", "limit=1001", "cursor=x"):
        assert operator("GET", f"/admin/customers?{bad}").status_code == 400


def test_a_customers_first_key_speaks_for_it_alone(api: Api, operator: Api, database: str) -> None:
    customer = operator.post("/admin/customers", {"name": "Acme"}, expect=201)["id"]
    made = operator.post(f"/admin/customers/{customer}/management-keys", {"name": "first"}, expect=201)
    theirs = Api(api.client, made["key"])

    assert made["customerId"] == customer
    assert theirs.get("/databases") == []
    [listed] = operator.get(f"/admin/customers/{customer}/management-keys")
    assert (listed["id"], "key" in listed) == (made["id"], False)
    assert listed["lastUsedAt"] is not None
    operator("DELETE", f"/admin/customers/{customer}/management-keys/{made['id']}", expect=204)
    assert theirs("GET", "/databases").status_code == 401


def test_what_the_operator_does_is_told_to_the_customer(settled: Api) -> None:
    customer = settled.post("/admin/customers", {"name": "Acme"}, expect=201)["id"]
    key = settled.post(f"/admin/customers/{customer}/management-keys", {"name": "first"}, expect=201)["key"]
    settled("PATCH", f"/admin/customers/{customer}", {"suspended": True}, expect=200)
    settled("PATCH", f"/admin/customers/{customer}", {"suspended": True}, expect=200)
    settled("PATCH", f"/admin/customers/{customer}", {"suspended": False}, expect=200)

    entries = Api(settled.client, key).get("/audit")["entries"]
    assert [each["action"] for each in entries] == [
        "customer.update", "customer.update", "managementKey.create", "customer.create",
    ]  # fmt: skip
    assert {each["keyName"] for each in entries} == {"operator"}
    assert entries[0]["before"]["suspended_at"] == entries[1]["after"]["suspended_at"] is not None


def test_a_key_of_another_customer_is_not_found_under_this_one(settled: Api) -> None:
    one, other = (settled.post("/admin/customers", {"name": n}, expect=201)["id"] for n in "ab")
    key = settled.post(f"/admin/customers/{one}/management-keys", {"name": "k"}, expect=201)["id"]

    settled("DELETE", f"/admin/customers/{other}/management-keys/{key}", expect=404)
    assert settled.get(f"/admin/customers/{one}/management-keys")[0]["revokedAt"] is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None), ("PATCH", "", {"name": "x"}), ("GET", "/management-keys", None),
        ("POST", "/management-keys", {"name": "x"}), ("DELETE", f"/management-keys/{NOWHERE}", None),
        ("GET", "/logins", None), ("DELETE", f"/logins/{NOWHERE}", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("customer", [NOWHERE, "acme", "%2e%2e"])
def test_an_unknown_customer_is_not_found(
    settled: Api, method: str, path: str, body: dict[str, str] | None, customer: str
) -> None:
    settled(method, f"/admin/customers/{customer}{path}", body, expect=404)


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "name"), ({"name": ""}, "name"), ({"name": "x" * 101}, "name"), ({"name": 1}, "name"),
     ({"name": "\0"}, "name"), ({"name": "x", "plan": "enterprise"}, "plan"), ({"name": "x", "id": NOWHERE}, "id")],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_by_name(settled: Api, body: dict[str, object], field: str) -> None:
    reply = settled("POST", "/admin/customers", body)

    assert reply.status_code == 400
    assert field in reply.json()["message"]


def test_nobody_can_be_linked_where_no_issuer_is_configured(settled: Api) -> None:
    customer = settled.get("/admin/customers")["customers"][0]["id"]
    reply = settled("POST", f"/admin/customers/{customer}/logins", {"subject": "ada"})

    assert (reply.status_code, reply.json()["error"]) == (503, "unavailable")
    for body in ({"subject": ""}, {"subject": "a\nb"}, {"subject": "x" * 256}):
        assert settled("POST", f"/admin/customers/{customer}/logins", body).status_code == 400


def test_a_token_is_refused_where_no_issuer_is_configured(settled: Api) -> None:
    reply = Api(settled.client, "eyJhbGciOiJub25lIn0.e30.AAAA")("GET", "/databases")

    assert reply.status_code == 401
    assert "no OIDC issuer is configured" in reply.json()["message"]


def test_a_reset_makes_a_new_operator_key_and_ends_the_former(api: Api, operator: Api, control: Control) -> None:
    kept: list[str] = []
    assert not control.accounts.operators.ensure_first(kept.append)
    control.accounts.operators.reset(kept.append)
    [key] = kept

    reply = operator("GET", "/admin/customers")
    assert reply.status_code == 401
    assert "reset-key" in reply.json()["message"]
    Api(api.client, key).get("/admin/customers")
    entries = api.get("/audit?action=operatorKey.create")["entries"]
    assert len(entries) == 2
    for secret in (key, operator.key):
        assert secret.partition(".")[2] not in str(entries)


def test_a_key_that_could_not_be_kept_was_never_made(api: Api, operator: Api, control: Control) -> None:
    def full(_: str) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        control.accounts.operators.reset(full)

    operator.get("/admin/customers")


def test_only_a_hash_of_the_operator_key_is_kept(operator: Api, control: Control) -> None:
    secret = operator.key.partition(".")[2].encode()
    operator.get("/admin/customers")
    control.rooms.store.close()

    for file in control.rooms.data_dir.rglob("*"):
        assert file.is_dir() or secret not in file.read_bytes()


@pytest.mark.parametrize(
    "text", ["rok_", "rok_.", "rok_a", "rok_a.b", "rok_0000000000000000.x", "rok_a.b.c", "rok_é.x"]
)
def test_what_is_no_operator_key_is_refused(settled: Api, text: str) -> None:
    reply = settled("GET", "/databases", headers={"Authorization": f"Bearer {text}".encode()})  # type: ignore[dict-item]

    assert reply.status_code == 401


def test_a_management_key_is_no_operator_key_by_another_name(api: Api, operator: Api) -> None:
    for key in ("rok" + api.key.removeprefix("rmk"), "rmk" + operator.key.removeprefix("rok")):
        assert Api(api.client, key)("GET", "/databases").status_code == 401
