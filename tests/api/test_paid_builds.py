"""Real builds on a real control plane: what compiled is paid, what was reused or failed is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reflexdb.control.billing_config import PLANS, STRIPE_API, STRIPE_KEY, STRIPE_WEBHOOK_SECRET
from tests.api.api import Api, sqlite_connection
from tests.api.plane import Plane
from tests.servers.stripe import KEY, WEBHOOK_SECRET, event, signed, stripe_server, subscription

YAML = {"Content-Type": "application/yaml"}


def used(api: Api) -> int:
    count: int = api.get("/account")["buildCredits"]["used"]
    return count


def asked(api: Api, database: str, action: str) -> dict[str, Any]:
    api.post(f"/databases/{database}/{action}")
    return api.settled(database)


def test_a_build_that_compiles_is_paid_and_one_that_is_reused_or_fails_is_not(
    plane: Plane, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plans.yaml").write_text("version: 1\ndefault: free\nplans:\n  free: {databases: 2, buildCredits: 2}\n")
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv(PLANS, str(tmp_path / "plans.yaml"))
    monkeypatch.setenv(f"{STRIPE_KEY}_FILE", str(tmp_path / "key"))
    monkeypatch.setenv(STRIPE_WEBHOOK_SECRET, WEBHOOK_SECRET)
    with stripe_server() as stripe:
        monkeypatch.setenv(STRIPE_API, stripe.url)
        api = plane.start(ephemeral=True)
    created = api.post("/connections", sqlite_connection(str(source), syncInterval=1), expect=201)
    database = created["database"]["id"]
    missing = sqlite_connection(str(tmp_path / "nowhere.db"), name="missing")
    broken = api.post("/connections", missing, expect=201)["database"]["id"]

    assert asked(api, database, "provision")["status"] == "running"
    assert used(api) == 1
    assert asked(api, database, "rebuild")["status"] == "running"  # the same image again
    assert used(api) == 1
    assert asked(api, broken, "provision")["status"] == "failed"
    assert used(api) == 1
    api("PUT", f"/databases/{database}/config", content="version: 1\ntables: [{name: users}]\n", headers=YAML)
    assert asked(api, database, "rebuild")["status"] == "running"
    assert used(api) == 2
    refused = api("POST", f"/databases/{database}/rebuild", expect=403).json()
    assert refused["error"] == "plan_limit"
    api("POST", "/billing/checkout", {"plan": "pro"}, expect=503)
    body, signature = signed(event("customer.subscription.created", subscription("x"), event_id="evt_1", created=1))
    hook = api.client.post("/v1/billing/webhook", content=body, headers={"Stripe-Signature": signature})
    assert (hook.status_code, hook.json()["outcome"]) == (200, "unknown_customer")

    assert plane.end() == 0
    for file in plane.data.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert KEY.encode() not in content, file
            assert WEBHOOK_SECRET.encode() not in content, file


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (PLANS, "/nowhere/plans.yaml", "/nowhere/plans.yaml can't be read"),
        (f"{STRIPE_KEY}_FILE", "/nowhere/key", "/nowhere/key can't be read"),
        (STRIPE_KEY, "two words canary", "does not hold a secret"),
        (STRIPE_API, "ftp://x", "must be an address"),
        (STRIPE_API, "http://stripe.example.com", "must be an address"),
    ],
)
def test_a_setting_that_makes_no_sense_ends_the_start_with_one_line(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    from tests.api.plane import spawn

    if name == STRIPE_API:
        monkeypatch.setenv(STRIPE_KEY, KEY)
    monkeypatch.setenv(name, value)
    process = spawn(plane.data, 0)
    said = process.communicate(timeout=60)[1]

    assert process.returncode == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert "canary" not in said
