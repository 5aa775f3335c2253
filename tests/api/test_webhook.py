"""What Stripe tells is believed by its signature, carried out once, and right in whatever order it comes."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL

from reflexdb.control.payment_events import KEPT_FOR
from reflexdb.control.rooms import new_id
from reflexdb.records import accounts, billing
from tests.api.shop import Shop, shop_on
from tests.servers.stripe import WEBHOOK_SECRET, completed, event, invoice, signed, stripe_server, subscription

CREATED, UPDATED, DELETED = (f"customer.subscription.{kind}" for kind in ("created", "updated", "deleted"))
_numbers = itertools.count()


def told(kind: str, thing: dict[str, Any], created: int) -> dict[str, Any]:
    return event(kind, thing, event_id=f"evt_{next(_numbers)}", created=created)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, module_records: URL | None) -> Iterator[Shop]:
    """One for all the requests that change nothing."""
    directory = tmp_path_factory.mktemp("shop")
    with stripe_server() as stripe, shop_on(directory, directory / "no-source", stripe, module_records) as shop:
        shop.api.post("/billing/checkout", {"plan": "pro"}, expect=200)
        yield shop


def another(shop: Shop, name: str) -> str:
    """The id of another customer of the same control plane, whom Stripe's customers do not lead to."""
    customer = new_id()
    with shop.control.rooms.store.write() as tx:
        accounts.add_customer(tx, id=customer, name=name, plan="free", created_at=shop.clock())
    return customer


@pytest.fixture
def linked(shop: Shop) -> Shop:
    """After a first checkout was begun: Stripe's customer is known."""
    shop.api.post("/billing/checkout", {"plan": "pro"}, expect=200)
    return shop


def state(shop: Shop) -> tuple[str, str | None]:
    account = shop.account()
    return account["plan"], account["payment"]["subscriptionStatus"]


# Who is believed


def test_a_signed_event_is_carried_out_and_told_in_the_audit(linked: Shop) -> None:
    assert linked.tell(told(CREATED, subscription("price_pro"), 1_000)) == "applied"

    assert state(linked) == ("pro", "active")
    [entry] = linked.api.get("/audit?action=customer.plan")["entries"]
    assert (entry["trigger"], entry["keyId"], entry["address"]) == ("stripe", None, "testclient")
    assert (entry["before"], entry["after"]) == ({"plan": "free"}, {"plan": "pro"})


def forged(what: str) -> tuple[bytes, str | None]:
    body, right = signed(told(CREATED, subscription("price_enterprise"), 1_000))
    match what:
        case "no signature":
            return body, None
        case "another secret":
            return body, signed(body, secret="whsec_another_secret")[1]
        case "another body":
            return body.replace(b"price_enterprise", b"price_pro"), right
        case "one bit changed":
            return body, right[:-1] + ("0" if right[-1] != "0" else "1")
        case "too old":
            return signed(body, at=time.time() - 301)
        case "from the future":
            return signed(body, at=time.time() + 400)
        case "another scheme":
            return body, right.replace("v1=", "v0=")
    return body, what


@pytest.mark.parametrize(
    "what",
    ["no signature", "another secret", "another body", "one bit changed", "too old", "from the future",
     "another scheme", "", "t=,v1=", "t=x,v1=y", "v1=0", "t=1", ",,,", "t=9" * 50, "t=" + "9" * 5000 + ",v1=0"],
)  # fmt: skip
def test_what_stripe_did_not_sign_now_is_refused_and_changes_nothing(quiet: Shop, what: str) -> None:
    refused = quiet.deliver(*forged(what))

    assert (refused.status_code, refused.json()["error"]) == (400, "bad_request")
    assert WEBHOOK_SECRET not in refused.text
    assert state(quiet) == ("free", None)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b'{"id": 1}', b"[" * 100_000,
     json.dumps(event("invoice.paid", {}, event_id="evt_x", created=1)).encode(),
     json.dumps(event("invoice.paid", {"id": "in", "customer": "cus_1", "amount_paid": "x"}, event_id="e", created=1)
                | {"data": {"object": None}}).encode(),
     json.dumps(event(CREATED, subscription("price_pro"), event_id="evt_x", created=10**30)).encode(),
     json.dumps(event(CREATED, {**subscription("p"), "items": {"data": [{}]}}, event_id="e", created=1)).encode(),
     json.dumps(event("x" * 300, {}, event_id="evt_x", created=1)).encode(),
     json.dumps(event(CREATED, subscription("price_pro"), event_id="a\nb", created=1)).encode()],
)  # fmt: skip
def test_what_is_signed_and_no_event_is_refused(quiet: Shop, body: bytes) -> None:
    assert quiet.deliver(*signed(body)).status_code == 400
    assert state(quiet) == ("free", None)


