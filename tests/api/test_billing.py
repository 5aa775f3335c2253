"""Buying a plan, overage, and what the operator gives: the published rules, against a Stripe that checks its input."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.control import stripe_payments
from reflexdb.records import billing
from tests.api.api import Api, until
from tests.api.shop import BASE_URL, Shop
from tests.api.test_bad_input import NOWHERE
from tests.servers.stripe import KEY, PRICES, event, invoice, subscription


def entries(api: Api, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/audit?action={action}")["entries"]
    return found


def renewed(shop: Shop, number: int = 1) -> None:
    """The first payments after the first one: what overage asks for."""
    with shop.control.rooms.store.write() as tx:
        billing.change(tx, shop.customer, shop.clock(), stripe_customer="cus_1")
    for each in range(number):
        paid = event("invoice.paid", invoice(f"in_{each}"), event_id=f"evt_renewal_{each}", created=2_000 + each)
        assert shop.tell(paid) == "applied"


# Checkout


def test_a_checkout_is_for_the_plans_price_and_the_same_stripe_customer(shop: Shop) -> None:
    urls = [shop.api.post("/billing/checkout", {"plan": plan}, expect=200)["url"] for plan in ("pro", "teams")]

    assert all(url.startswith("https://checkout.stripe.com/c/pay/cs_test_") for url in urls)
    assert shop.stripe.paths() == ["/v1/customers", "/v1/checkout/sessions", "/v1/checkout/sessions"]
    made, first, second = (each.fields for each in shop.stripe.asked)
    assert made["metadata[reflexdb_customer_id]"] == shop.customer
    assert [each["line_items[0][price]"] for each in (first, second)] == [PRICES["pro"], PRICES["teams"]]
    assert first["customer"] == second["customer"] == "cus_1"
    assert first["mode"] == "subscription"
    assert first["client_reference_id"] == first["subscription_data[metadata][reflexdb_customer_id]"] == shop.customer
    assert first["success_url"] == first["cancel_url"] == BASE_URL
    assert shop.account()["plan"] == "free"  # nothing was paid yet


def test_where_a_subscription_is_active_the_way_leads_to_the_portal(shop: Shop) -> None:
    shop.api.post("/billing/checkout", {"plan": "pro"}, expect=200)
    for status, path in (
        ("incomplete", "/v1/checkout/sessions"), ("active", "/v1/billing_portal/sessions"),
        ("past_due", "/v1/billing_portal/sessions"), ("canceled", "/v1/checkout/sessions"),
    ):  # fmt: skip
        with shop.control.rooms.store.write() as tx:
            billing.change(tx, shop.customer, shop.clock(), subscription="sub_1", subscription_status=status)
        shop.api.post("/billing/checkout", {"plan": "teams"}, expect=200)
        assert shop.stripe.paths()[-1] == path, status


def test_two_checkouts_at_once_make_one_stripe_customer(shop: Shop) -> None:
    threads = [
        threading.Thread(target=lambda: shop.api.post("/billing/checkout", {"plan": "pro"}, expect=200))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(shop.stripe.customers) == 1
    sessions = [each.fields["customer"] for each in shop.stripe.asked if each.path == "/v1/checkout/sessions"]
    assert sessions == ["cus_1"] * 4


def test_without_a_stripe_key_a_checkout_is_unavailable_with_the_reason(api: Api) -> None:
    refused = api("POST", "/billing/checkout", {"plan": "pro"}, expect=503).json()

    assert (refused["error"], "no Stripe key" in refused["message"]) == ("unavailable", True)
    hook = api.client.post("/v1/billing/webhook", content=b"{}", headers={"Stripe-Signature": "t=1,v1=0"})
    assert (hook.status_code, hook.json()["error"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"code": "api_key_expired", "message": f"Expired API Key provided: {KEY}"}),
        (400, {"code": "resource_missing", "message": "No such price"}),
        (429, {"code": "rate_limit", "message": "slow down"}),
        (500, {"message": "oops"}),
        (503, {}),
    ],
)
def test_what_stripe_refuses_is_unavailable_and_tells_no_secret(
    shop: Shop, status: int, error: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    shop.stripe.failing = (status, {"error": error})
    refused = shop.api("POST", "/billing/checkout", {"plan": "pro"}, expect=503).json()

    assert (refused["error"], "Stripe refused to create a customer" in refused["message"]) == ("unavailable", True)
    said = "".join(capfd.readouterr())
    assert "stripe_failed" in said
    assert KEY not in said + refused["message"]
    shop.stripe.failing = None
    shop.api.post("/billing/checkout", {"plan": "pro"}, expect=200)


def test_a_stripe_that_is_not_there_or_does_not_answer_is_unavailable(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.control.rooms.payments, "_client", hasty_client(shop.stripe.url, monkeypatch))
    shop.stripe.hanging = threading.Event()
    slow = shop.api("POST", "/billing/checkout", {"plan": "pro"}, expect=503).json()
    shop.stripe.hanging.set()
    monkeypatch.setattr(shop.control.rooms.payments, "_client", hasty_client("http://127.0.0.1:9", monkeypatch))
    gone = shop.api("POST", "/billing/checkout", {"plan": "pro"}, expect=503).json()

    for refused in (slow, gone):
        assert refused == {
            "error": "unavailable", "message": "Stripe can't be reached to create a customer; try again later",
        }  # fmt: skip
    until(lambda: shop.api.get("/account")["plan"] == "free", "the control plane to answer", 5)


def hasty_client(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library's client as the product makes it, but that it waits a fraction of a second."""
    monkeypatch.setattr(stripe_payments, "ANSWER_LIMIT_S", 0.2)
    monkeypatch.setattr(stripe_payments, "RETRIES", 0)
    made = stripe_payments.StripePayments(stripe_payments.StripeSettings(BASE_URL, KEY, None, url))
    return made._client


