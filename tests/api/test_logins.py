"""Tokens at the gate: whom they speak for, who is the operator, and what becomes of those nobody knows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from reflexdb.control.accounts import ADMIN_GROUP
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from reflexdb.model.issuer import FirstLogin, IssuerSettings
from tests.api.api import Api
from tests.servers.issuer import AUDIENCE, LittleIssuer


@pytest.fixture
def first_login() -> FirstLogin:
    return FirstLogin.REFUSE


@pytest.fixture
def control(tmp_path: Path, issuer: LittleIssuer, first_login: FirstLogin, records: URL | None) -> Iterator[Control]:
    """As everywhere, with an issuer."""
    directory = tmp_path / "data"
    directory.mkdir()
    trusted = IssuerSettings(issuer=issuer.url, audiences=(AUDIENCE,), first_login=first_login)
    settings = Settings(base_url="http://127.0.0.1:8400", issuer=trusted, sqlite_directories=(tmp_path,))
    control = open_control(directory, settings, "127.0.0.1", records)
    yield control
    control.rooms.store.close()


@pytest.fixture
def operator(api: Api, issuer: LittleIssuer) -> Api:
    """By a token with the group, and no customer of its own."""
    return Api(api.client, issuer.token(sub="root", groups=[ADMIN_GROUP]))


def speaking(api: Api, text: str) -> Api:
    return Api(api.client, text)


def new_customer(operator: Api, name: str = "acme") -> str:
    made = operator.post("/admin/customers", {"name": name}, expect=201)
    return str(made["id"])


def message(reply: Any) -> str:
    assert reply.status_code == 401
    return str(reply.json()["message"])


def test_a_claim_names_the_customer(api: Api, operator: Api, issuer: LittleIssuer, database: str) -> None:
    customer = new_customer(operator)
    ada = speaking(api, issuer.token(**{"custom:customer_id": customer.upper(), "email": "ada@example.org"}))
    made = ada.post("/account/management-keys", {"name": "ci"}, expect=201)

    assert made["customerId"] == customer
    assert ada.get("/databases") == []
    assert [each["id"] for each in api.get("/databases")] == [database]
    [entry] = ada.get("/audit?action=managementKey.create")["entries"]
    assert (entry["keyName"], entry["trigger"]) == ("ada@example.org", "api")
    assert entry["keyId"].startswith("oidc_")


def test_a_linked_subject_speaks_for_its_customer_until_it_is_unlinked(
    api: Api, operator: Api, issuer: LittleIssuer
) -> None:
    customer = new_customer(operator)
    ada = speaking(api, issuer.token())
    assert "ask the operator" in message(ada("GET", "/databases"))
    login = operator.post(f"/admin/customers/{customer}/logins", {"subject": "ada", "name": "Ada"}, expect=201)

    assert ada.post("/account/management-keys", {"name": "ci"}, expect=201)["customerId"] == customer
    [listed] = operator.get(f"/admin/customers/{customer}/logins")
    assert listed == {**login, "lastUsedAt": listed["lastUsedAt"]}
    assert listed["lastUsedAt"] is not None
    assert operator("POST", f"/admin/customers/{customer}/logins", {"subject": "ada"}).status_code == 409
    operator("DELETE", f"/admin/customers/{customer}/logins/{login['id']}", expect=204)
    assert "ask the operator" in message(ada("GET", "/databases"))
    operator("DELETE", f"/admin/customers/{customer}/logins/{login['id']}", expect=404)


@pytest.mark.parametrize("customer", ["00000000-0000-4000-8000-000000000000", "acme", "%2e%2e"])
def test_nobody_is_linked_to_an_unknown_customer(api: Api, operator: Api, issuer: LittleIssuer, customer: str) -> None:
    operator("POST", f"/admin/customers/{customer}/logins", {"subject": "ada"}, expect=404)

    assert "ask the operator" in message(speaking(api, issuer.token())("GET", "/databases"))


def test_the_claim_wins_over_the_link(api: Api, operator: Api, issuer: LittleIssuer) -> None:
    linked, claimed = new_customer(operator), new_customer(operator)
    operator.post(f"/admin/customers/{linked}/logins", {"subject": "ada"}, expect=201)
    ada = speaking(api, issuer.token(**{"custom:customer_id": claimed}))

    assert ada.post("/account/management-keys", {"name": "ci"}, expect=201)["customerId"] == claimed


@pytest.mark.parametrize("claim", ["", "acme", "../x", "00000000-0000-4000-8000-00000000000", "' OR 1=1 --"])
def test_a_claim_that_is_no_id_is_refused(api: Api, issuer: LittleIssuer, claim: str) -> None:
    assert "UUID" in message(speaking(api, issuer.token(**{"custom:customer_id": claim}))("GET", "/databases"))


def test_a_claim_of_an_unknown_customer_is_refused(api: Api, issuer: LittleIssuer, operator: Api) -> None:
    unknown = str(uuid.uuid4())
    token = issuer.token(**{"custom:customer_id": unknown})

    assert unknown not in message(speaking(api, token)("GET", "/databases"))
    operator("GET", f"/admin/customers/{unknown}", expect=404)


@pytest.mark.parametrize("first_login", [FirstLogin.CREATE])
def test_a_first_login_may_make_a_customer_and_makes_one_alone(
    api: Api, operator: Api, issuer: LittleIssuer, first_login: FirstLogin
) -> None:
    text = issuer.token(sub="bob", email="bob@example.org")
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda _: speaking(api, text)("GET", "/account/management-keys"), range(6)))

    assert [reply.json() for reply in replies] == [[]] * 6
    made = [each for each in operator.get("/admin/customers")["customers"] if each["name"] == "bob@example.org"]
    assert len(made) == 1
    entries = speaking(api, text).get("/audit")["entries"]
    assert [each["action"] for each in entries] == ["login.create", "customer.create"]
    assert {(each["keyName"], each["address"]) for each in entries} == {("bob@example.org", "testclient")}
    assert all(each["requestId"] for each in entries)


@pytest.mark.parametrize("first_login", [FirstLogin.CREATE])
def test_a_first_login_may_make_the_customer_that_the_claim_names(
    api: Api, operator: Api, issuer: LittleIssuer, first_login: FirstLogin
) -> None:
    wanted = str(uuid.uuid4())
    for name in ("ada", "bob"):
        speaking(api, issuer.token(sub=name, **{"custom:customer_id": wanted})).get("/databases")

    assert operator.get(f"/admin/customers/{wanted}")["name"] == "ada"
    assert len(operator.get("/admin/customers")["customers"]) == 2


def test_only_the_group_makes_an_operator(api: Api, operator: Api, issuer: LittleIssuer) -> None:
    customer = new_customer(operator)
    operator.get("/admin/customers")
    for groups in (
        [],
        ["admins"],
        [ADMIN_GROUP.upper()],
        [ADMIN_GROUP + " "],
        f"x,{ADMIN_GROUP}",
        [[ADMIN_GROUP]],
        {ADMIN_GROUP: 1},
    ):
        ada = speaking(api, issuer.token(groups=groups, **{"custom:customer_id": customer}))
        reply = ada("GET", "/admin/customers")
        assert (reply.status_code, reply.json()["error"]) == (403, "forbidden")
        assert ADMIN_GROUP in reply.json()["message"]
    reply = api("GET", "/admin/customers")  # the first key of the first account is no operator's either
    assert reply.status_code == 403


def test_an_operator_without_a_customer_speaks_for_the_first_one(api: Api, operator: Api, database: str) -> None:
    assert [each["id"] for each in operator.get("/databases")] == [database]


@pytest.mark.parametrize("first_login", [FirstLogin.CREATE])
def test_an_operators_login_makes_no_customer(api: Api, operator: Api, first_login: FirstLogin) -> None:
    assert len(operator.get("/admin/customers")["customers"]) == 1


def test_a_suspended_customer_is_let_in_by_nothing_until_it_is_restored(
    api: Api, operator: Api, issuer: LittleIssuer
) -> None:
    customer = new_customer(operator)
    key = operator.post(f"/admin/customers/{customer}/management-keys", {"name": "k"}, expect=201)["key"]
    token = issuer.token(**{"custom:customer_id": customer})
    operator("PATCH", f"/admin/customers/{customer}", {"suspended": True}, expect=200)

    for credential in (key, token):
        assert "suspended" in message(speaking(api, credential)("GET", "/databases"))
    assert operator("PATCH", f"/admin/customers/{customer}", {"suspended": False}).json()["suspendedAt"] is None
    for credential in (key, token):
        speaking(api, credential).get("/databases")


def test_keys_work_while_the_issuer_is_down_and_tokens_are_told_so(api: Api, issuer: LittleIssuer) -> None:
    issuer.down = True
    reply = speaking(api, issuer.token())("GET", "/databases")

    assert (reply.status_code, reply.json()["error"]) == (503, "unavailable")
    assert "Management keys work" in reply.json()["message"]
    api.get("/databases")


@pytest.mark.parametrize("changes", [{"exp": 1}, {"iss": "https://x.example"}, {"aud": "x"}, {"sub": "eve"}])
def test_a_refused_token_is_repeated_nowhere(
    api: Api, issuer: LittleIssuer, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    text = issuer.token(**changes)
    reply = speaking(api, text)("GET", "/databases")

    said = reply.text + capsys.readouterr().out
    assert message(reply)
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert not [piece for piece in text.split(".") if piece in said]


def test_a_token_can_do_what_a_key_can(api: Api, issuer: LittleIssuer, operator: Api, source: Path) -> None:
    customer = new_customer(operator)
    ada = speaking(api, issuer.token(**{"custom:customer_id": customer}))
    body = {"name": "s", "backend": "sqlite", "mysqlHost": str(source), "availableSchemas": ["main"]}
    headers = {"Idempotency-Key": "once"}
    one, two = (ada("POST", "/connections", body, headers=headers, expect=201).json() for _ in range(2))

    assert one == two
    assert [each["id"] for each in ada.get("/connections")] == [one["connection"]["id"]]
    assert api.get("/connections") == []