def test_a_body_that_is_not_text_is_refused(quiet: Shop) -> None:
    assert quiet.deliver(b"\xff\xfe", "t=1,v1=0").status_code == 400


def test_a_body_that_is_too_large_is_refused_unread(quiet: Shop) -> None:
    reply = quiet.deliver(*signed(b" " * ((1 << 18) + 1)))

    assert (reply.status_code, reply.json()["error"]) == (413, "too_large")


def test_a_valid_key_is_no_signature(quiet: Shop) -> None:
    headers = {"Authorization": f"Bearer {quiet.api.key}", "Content-Type": "application/json"}

    assert quiet.api.client.post("/v1/billing/webhook", content=b"{}", headers=headers).status_code == 400


# Once


def test_an_event_that_comes_again_is_not_carried_out_again(linked: Shop) -> None:
    first = told("invoice.paid", invoice(), 2_000)
    outcomes = [linked.tell(first) for _ in range(3)]

    assert outcomes == ["applied", "duplicate", "duplicate"]
    assert linked.account()["payment"]["renewals"] == 1


def test_an_event_delivered_by_several_at_once_is_carried_out_once(linked: Shop) -> None:
    first = told("invoice.paid", invoice(), 2_000)
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda: outcomes.append(linked.tell(first))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == ["applied", *["duplicate"] * 4]
    assert linked.account()["payment"]["renewals"] == 1


def test_one_invoice_is_one_renewal_however_many_events_tell_of_it(linked: Shop) -> None:
    for created in (2_000, 2_001, 1_999):
        linked.tell(told("invoice.paid", invoice("in_1"), created))
    linked.tell(told("invoice.paid", invoice("in_2"), 2_002))

    assert linked.account()["payment"]["renewals"] == 2


def test_events_are_remembered_for_a_time_and_no_longer(linked: Shop) -> None:
    linked.tell(told("invoice.paid", invoice(), 2_000))
    linked.clock.at += 2 * KEPT_FOR
    linked.tell(told("customer.created", {}, 2_001))

    with linked.control.rooms.store.read() as tx:
        assert tx.exec_driver_sql("SELECT kind FROM stripe_events").scalars().all() == ["customer.created"]


# In any order


def lifetime(customer: str) -> list[dict[str, Any]]:
    """A subscription of a customer of ours, from its beginning to a change of plan and a payment that is late."""
    about: dict[str, Any] = {"customer": f"cus_{customer}", "metadata": {"reflexdb_customer_id": customer}}
    return [
        told(CREATED, subscription("price_pro", status="incomplete", **about), 1_000),
        told(UPDATED, subscription("price_pro", **about), 1_001),
        told(UPDATED, subscription("price_teams", **about), 1_002),
        told(UPDATED, subscription("price_teams", status="past_due", **about), 1_003),
    ]


def known(shop: Shop, customer: str) -> tuple[str, str | None]:
    view = shop.control.billing.account(customer)
    return view.customer.plan, view.paid.subscription_status


def test_the_newest_word_on_a_subscription_wins_in_every_order(shop: Shop) -> None:
    for order in itertools.permutations(range(4)):
        customer = another(shop, str(order))
        events = lifetime(customer)
        for each in order:
            shop.tell(events[each])

        assert known(shop, customer) == ("teams", "past_due"), order


def test_a_subscription_that_ended_does_not_come_back(shop: Shop) -> None:
    for late in range(4):
        customer = another(shop, str(late))
        *events, last = [*lifetime(customer), lifetime(customer)[3]]
        for each in range(4):
            if each != late:
                shop.tell(events[each])
        assert shop.tell({**last, "type": DELETED, "data": ended(last["data"])}) == "applied"

        assert shop.tell(events[late]) == "stale"
        assert known(shop, customer) == ("free", "canceled"), late


def ended(data: dict[str, Any]) -> dict[str, Any]:
    return {"object": {**data["object"], "status": "canceled"}}


