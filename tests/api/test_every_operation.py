"""What every operation answers alike: to no credential, to too much, too often, too slowly and too many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from reflexdb.api.app import create_app
from reflexdb.api.bounds import MAX_ADDRESS_BYTES, MAX_HEADER_BYTES, MAX_HEADERS
from reflexdb.api.gate import MAX_BODY_BYTES
from reflexdb.api.repeats import _digest
from reflexdb.api.settings import ApiSettings
from reflexdb.control.control import Control
from tests.api.api import Api
from tests.contract.contract import every_operation, served

NOBODY = "00000000-0000-4000-8000-000000000000"
EVERY = [
    (method, "/v1" + path.replace("{id}", NOBODY).replace("{keyId}", "k").replace("{build_id}", NOBODY))
    for method, path, _ in every_operation(served())
]
NAMES = [operation["operationId"] for _, _, operation in every_operation(served())]
LOCKED = [
    each for each, (*_, operation) in zip(EVERY, every_operation(served()), strict=True) if "security" not in operation
]
"""Those that need a credential."""

POSTS = [path for method, path in LOCKED if method == "POST"]
KEYS = "/v1/account/management-keys"


def ask(api: Api, method: str, path: str, **options: Any) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {api.key}", **options.pop("headers", {})}
    reply = api.client.request(method, path, headers=headers, **options)
    return reply.status_code, reply.json()["error"] if reply.status_code >= 400 else ""


def test_nobody_is_let_in_without_a_credential(shared: Api) -> None:
    assert {shared.client.request(method, path).status_code for method, path in LOCKED} == {401}
    assert len(EVERY) - len(LOCKED) == 1, "the payment service alone needs none: it signs what it sends"


@pytest.mark.parametrize(("method", "path"), EVERY, ids=NAMES)
def test_too_much_is_refused_before_it_is_looked_at(shared: Api, method: str, path: str) -> None:
    for more, expected in (
        ({"content": b" " * (MAX_BODY_BYTES + 1)}, (413, "too_large")),
        ({"headers": {"X-Much": "x" * MAX_HEADER_BYTES}}, (431, "headers_too_large")),
        ({"headers": {f"X-{number}": "x" for number in range(MAX_HEADERS)}}, (431, "headers_too_large")),
        ({"params": {"q": "x" * MAX_ADDRESS_BYTES}}, (431, "headers_too_large")),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, (400, "bad_request")),
    ):
        if expected[0] != 400 or (method, path) in LOCKED:
            assert ask(shared, method, path, **more) == expected


def test_one_credential_too_often(control: Control) -> None:
    first = control.accounts.ensure_first()
    assert first is not None
    app = create_app(control, ApiSettings(rate_limit=1, rate_burst=1))
    with TestClient(app) as client:
        client.get("/v1/databases", headers={"Authorization": f"Bearer {first.key}"})
        for method, path in LOCKED:
            assert ask(Api(client, first.key), method, path) == (429, "rate_limited")


def test_a_body_that_does_not_arrive_is_not_waited_for(control: Control) -> None:
    first = control.accounts.ensure_first()
    assert first is not None
    app = create_app(control, ApiSettings(request_timeout=0.01))

    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def all_of_them() -> list[tuple[int, bytes]]:
        return [await answered(app, method, path, first.key, never) for method, path in EVERY]

    answers = asyncio.run(all_of_them())

    assert {status for status, _ in answers} == {408}
    assert all(b"request_timeout" in body for _, body in answers)


def test_too_many_at_once(control: Control) -> None:
    first = control.accounts.ensure_first()
    assert first is not None
    app = create_app(control, ApiSettings(max_requests=1))

    async def all_of_them() -> list[tuple[int, bytes]]:
        come = asyncio.Event()

        async def later() -> dict[str, Any]:
            await come.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        held = asyncio.create_task(answered(app, "GET", "/v1/databases", first.key, later))
        await asyncio.sleep(0)  # it has begun, and waits for its body
        refused = [await answered(app, method, path, first.key, later) for method, path in EVERY]
        come.set()
        return [*refused, await held]

    *refused, held = asyncio.run(all_of_them())

    assert held[0] == 200
    assert {status for status, _ in refused} == {503}
    assert all(b"overloaded" in body for _, body in refused)


def test_a_key_of_another_request_or_of_one_cut_short(api: Api, control: Control) -> None:
    account = control.accounts.authenticate(api.key)
    asked = {"query_string": b"", "state": {"speaker": control.accounts.speaker(api.key)}}
    assert ask(api, "POST", KEYS, json={"name": "n"}, headers={"Idempotency-Key": "k"})[0] == 201
    for number, path in enumerate(POSTS):
        headers = {"Idempotency-Key": "k", "Content-Type": kind(path)}
        assert ask(api, "POST", path, content=b"{}", headers=headers) == (422, "idempotency_key_reused")
        control.repeats.begin(account, f"k{number}", _digest(asked | {"path": path}, b"{}"))
    with control.rooms.store.write() as tx:
        tx.exec_driver_sql("UPDATE repeats SET owner = 'an earlier run' WHERE status IS NULL")
    for number, path in enumerate(POSTS):
        headers = {"Idempotency-Key": f"k{number}", "Content-Type": kind(path)}
        assert ask(api, "POST", path, content=b"{}", headers=headers) == (409, "conflict")


def kind(path: str) -> str:
    """What the operation takes."""
    return "application/yaml" if path.endswith("/config/check") else "application/json"


async def answered(
    app: Callable[..., Awaitable[None]], method: str, path: str, key: str, receive: Callable[[], Awaitable[Any]]
) -> tuple[int, bytes]:
    """One request straight to the application, its body as slow as `receive` is."""
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "http_version": "1.1", "server": ("test", 80), "client": ("192.0.2.1", 1),
        "headers": [(b"authorization", f"Bearer {key}".encode())],
    }  # fmt: skip
    await app(scope, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])
