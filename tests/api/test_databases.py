"""Databases over HTTP: registering, settings, reflexdb.yaml, and what may be asked of one never provisioned."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reflexdb.control.control import Control
from reflexdb.model.errors import Conflict
from reflexdb.model.lifecycle import Action
from tests.api.api import Api

pytestmark = pytest.mark.both_records

NOWHERE = "00000000-0000-4000-8000-000000000000"


def register(api: Api, **changes: Any) -> dict[str, Any]:
    connection_id = api.get("/connections")[0]["id"]
    body = {"connectionId": connection_id, "name": "second", "mysqlDb": "main", **changes}
    registered: dict[str, Any] = api.post("/databases", body, expect=201)
    return registered


def test_a_new_database_has_the_published_defaults(api: Api, database: str) -> None:
    found = api.get(f"/databases/{database}")

    assert (found["status"], found["instanceSize"], found["logLevel"]) == ("registered", "nano", "info")
    assert (found["taskCpu"], found["taskMemoryMb"]) == (256, 512)
    assert (found["syncMode"], found["syncInterval"], found["tags"]) == ("poll", 30, [])
    for name in ("lastError", "endpointUrl", "healthStatus", "desiredState", "pauseSchedule", "binlogServerId"):
        assert found[name] is None


def test_what_was_registered_comes_back(api: Api, database: str) -> None:
    registered = register(api, instanceSize="2xlarge", logLevel="debug", binlogServerId=7)

    assert (registered["taskCpu"], registered["taskMemoryMb"], registered["binlogServerId"]) == (8192, 16384, 7)
    assert [each["id"] for each in api.get("/databases")] == [database, registered["id"]]


def test_names_and_server_ids_are_used_once(api: Api, database: str) -> None:
    first = register(api, binlogServerId=7)

    connection_id = first["connectionId"]
    same_name = {"connectionId": connection_id, "name": "second", "mysqlDb": "main"}
    assert "name" in api("POST", "/databases", same_name, expect=409).json()["message"]
    same_id = {**same_name, "name": "third", "binlogServerId": 7}
    assert "binlogServerId" in api("POST", "/databases", same_id, expect=409).json()["message"]
    api("PATCH", f"/databases/{database}", {"binlogServerId": 7}, expect=409)
    api("PATCH", f"/databases/{first['id']}", {"binlogServerId": 7, "name": "second"}, expect=200)


def test_a_database_needs_a_connection_of_the_account_and_one_of_its_schemas(api: Api, database: str) -> None:
    api("POST", "/databases", {"connectionId": NOWHERE, "name": "x", "mysqlDb": "main"}, expect=404)
    connection_id = api.get("/connections")[0]["id"]
    api("POST", "/databases", {"connectionId": connection_id, "name": "x", "mysqlDb": "other"}, expect=400)
    api("PATCH", f"/databases/{database}", {"mysqlDb": "other"}, expect=400)


def test_every_setting_can_be_changed_and_cleared(api: Api, database: str) -> None:
    changes = {
        "name": "renamed",
        "instanceSize": "small",
        "logLevel": "warn",
        "buildComputeOverride": "BUILD_GENERAL1_XLARGE",
        "pauseSchedule": {"pauseAt": "20:00", "resumeAt": "06:30", "days": [0, 6]},
        "tags": [{"label": "prod", "color": "gray"}, {"label": "eu"}],
    }
    changed = api("PATCH", f"/databases/{database}", changes, expect=200).json()

    assert {name: changed[name] for name in changes} == changes
    cleared = {"buildComputeOverride": None, "pauseSchedule": None, "tags": [], "reflexdbCustomDomain": None}
    after = api("PATCH", f"/databases/{database}", cleared, expect=200).json()
    assert {name: after[name] for name in cleared} == cleared
    assert after["name"] == "renamed"


def test_a_custom_domain_needs_a_plan_that_has_it_and_belongs_to_one(api: Api, database: str, control: Control) -> None:
    path = f"/databases/{database}"
    other = register(api)
    customer = api.get("/account")["id"]
    control.billing.set_plan(customer, "pro")
    refused = api("PATCH", path, {"reflexdbCustomDomain": "blog"}, expect=403).json()
    assert (refused["error"], "teams" in refused["message"]) == ("plan_limit", True)
    control.billing.set_plan(customer, "teams")

    assert api("PATCH", path, {"reflexdbCustomDomain": "blog"}, expect=200).json()["reflexdbCustomDomain"] == "blog"
    api("PATCH", f"/databases/{other['id']}", {"reflexdbCustomDomain": "blog"}, expect=409)


def test_a_deleted_database_is_gone_and_its_name_is_free(api: Api, database: str) -> None:
    api("DELETE", f"/databases/{database}", expect=204)

    api("GET", f"/databases/{database}", expect=404)
    api("DELETE", f"/databases/{database}", expect=404)
    assert api.get("/databases") == []
    register(api, name="blog")


def test_a_history_without_builds_has_no_active_build(api: Api, database: str) -> None:
    assert api.get(f"/databases/{database}/builds") == {"builds": [], "activeBuildId": None}


def test_the_status_of_a_registered_database_is_all_there(api: Api, database: str) -> None:
    status = api.get(f"/databases/{database}/instance")

    assert status["database"]["phase"] == "registered"
    for nothing in ("deployedInstanceConfig", "instance", "latestBuild"):
        assert status[nothing] is None
    assert status["hasPendingChanges"] is False
    assert set(status["actions"]) == {action.value for action in Action}
    allowed = {name for name, action in status["actions"].items() if action["allowed"]}
    assert allowed == {"provision", "resize", "delete"}
    assert status["actions"]["provision"] == {"allowed": True, "mode": "immediate"}
    assert "never been provisioned" in status["actions"]["rebuild"]["reason"]


@pytest.mark.parametrize(
    "action",
    ["rebuild", "terminate", "pause", "resume", "reconfigure", "reload", "pause-replication", "resume-replication"],
)
def test_what_is_not_possible_is_refused_with_the_reason(api: Api, database: str, action: str) -> None:
    refused = api("POST", f"/databases/{database}/{action}", expect=409).json()

    assert refused["error"] == "conflict"
    assert "never been provisioned" in refused["message"]


def test_a_size_is_stored_before_the_first_provision(api: Api, database: str) -> None:
    assert api.post(f"/databases/{database}/resize", {"instanceSize": "large"}) == {"status": "registered"}
    assert api.get(f"/databases/{database}")["instanceSize"] == "large"


def test_provision_is_accepted_once(api: Api, database: str) -> None:
    accepted = api.post(f"/databases/{database}/provision")
    api("POST", f"/databases/{database}/provision", expect=409)
    history = api.get(f"/databases/{database}/builds")

    assert accepted["status"] == "building"
    [build] = history["builds"]
    assert (build["id"], build["status"], build["deployable"]) == (accepted["buildId"], "queued", False)
    assert history["activeBuildId"] is None
    status = api.get(f"/databases/{database}/instance")
    assert (status["database"]["status"], status["database"]["phase"]) == ("building", "testing_connection")
    assert status["latestBuild"]["startedAt"] is None


def test_of_many_provisions_at_once_one_is_accepted(api: Api, database: str, control: Control) -> None:
    account = control.accounts.authenticate(api.key)
    barrier = threading.Barrier(8)
    outcomes: list[str] = []

    def provision() -> None:
        barrier.wait()
        try:
            control.actions.request(account, database, Action.PROVISION)
        except Conflict:
            outcomes.append("conflict")
        else:
            outcomes.append("accepted")

    threads = [threading.Thread(target=provision) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["accepted"] + ["conflict"] * 7
    assert len(api.get(f"/databases/{database}/builds")["builds"]) == 1


def test_only_a_build_of_this_database_with_an_image_can_be_redeployed(api: Api, database: str) -> None:
    api("POST", f"/databases/{database}/redeploy", {"buildId": NOWHERE}, expect=404)
    build_id = api.post(f"/databases/{database}/provision")["buildId"]
    api("POST", f"/databases/{database}/redeploy", {"buildId": build_id}, expect=409)


def test_the_log_of_a_build_that_has_not_begun_is_empty(api: Api, database: str) -> None:
    build_id = api.post(f"/databases/{database}/provision")["buildId"]

    reply = api("GET", f"/databases/{database}/builds/{build_id}/log", expect=200)
    assert (reply.text, reply.headers["content-type"]) == ("", "text/plain; charset=utf-8")
    api("GET", f"/databases/{database}/builds/{NOWHERE}/log", expect=404)


class TestConfig:
    GOOD = "version: 1\ntables:\n  - name: users # héllo\n"

    def put(self, api: Api, database: str, text: str | bytes, kind: str = "application/yaml", expect: int = 204) -> str:
        reply = api("PUT", f"/databases/{database}/config", content=text, headers={"Content-Type": kind}, expect=expect)
        return reply.text

    def test_a_stored_file_comes_back_byte_for_byte(self, api: Api, database: str) -> None:
        api("GET", f"/databases/{database}/config", expect=404)
        self.put(api, database, self.GOOD)

        assert api("GET", f"/databases/{database}/config", expect=200).content == self.GOOD.encode()

    def test_removing_it_is_idempotent(self, api: Api, database: str) -> None:
        self.put(api, database, self.GOOD)
        for _ in range(2):
            api("DELETE", f"/databases/{database}/config", expect=204)
        api("GET", f"/databases/{database}/config", expect=404)

    def test_its_interval_is_the_databases_and_never_below_the_minimum(self, api: Api, database: str) -> None:
        for interval, effective in ((60, 60), (1, 5)):
            self.put(api, database, f"version: 1\nsync: {{interval: {interval}}}\n")
            assert api.get(f"/databases/{database}")["syncInterval"] == effective

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("version: 1\ntabels: []\n", "line 2"),
            ("version: 2\n", "line 1"),
            ("", "version"),
            (b"version: 1\n# \xff\n", "UTF-8"),
            ("version: 1\nversion: 1\n", "line 2"),
            ("[" * 5000, ""),
            ("a: &a [*a]\n", ""),
        ],
    )
    def test_an_invalid_file_is_refused_with_the_line_and_not_stored(
        self, api: Api, database: str, text: str, words: str
    ) -> None:
        assert words in self.put(api, database, text, expect=400)
        api("GET", f"/databases/{database}/config", expect=404)

    def test_another_kind_of_file_is_refused(self, api: Api, database: str) -> None:
        assert "application/yaml" in self.put(api, database, self.GOOD, "application/json", expect=400)

    def test_a_huge_file_is_refused(self, api: Api, database: str) -> None:
        self.put(api, database, "#" * (1 << 20) + "\n", expect=413)