def test_a_plan_that_has_no_price_is_not_sold(shop: Shop) -> None:
    from dataclasses import replace

    from reflexdb.control.control import Control
    from reflexdb.model.plans import DEFAULT_PLANS

    rooms = shop.control.rooms
    control = Control(replace(rooms, settings=replace(rooms.settings, plans=DEFAULT_PLANS)))
    with TestClient(create_app(control)) as client:
        refused = Api(client, shop.api.key)("POST", "/billing/checkout", {"plan": "pro"}, expect=503).json()

    assert "pro is not sold here" in refused["message"]
    assert shop.stripe.asked == []


# Overage


def test_overage_needs_the_plan_a_renewal_and_a_cap_within_the_maximum(shop: Shop) -> None:
    def enable(status: int, **body: Any) -> str:
        message: str = shop.api("POST", "/billing/overage", {"enabled": True, **body}, expect=status).json()["message"]
        return message

    assert "teams or enterprise; this account has free" in enable(403, spendingCapCents=500)
    shop.plan("pro")
    renewed(shop)
    assert "this account has pro" in enable(403, spendingCapCents=500)
    shop.plan("teams")
    assert "spendingCapCents is required" in enable(400)
    assert "1001; the plan teams allows at most 1000" in enable(400, spendingCapCents=1001)

    answer = shop.api.post("/billing/overage", {"enabled": True, "spendingCapCents": 1000}, expect=200)
    assert answer == {"ok": True, "overageEnabled": True, "spendingCapCents": 1000}
    assert shop.account()["overage"] == {
        "enabled": True, "spendingCapCents": 1000, "spentCents": 0, "buildCents": 300, "whyNot": None,
    }  # fmt: skip


def test_overage_waits_for_the_first_renewal_payment(shop: Shop) -> None:
    shop.plan("teams")
    body = {"enabled": True, "spendingCapCents": 500}
    refused = shop.api("POST", "/billing/overage", body, expect=403).json()
    assert "first successful renewal payment" in refused["message"]
    assert shop.account()["overage"]["whyNot"] == refused["message"]

    renewed(shop)
    shop.api.post("/billing/overage", body, expect=200)


