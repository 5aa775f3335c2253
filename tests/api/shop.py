"""A control plane that sells plans: with plans of few credits, a clock that a test sets, and a Stripe of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.control.billing_config import STRIPE_API, STRIPE_KEY, STRIPE_WEBHOOK_SECRET, read_payments
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.rooms import Settings
from reflexdb.model.plans_file import parse_plans
from tests.api.api import UNHURRIED, Api, sqlite_connection
from tests.api.operator import let_operate
from tests.servers.stripe import KEY, WEBHOOK_SECRET, Stripe, signed

PLANS = """\
version: 1
default: free
plans:
  free: {buildCredits: 2}
  pro: {databases: 3, buildCredits: 3, stripePrice: price_pro}
  teams: {buildCredits: 2, overageMaxCents: 1000, overageBuildCents: 300, stripePrice: price_teams}
  enterprise: {buildCredits: 2, stripePrice: price_enterprise}
"""
BASE_URL = "http://127.0.0.1:8400"


@dataclass
class Clock:
    """Stands still until it is set."""

    at: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Shop:
    """A control plane that is not started: builds are accepted and paid for, and nothing carries them out."""

    api: Api
    """Of its first account, which has the plan free."""
    operator: Api
    control: Control
    stripe: Stripe
    clock: Clock
    source: Path
    customer: str
    _made: list[str] = field(default_factory=list)

    def account(self) -> dict[str, Any]:
        account: dict[str, Any] = self.api.get("/account")
        return account

    def plan(self, name: str) -> None:
        path = f"/admin/customers/{self.customer}/plan"
        assert self.operator("PATCH", path, {"plan": name}, expect=200).json()["plan"] == name

    def register(self, expect: int = 201, **changes: Any) -> Any:
        """A database on a connection of its own; its id, or the refusal."""
        name = f"n{len(self._made)}"
        self._made.append(name)
        body = sqlite_connection(str(self.source), name=name, instance={"name": name, "mysqlDb": "main", **changes})
        answer = self.api.post("/connections", body, expect=expect)
        return answer["database"]["id"] if expect == 201 else answer

    def provision(self, expect: int = 202) -> Any:
        """Another database, and its first build; the answer."""
        return self.api.post(f"/databases/{self.register()}/provision", expect=expect)

    def tell(self, event: dict[str, Any]) -> str:
        """Deliver an event as Stripe does; what became of it."""
        body, signature = signed(event)
        reply = self.deliver(body, signature)
        assert reply.status_code == 200, reply.text
        outcome: str = reply.json()["outcome"]
        return outcome

    def deliver(self, body: bytes, signature: str | None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": signature} if signature else {})
        return self.api.client.post("/v1/billing/webhook", content=body, headers=headers)


@contextmanager
def shop_on(directory: Path, source: Path, stripe: Stripe, records: URL | None) -> Iterator[Shop]:
    clock, environment = Clock(), {STRIPE_KEY: KEY, STRIPE_WEBHOOK_SECRET: WEBHOOK_SECRET, STRIPE_API: stripe.url}
    settings = Settings(base_url=BASE_URL, plans=parse_plans(PLANS, "plans.yaml"))
    opened = open_control(directory, settings, "127.0.0.1", records, read_payments(environment, BASE_URL))
    control = Control(replace(opened.rooms, now=clock))
    first = control.accounts.ensure_first()
    assert first is not None
    customer = first.row.customer_id
    operators = control.accounts.create_key(customer, "operator", None)
    with (
        pytest.MonkeyPatch.context() as patch,
        TestClient(create_app(control, UNHURRIED), raise_server_exceptions=False) as client,
    ):
        patch.setenv("NO_PROXY", "127.0.0.1")
        let_operate(control, operators.key, patch)
        yield Shop(Api(client, first.key), Api(client, operators.key), control, stripe, clock, source, customer)
    control.rooms.store.close()
