"""What a plan has is the most an account gets: sizes, databases, domains and build credits, also when two race."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from reflexdb.control.shapes import Shapes
from reflexdb.control.worker import Worker
from reflexdb.model.errors import PlanForbids, ReflexError
from reflexdb.model.lifecycle import Action
from reflexdb.records import build_credits, builds, databases, jobs
from tests.api.api import Api
from tests.api.shop import Shop

DECEMBER = datetime(2026, 12, 1, 0, 0, tzinfo=UTC)


def used(shop: Shop) -> int:
    count: int = shop.account()["buildCredits"]["used"]
    return count


def test_a_control_plane_of_ones_own_has_no_limits(api: Api, database: str) -> None:
    api("PATCH", f"/databases/{database}", {"instanceSize": "2xlarge", "reflexdbCustomDomain": "blog"}, expect=200)
    api.post(f"/databases/{database}/provision")

    account = api.get("/account")
    assert account["plan"] == "unlimited"
    assert account["limits"] == {
        "instanceSizes": ["nano", "small", "medium", "large", "xlarge", "2xlarge"], "databases": None,
        "buildCreditsPerMonth": None, "customDomain": True, "overageMaxCents": 0,
    }  # fmt: skip
    assert (account["databases"], account["buildCredits"]["used"], account["buildCredits"]["remaining"]) == (1, 1, None)
    assert account["payment"] == {"state": "none", "subscriptionStatus": None, "renewals": 0}


def test_a_size_outside_of_the_plan_is_refused_with_the_sizes_it_has(shop: Shop) -> None:
    refused = shop.register(expect=409, instanceSize="small")
    assert (refused["error"], "free, which has: nano" in refused["message"]) == ("plan_limit", True)
    assert shop.api.get("/connections") == []  # the connection was not made either

    database = shop.register()
    patched = shop.api("PATCH", f"/databases/{database}", {"instanceSize": "small"}, expect=403).json()
    resized = shop.api("POST", f"/databases/{database}/resize", {"instanceSize": "small"}, expect=409).json()

    assert patched["error"] == resized["error"] == "plan_limit"
    assert shop.api.get(f"/databases/{database}")["instanceSize"] == "nano"
    shop.plan("pro")
    shop.api("PATCH", f"/databases/{database}", {"instanceSize": "medium"}, expect=200)


def test_one_database_more_than_the_plan_has_is_refused_with_the_number(shop: Shop) -> None:
    shop.plan("pro")
    connection = shop.api.get(f"/databases/{shop.register()}")["connectionId"]
    first = shop.register()
    shop.register()
    body = {"connectionId": connection, "name": "more", "mysqlDb": "main"}

    refused = shop.api("POST", "/databases", body, expect=409).json()
    assert (refused["error"], "3 databases and 3 are registered" in refused["message"]) == ("plan_limit", True)
    shop.api("DELETE", f"/databases/{first}", expect=204)
    shop.api.post("/databases", body, expect=201)
    assert shop.account()["databases"] == 3


def test_a_smaller_plan_takes_nothing_away_and_begins_nothing_new(shop: Shop) -> None:
    shop.plan("pro")
    small, medium = shop.register(), shop.register(instanceSize="medium")
    shop.plan("free")

    for database, words in (
        (small, "1 database and 2 are registered; delete 1"),
        (medium, "medium is not in the plan"),
    ):
        refused = shop.api("POST", f"/databases/{database}/provision", expect=403).json()
        assert refused["error"] == "plan_limit"
        assert words in refused["message"]
    assert [each["status"] for each in shop.api.get("/databases")] == ["registered", "registered"]
    assert used(shop) == 0


def test_a_build_over_the_months_credits_is_refused_with_the_numbers(shop: Shop) -> None:
    shop.plan("teams")
    for _ in range(2):
        shop.provision()
    before = shop.account()
    refused = shop.provision(expect=403)

    assert refused["error"] == "plan_limit"
    for words in ("2026-11", "2 of 2", "the plan teams has 2", "2026-12-01", "turn overage on"):
        assert words in refused["message"]
    assert shop.account()["buildCredits"] == before["buildCredits"]
    assert before["buildCredits"] == {
        "month": "2026-11", "included": 2, "adjustment": 0, "used": 2, "remaining": 0,
        "resetsAt": "2026-12-01T00:00:00.000Z",
    }  # fmt: skip
    assert sorted(each["status"] for each in shop.api.get("/databases")) == ["building", "building", "registered"]


def test_the_credits_begin_anew_with_the_month_in_utc(shop: Shop) -> None:
    shop.plan("teams")
    shop.clock.at = DECEMBER - timedelta(microseconds=1)
    shop.provision()
    shop.provision()
    shop.provision(expect=403)
    shop.clock.at = DECEMBER

    shop.provision()
    assert (shop.account()["buildCredits"]["month"], used(shop)) == ("2026-12", 1)


def test_a_clock_set_back_gives_no_credit_twice(shop: Shop) -> None:
    shop.plan("teams")
    november = shop.clock.at
    for _ in range(2):
        shop.provision()
    shop.clock.at = DECEMBER
    for _ in range(2):
        shop.provision()

    for moment in (november, DECEMBER, november - timedelta(hours=1)):
        shop.clock.at = moment
        shop.provision(expect=403)


@pytest.mark.both_records
def test_of_two_builds_that_race_for_the_last_credit_one_is_made(shop: Shop) -> None:
    shop.plan("teams")
    shop.provision()
    rivals = [shop.register() for _ in range(4)]
    outcomes: list[str] = []
    start = threading.Barrier(len(rivals))

    def ask(database: str) -> None:
        start.wait(10)
        try:
            shop.control.actions.request(shop.customer, database, Action.PROVISION)
            outcomes.append("made")
        except PlanForbids:
            outcomes.append("refused")

    threads = [threading.Thread(target=ask, args=(each,)) for each in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]
    assert used(shop) == 2


def test_of_two_that_race_for_the_last_database_one_is_registered(shop: Shop) -> None:
    outcomes: list[int] = []
    bodies = [
        {"name": n, "backend": "sqlite", "mysqlHost": str(shop.source), "availableSchemas": ["main"],
         "instance": {"name": n, "mysqlDb": "main"}}
        for n in "abcd"
    ]  # fmt: skip
    threads = [
        threading.Thread(target=lambda body=body: outcomes.append(shop.api("POST", "/connections", body).status_code))
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == [201, 409, 409, 409]
    assert shop.account()["databases"] == 1


def worker_and_job(shop: Shop, database: str) -> tuple[Worker, jobs.JobRow]:
    with shop.control.rooms.store.read() as tx:
        job = jobs.of_database(tx, database)
    assert job is not None
    control = shop.control
    shapes = Shapes(control.rooms, control.leases)
    return Worker(control.rooms, control.keys, threading.Event(), control.rollouts, shapes), job


def test_a_failed_build_gives_its_credit_back(shop: Shop) -> None:
    database = shop.register()
    shop.api.post(f"/databases/{database}/provision")
    worker, job = worker_and_job(shop, database)
    assert used(shop) == 1
    worker.fail(job, "test connection", "the source does not answer", ReflexError.code)

    assert used(shop) == 0
    for _ in range(2):  # and can be used again, as often as there are credits
        shop.api.post(f"/databases/{database}/provision")
        worker.fail(worker_and_job(shop, database)[1], "build", "no", ReflexError.code)
    assert used(shop) == 0


def test_a_build_that_was_interrupted_and_began_again_is_charged_once(shop: Shop) -> None:
    database = shop.register()
    shop.api.post(f"/databases/{database}/provision")
    worker, job = worker_and_job(shop, database)
    assert job.build_id is not None
    with shop.control.rooms.store.write() as tx:
        databases.change(tx, database, shop.clock(), status="building")
        builds.change(tx, job.build_id, status="in_progress", started_at=shop.clock())
    shop.clock.at = DECEMBER  # it goes on in another month, and was charged in the first
    worker.retry_build(job)

    with shop.control.rooms.store.read() as tx:
        november, december = (build_credits.used(tx, shop.customer, month) for month in ("2026-11", "2026-12"))
    assert (november.credits, december.credits) == (1, 0)
    worker.fail(worker_and_job(shop, database)[1], "build", "no", ReflexError.code)
    with shop.control.rooms.store.read() as tx:
        assert build_credits.used(tx, shop.customer, "2026-11").credits == 0


@pytest.mark.both_records
@pytest.mark.parametrize("statement", ["UPDATE credit_adjustments SET amount = 9", "DELETE FROM credit_adjustments"])
def test_an_adjustment_can_not_be_changed_or_removed(shop: Shop, statement: str) -> None:
    shop.operator.post(f"/admin/customers/{shop.customer}/build-credits", {"amount": 1}, expect=201)

    with pytest.raises(Exception, match="only added"), shop.control.rooms.store.write() as tx:
        tx.exec_driver_sql(statement)