def test_overage_can_always_be_turned_off(shop: Shop) -> None:
    off = {"ok": True, "overageEnabled": False, "spendingCapCents": None}
    assert shop.api.post("/billing/overage", {"enabled": False}, expect=200) == off
    shop.plan("teams")
    renewed(shop)
    shop.api.post("/billing/overage", {"enabled": True, "spendingCapCents": 500}, expect=200)

    assert shop.api.post("/billing/overage", {"enabled": False, "spendingCapCents": 9}, expect=200) == off
    assert [(e["before"], e["after"]) for e in entries(shop.api, "overage.configure")] == [
        ({"overage_enabled": True, "spending_cap_cents": 500}, {"overage_enabled": False, "spending_cap_cents": None}),
        ({"overage_enabled": False, "spending_cap_cents": None}, {"overage_enabled": True, "spending_cap_cents": 500}),
    ]


def test_with_overage_builds_go_on_and_are_counted_until_the_cap(shop: Shop) -> None:
    shop.plan("teams")
    renewed(shop)
    shop.api.post("/billing/overage", {"enabled": True, "spendingCapCents": 700}, expect=200)
    for _ in range(4):  # two credits, then two for 300 cents each
        shop.provision()
    refused = shop.provision(expect=403)["message"]

    assert "spent 600 of its cap of 700 cents and another build costs 300; raise spendingCapCents" in refused
    account = shop.account()
    assert (account["buildCredits"]["used"], account["overage"]["spentCents"]) == (2, 600)
    shop.api.post("/billing/overage", {"enabled": True, "spendingCapCents": 900}, expect=200)
    shop.provision()
    shop.api.post("/billing/overage", {"enabled": False}, expect=200)
    assert "turn overage on" in shop.provision(expect=403)["message"]
    shop.clock.at += timedelta(days=10)  # December: credits first again
    shop.provision()
    assert shop.account()["overage"]["spentCents"] == 0


def test_overage_ends_with_the_plan_that_offered_it(shop: Shop) -> None:
    shop.plan("teams")
    renewed(shop)
    shop.api.post("/billing/overage", {"enabled": True, "spendingCapCents": 1000}, expect=200)
    shop.plan("pro")
    shop.plan("teams")

    assert shop.account()["overage"]["enabled"] is False


# What the operator gives


def test_adjustments_add_up_and_raise_what_a_month_has(shop: Shop) -> None:
    path = f"/admin/customers/{shop.customer}/build-credits"
    shop.plan("teams")
    granted = shop.operator.post(path, {"amount": 3, "reason": "sorry"}, expect=201)
    taken = shop.operator.post(path, {"amount": -2}, expect=201)

    assert (granted["amount"], granted["reason"], granted["expiresAt"]) == (3, "sorry", None)
    assert (granted["customerId"], granted["totalAdjustment"]) == (shop.customer, 3)
    assert (taken["amount"], taken["reason"], taken["totalAdjustment"]) == (-2, None, 1)
    for _ in range(3):
        shop.provision()
    assert "3 of 3 (the plan teams has 2, adjusted by +1)" in shop.provision(expect=403)["message"]
    listed = shop.operator.get(path)
    assert (sorted(each["amount"] for each in listed["adjustments"]), listed["totalAdjustment"]) == ([-2, 3], 1)


def test_an_adjustment_past_its_end_no_longer_counts(shop: Shop) -> None:
    path = f"/admin/customers/{shop.customer}/build-credits"
    end = shop.clock.at + timedelta(hours=1)
    made = shop.operator.post(path, {"amount": 5, "expiresAt": end.isoformat()}, expect=201)
    assert (made["expiresAt"], made["totalAdjustment"]) == ("2026-11-24T13:00:00.000Z", 5)
    assert shop.account()["buildCredits"]["remaining"] == 7
    shop.clock.at = end

    assert shop.operator.post(path, {"amount": 1}, expect=201)["totalAdjustment"] == 1
    assert shop.account()["buildCredits"]["remaining"] == 3