def test_an_old_subscriptions_word_does_not_touch_a_new_one(linked: Shop) -> None:
    linked.tell(told(UPDATED, subscription("price_pro", sub="sub_old", created=1_000), 1_001))
    linked.tell(told(DELETED, subscription("price_pro", sub="sub_old", created=1_000, status="canceled"), 1_500))
    linked.tell(told(CREATED, subscription("price_teams", sub="sub_new", created=2_000), 2_000))
    for kind, status, created in ((UPDATED, "active", 1_400), (DELETED, "canceled", 1_500), (UPDATED, "active", 3_000)):
        old = subscription("price_pro", sub="sub_old", created=1_000, status=status)
        assert linked.tell(told(kind, old, created)) == "stale"

    assert state(linked) == ("teams", "active")


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_a_checkout_may_be_told_before_or_after_its_subscription(shop: Shop, order: tuple[int, ...]) -> None:
    """Stripe's customer is not known to us here: the id that was given with the order leads to the account."""
    ours = {"reflexdb_customer_id": shop.customer, "reflexdb_plan": "pro"}
    events = [
        told("checkout.session.completed", completed(shop.customer, "pro"), 1_005),
        told(CREATED, subscription("price_pro", metadata=ours), 1_000),
        told("invoice.paid", invoice(reason="subscription_create", metadata=ours), 1_000),
    ]
    for each in order:
        shop.tell(events[each])

    assert state(shop) == ("pro", "active")
    assert shop.account()["payment"] == {"state": "paid", "subscriptionStatus": "active", "renewals": 0}


def test_a_checkout_that_is_not_paid_yet_gives_no_plan(shop: Shop) -> None:
    shop.tell(told("checkout.session.completed", completed(shop.customer, "pro", paid="unpaid"), 1_000))

    assert state(shop) == ("free", None)


# What it means


def test_a_first_payment_is_no_renewal_nor_is_one_of_nothing(linked: Shop) -> None:
    for number, (reason, paid) in enumerate([("subscription_create", 900), ("subscription_cycle", 0), ("manual", 500)]):
        linked.tell(told("invoice.paid", invoice(f"in_{number}", reason=reason, paid=paid), 2_000 + number))

    assert linked.account()["payment"]["renewals"] == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=str)
def test_a_payment_that_came_after_a_failure_counts_in_any_order(linked: Shop, order: tuple[int, ...]) -> None:
    events = [told("invoice.payment_failed", invoice(), 2_000), told("invoice.paid", invoice(), 2_060)]
    for each in order:
        linked.tell(events[each])

    assert linked.account()["payment"] == {"state": "paid", "subscriptionStatus": None, "renewals": 1}


def test_a_failed_payment_is_told_and_leaves_the_plan_until_the_subscription_ends(linked: Shop) -> None:
    linked.tell(told(CREATED, subscription("price_teams"), 1_000))
    linked.tell(told("invoice.payment_failed", invoice(), 2_000))
    linked.tell(told(UPDATED, subscription("price_teams", status="past_due"), 2_001))
    assert (linked.account()["payment"]["state"], state(linked)) == ("failed", ("teams", "past_due"))

    linked.tell(told(UPDATED, subscription("price_teams", status="unpaid"), 3_000))
    assert state(linked) == ("free", "unpaid")


def test_an_event_about_nobody_we_know_is_noted_and_left(linked: Shop) -> None:
    for strange in (
        told(CREATED, subscription("price_enterprise", customer="cus_stranger"), 1_000),
        told(CREATED, subscription("price_pro", customer="cus_9", metadata={"reflexdb_customer_id": "nobody"}), 1_000),
        told("invoice.paid", invoice(customer="cus_stranger"), 1_000),
    ):
        assert linked.tell(strange) == "unknown_customer"

    assert state(linked) == ("free", None)
    with linked.control.rooms.store.read() as tx:
        assert billing.seen(tx, strange["id"])


def test_another_accounts_stripe_customer_can_not_be_claimed_by_metadata(linked: Shop) -> None:
    """The account that Stripe's customer belongs to goes before the id in the metadata."""
    other = another(linked, "other")
    linked.tell(told(CREATED, subscription("price_pro", metadata={"reflexdb_customer_id": other}), 1_000))

    assert [known(linked, each)[0] for each in (linked.customer, other)] == ["pro", "free"]


def test_something_else_that_is_sold_changes_no_plan(linked: Shop) -> None:
    assert linked.tell(told(CREATED, subscription("price_of_a_mug"), 1_000)) == "ignored"
    assert linked.tell(told("customer.updated", {"id": "cus_1"}, 1_000)) == "unknown_customer"

    assert state(linked) == ("free", None)
