"""`reflexdb account` and `billing`, and the operator's two groups, against a real control plane and a listening one."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.client.serving import send, serving

ID = "2f1c0b1e-0000-4000-8000-000000000001"


def test_an_account_is_told_its_plan_and_what_it_used(cli: Cli, database: str) -> None:
    told = cli("account")

    assert told.code == 0
    lines = dict(line.split(maxsplit=1) for line in told.out.splitlines() if line.startswith(("plan", "databases")))
    assert lines["plan"] == "unlimited"
    assert lines["databases"].endswith("(no limit)")
    answer: Any = cli("account", "--json").json()
    assert answer["plan"] == "unlimited"
    assert answer["databases"] >= 1


def test_what_is_not_sold_or_not_in_the_plan_has_its_exit_code(cli: Cli) -> None:
    bought = cli("billing", "checkout", "pro")
    turned_on, turned_off = cli("billing", "overage", "--cap", "500"), cli("billing", "overage", "--off")

    assert (bought.code, "no Stripe key" in bought.err) == (5, True)
    assert (turned_on.code, "teams or enterprise" in turned_on.err) == (6, True)
    assert (turned_off.code, turned_off.out) == (0, "overage is off\n")
    for wrong in (("--cap", "500", "--off"), ()):
        assert cli("billing", "overage", *wrong).code == 2


ADJUSTED = {"id": ID, "customerId": ID, "amount": -3, "reason": "x\x1b[31m", "expiresAt": None}


@pytest.mark.parametrize(
    ("group", "words", "request_line", "sent", "answer", "says"),
    [
        ("plan", ("set", ID, "pro"), f"PATCH /v1/admin/customers/{ID}/plan", {"plan": "pro"},
         {"id": ID, "plan": "pro"}, "has the plan pro"),
        ("plan", ("reset", ID), f"DELETE /v1/admin/customers/{ID}/plan", None, {"id": ID, "plan": "free"}, "free"),
        ("credits", ("grant", ID, "--amount", "-3", "--reason", "x"), f"POST /v1/admin/customers/{ID}/build-credits",
         {"amount": -3, "reason": "x"}, {**ADJUSTED, "totalAdjustment": 4}, "adjusted by -3; all adjustments"),
        ("credits", ("list", ID), f"GET /v1/admin/customers/{ID}/build-credits", None,
         {"adjustments": [{**ADJUSTED, "createdAt": "2026-04-15T12:00:00.000Z"}], "totalAdjustment": 4},
         "2026-04-15 12:00:00Z  -3      -        x\\x1b[31m"),
    ],
)  # fmt: skip
def test_the_operators_commands_send_what_they_say(
    group: str, words: tuple[str, ...], request_line: str, sent: Any, answer: Any, says: str,
    monkeypatch: pytest.MonkeyPatch, offline: Cli,
) -> None:  # fmt: skip
    asked: list[tuple[str, Any]] = []

    def reply(handler: BaseHTTPRequestHandler, _number: int) -> None:
        body: bytes = getattr(handler, "body", b"")
        asked.append((f"{handler.command} {handler.path}", json.loads(body) if body else None))
        send(handler, 200, json.dumps(answer))

    with serving(reply) as (url, _seen):
        monkeypatch.setenv("REFLEXDB_OPERATOR_KEY", "rok_a.b")
        told = offline("--url", url, "admin", group, *words)
        as_json = offline("--url", url, "admin", group, *words, "--json")

    assert (told.code, as_json.code) == (0, 0)
    assert says in told.out
    assert as_json.json() == answer
    assert asked == [(request_line, sent)] * 2