def test_more_taken_than_there_is_leaves_none(shop: Shop) -> None:
    shop.operator.post(f"/admin/customers/{shop.customer}/build-credits", {"amount": -50}, expect=201)

    assert shop.account()["buildCredits"]["remaining"] == 0
    assert "0 of 0" in shop.provision(expect=403)["message"]


@pytest.mark.parametrize(
    ("body", "word"),
    [({"amount": 0}, "amount"), ({"amount": 10**9}, "amount"), ({"amount": 1.5}, "amount"),
     ({"amount": "5"}, "amount"), ({"amount": True}, "amount"), ({}, "amount"),
     ({"amount": 1, "expiresAt": "2026-11-24T11:59:59Z"}, "expiresAt"), ({"amount": 1, "reason": "\0"}, "reason")],
)  # fmt: skip
def test_an_adjustment_that_makes_no_sense_is_refused_by_name(shop: Shop, body: dict[str, Any], word: str) -> None:
    path = f"/admin/customers/{shop.customer}/build-credits"

    assert word in shop.operator("POST", path, body, expect=400).json()["message"]
    assert shop.operator.get(path) == {"adjustments": [], "totalAdjustment": 0}


def test_the_operator_sets_a_plan_and_takes_it_back(shop: Shop) -> None:
    path = f"/admin/customers/{shop.customer}/plan"
    answer = shop.operator("PATCH", path, {"plan": "enterprise"}, expect=200).json()
    assert answer == {"id": shop.customer, "plan": "enterprise"}
    shop.operator("PATCH", path, {"plan": "enterprise"}, expect=200)
    shop.operator("PATCH", path, {"plan": "unlimited"}, expect=400)
    assert shop.operator("DELETE", path, expect=200).json() == {"id": shop.customer, "plan": "free"}

    told = entries(shop.api, "customer.plan")
    assert [(each["before"]["plan"], each["after"]["plan"]) for each in told] == [
        ("enterprise", "free"), ("free", "enterprise"),
    ]  # fmt: skip
    assert {each["keyName"] for each in told} == {"operator"}


def test_what_the_operator_gives_is_told_to_the_customer(shop: Shop) -> None:
    made = shop.operator.post(f"/admin/customers/{shop.customer}/build-credits", {"amount": 5, "reason": "x"}, 201)

    [entry] = entries(shop.api, "buildCredits.adjust")
    assert (entry["targetId"], entry["keyName"], entry["trigger"]) == (made["id"], "operator", "api")
    assert entry["after"] == {"amount": 5, "reason": "x", "expires_at": None, "total": 5}


@pytest.mark.parametrize("customer", [NOWHERE, "x", "%00"])
def test_a_customer_that_is_not_there_is_not_found(shop: Shop, customer: str) -> None:
    for method, path, body in (
        ("PATCH", "plan", {"plan": "pro"}), ("DELETE", "plan", None), ("POST", "build-credits", {"amount": 1}),
        ("GET", "build-credits", None),
    ):  # fmt: skip
        shop.operator(method, f"/admin/customers/{customer}/{path}", body, expect=404)


def test_a_plan_set_by_the_operator_outlives_a_renewal_of_the_subscription(shop: Shop) -> None:
    with shop.control.rooms.store.write() as tx:
        billing.change(tx, shop.customer, shop.clock(), stripe_customer="cus_1")
    kind = "customer.subscription.updated"
    shop.tell(event(kind, subscription("price_pro"), event_id="evt_1", created=1_001))
    shop.plan("enterprise")
    shop.tell(event(kind, subscription("price_pro"), event_id="evt_2", created=1_002))
    assert shop.account()["plan"] == "enterprise"

    shop.tell(event(kind, subscription("price_teams"), event_id="evt_3", created=1_003))
    assert shop.account()["plan"] == "teams"
