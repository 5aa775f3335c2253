"""A little Stripe on the loopback: answers the calls that are made of it as the real one does, and signs events.

Checks what a real one would refuse: the key, the form, the required fields, unknown prices and customers. It can be
told to be slow, to break off, or to answer an error. Everything it was asked is kept for the test to look at.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from stripe import WebhookSignature

KEY = "sk_test_canary_4eC39HqLyjWDarjtT1zdp7dc"
WEBHOOK_SECRET = "whsec_canary_5f9c0e7b2a"
PRICES = {"pro": "price_pro", "teams": "price_teams", "enterprise": "price_enterprise"}


@dataclass
class Asked:
    path: str
    fields: dict[str, str]
    idempotency_key: str | None


@dataclass
class Stripe:
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    customers: dict[str, dict[str, str]] = field(default_factory=dict)
    failing: tuple[int, dict[str, Any]] | None = None
    """What every call is answered instead."""
    hanging: threading.Event | None = None
    """Every call waits for it before it is answered."""
    _by_key: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def paths(self) -> list[str]:
        return [each.path for each in self.asked]

    def answer(self, path: str, fields: dict[str, str], again: str | None) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.asked.append(Asked(path, fields, again))
        if self.failing is not None:
            return self.failing
        match path:
            case "/v1/customers":
                return 200, {"id": self._customer(fields, again), "object": "customer"}
            case "/v1/checkout/sessions":
                return self._checkout(fields)
            case "/v1/billing_portal/sessions":
                if fields.get("customer") not in self.customers:
                    return _refusal("resource_missing", f"No such customer: '{fields.get('customer')}'")
                url = f"https://billing.stripe.com/p/session/{fields['customer']}"
                return 200, {"id": "bps_1", "object": "billing_portal.session", "url": url}
        return _refusal("url_invalid", "Unrecognized request URL", 404)

    def _customer(self, fields: dict[str, str], again: str | None) -> str:
        with self._lock:
            if again is not None and again in self._by_key:
                return self._by_key[again]
            made = f"cus_{len(self.customers) + 1}"
            self.customers[made] = fields
            if again is not None:
                self._by_key[again] = made
            return made

    def _checkout(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        for name in ("success_url", "line_items[0][price]", "line_items[0][quantity]", "mode"):
            if not fields.get(name):
                return _refusal("parameter_missing", f"Missing required param: {name}.")
        if fields["line_items[0][price]"] not in PRICES.values():
            return _refusal("resource_missing", f"No such price: '{fields['line_items[0][price]']}'")
        if fields.get("customer") not in self.customers:
            return _refusal("resource_missing", f"No such customer: '{fields.get('customer')}'")
        made = f"cs_test_{len(self.asked)}"
        return 200, {"id": made, "object": "checkout.session", "url": f"https://checkout.stripe.com/c/pay/{made}"}


def _refusal(code: str, message: str, status: int = 400) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": code, "message": message, "type": "invalid_request_error"}}


@contextmanager
def stripe_server() -> Iterator[Stripe]:
    stripe = Stripe()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            if self.headers.get("authorization") != f"Bearer {KEY}":
                status, document = _refusal("api_key_invalid", "Invalid API Key provided: sk_test_****", 401)
            else:
                fields = dict(parse_qsl(body, strict_parsing=bool(body)))
                status, document = stripe.answer(self.path, fields, self.headers.get("idempotency-key"))
            if stripe.hanging is not None:
                stripe.hanging.wait(30)
            sent = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.send_header("Request-Id", "req_1")
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    stripe.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stripe
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def signed(
    event: dict[str, Any] | bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None
) -> tuple[bytes, str]:
    """The body and the Stripe-Signature of an event."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    moment = int(time.time() if at is None else at)
    return body, WebhookSignature.generate_signature_header(body.decode(), secret, moment)


def event(kind: str, thing: dict[str, Any], *, event_id: str, created: int) -> dict[str, Any]:
    """An event in the form of Stripe's API."""
    return {
        "id": event_id, "object": "event", "api_version": "2026-10-28.endive", "created": created, "livemode": False,
        "type": kind, "pending_webhooks": 1, "request": {"id": None, "idempotency_key": None},
        "data": {"object": thing},
    }  # fmt: skip


def subscription(
    price: str, *, customer: str = "cus_1", status: str = "active", sub: str = "sub_1", created: int = 1_000,
    metadata: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    item = {"id": "si_1", "object": "subscription_item", "price": {"id": price, "object": "price"}, "quantity": 1}
    return {
        "id": sub, "object": "subscription", "customer": customer, "status": status, "created": created,
        "items": {"object": "list", "data": [item], "has_more": False}, "metadata": metadata or {},
    }  # fmt: skip


def invoice(
    number: str = "in_1", *, customer: str = "cus_1", reason: str = "subscription_cycle", paid: int = 2_000,
    metadata: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    details = {"subscription": "sub_1", "metadata": metadata or {}}
    return {
        "id": number, "object": "invoice", "customer": customer, "billing_reason": reason, "amount_paid": paid,
        "metadata": {}, "parent": {"type": "subscription_details", "subscription_details": details},
    }  # fmt: skip


def completed(
    customer_id: str, plan: str, *, customer: str = "cus_1", sub: str = "sub_1", paid: str = "paid"
) -> dict[str, Any]:
    return {
        "id": "cs_test_1", "object": "checkout.session", "mode": "subscription", "customer": customer,
        "client_reference_id": customer_id, "subscription": sub, "payment_status": paid, "created": 990,
        "metadata": {"reflexdb_customer_id": customer_id, "reflexdb_plan": plan},
    }  # fmt: skip
