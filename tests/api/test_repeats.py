"""Idempotency-Key, request ids and the headers of every answer."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from reflexdb.api.app import create_app
from reflexdb.control.control import Control
from reflexdb.control.local import open_control
from reflexdb.control.repeats import Repeats
from reflexdb.control.rooms import Settings, new_id, utc_now
from reflexdb.records import accounts
from tests.api.api import Api
from tests.api.plane import Plane

pytestmark = pytest.mark.both_records

KEYS = "/v1/account/management-keys"


def post(api: Api, key: str | None, json: Any = None, path: str = KEYS) -> httpx.Response:
    headers = {"Authorization": f"Bearer {api.key}"} | ({"Idempotency-Key": key} if key else {})
    return api.client.post(path, headers=headers, json=json if json is not None else {"name": "n"})


def made(api: Api) -> int:
    return len(api.get("/account/management-keys"))


def test_a_request_sent_again_is_answered_again_and_not_done_again(api: Api) -> None:
    before = made(api)
    first, second = post(api, "k-1"), post(api, "k-1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert made(api) == before + 1
    assert post(api, "k-2").json()["id"] != first.json()["id"]
    assert post(api, None).json()["id"] != post(api, None).json()["id"]


@pytest.mark.parametrize(("path", "body"), [(KEYS, {"name": "another"}), ("/v1/connections", {"name": "n"})])
def test_the_same_key_with_another_request_is_refused(api: Api, path: str, body: dict[str, str]) -> None:
    post(api, "k")
    reply = post(api, "k", body, path)

    assert reply.status_code == 422
    assert set(reply.json()) == {"error", "message"}
    assert reply.json()["error"] == "idempotency_key_reused"


def test_another_credential_does_not_get_the_answer(api: Api) -> None:
    first = post(api, "shared")
    other = Api(api.client, first.json()["key"])

    assert post(other, "shared").status_code == 422
    assert first.json()["key"] not in post(other, "shared").text
    assert post(api, "shared").content == first.content


def test_two_at_once_are_done_once(api: Api, control: Control) -> None:
    before = made(api)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: post(api, "race"), range(8)))

    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.content for reply in replies}) == 1
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 7
    assert made(api) == before + 1


def test_a_refused_request_may_be_sent_again(api: Api, database: str) -> None:
    path = f"/v1/databases/{database}/resume"
    first, second = post(api, "k", {}, path), post(api, "k", {}, path)

    assert (first.status_code, second.status_code) == (409, 409)
    assert "idempotent-replayed" not in second.headers
    assert post(api, "k").status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9".encode("latin-1").decode("latin-1")])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    headers = [("Authorization", f"Bearer {api.key}"), ("Idempotency-Key", key.encode("latin-1"))]

    assert api.client.post(KEYS, headers=headers, json={"name": "n"}).status_code == 400  # type: ignore[arg-type]


def test_keys_are_of_one_account(api: Api, control: Control) -> None:
    other = new_id()
    with control.rooms.store.write() as tx:
        accounts.add_customer(tx, id=other, name="other", plan="free", created_at=utc_now())
    stranger = Api(api.client, control.accounts.create_key(other, "k", None).key)

    assert post(api, "same").json()["customerId"] != post(stranger, "same").json()["customerId"]
    assert post(Api(api.client, "rmk_x.y"), "same").status_code == 401


def test_an_answer_outlives_the_control_plane_and_its_secret_is_not_in_the_records(
    tmp_path: Path, records: URL | None
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    key, bodies = "", []
    for _ in range(2):
        control = open_control(data, Settings(base_url="http://x"), "127.0.0.1", records)
        first = control.accounts.ensure_first()
        key = first.key if first else key
        with TestClient(create_app(control)) as client:
            bodies.append(post(Api(client, key), "k").json())
        control.rooms.store.close()

    assert bodies[0] == bodies[1]
    assert all(bodies[0]["key"].encode() not in path.read_bytes() for path in data.iterdir() if path.is_file())


def test_what_was_cut_short_is_never_done_twice(control: Control, api: Api, tmp_path: Path) -> None:
    account = control.accounts.authenticate(api.key)
    started = post(api, "done")
    with control.rooms.store.write() as tx:
        tx.exec_driver_sql("UPDATE repeats SET status = NULL, answer = NULL, owner = 'an earlier run'")

    assert started.status_code == 201
    assert post(api, "done").status_code == 409
    assert made(api) == 2
    assert account


def test_a_key_is_forgotten_after_a_day(control: Control) -> None:
    first = control.accounts.ensure_first()
    assert first is not None
    customer, now = first.row.customer_id, utc_now()
    times = iter([now, now + timedelta(hours=23), now + timedelta(hours=25)])
    rooms = replace(control.rooms, now=lambda: next(times))
    repeats = Repeats(rooms)

    assert [repeats.begin(customer, "k", b"digest") for _ in range(3)] == [True, False, True]


@pytest.mark.parametrize("given", ["abc-123", "a" * 64, "0af7651916cd43dd:b7ad.x_y"])
def test_a_sane_request_id_is_kept(api: Api, given: str) -> None:
    reply = api("GET", "/databases", headers={"X-Request-Id": given})

    assert reply.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "<script>", "a;b"])
def test_an_odd_request_id_is_replaced(api: Api, given: str) -> None:
    ids = [api("GET", "/databases", headers={"X-Request-Id": given}).headers["x-request-id"] for _ in range(2)]

    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert ids[0] != ids[1]


@pytest.mark.breaks_the_api
def test_every_answer_has_the_headers(api: Api, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("of this test")

    replies = [api.client.get("/v1/databases"), api.client.get("/v1/openapi.json"), api.client.get("/healthz")]
    replies += [
        api("GET", "/databases"),
        api("GET", "/nothing"),
        post(api, "h"),
        post(api, "h"),
        post(api, "h", {"a": 1}),
    ]
    monkeypatch.setattr(control.databases, "of_customer", crash)
    with capture_logs() as logs:
        crashed = api.client.get("/v1/databases", headers={"Authorization": f"Bearer {api.key}", "X-Request-Id": "it"})

    assert [reply.status_code for reply in (*replies, crashed)] == [401, 200, 200, 200, 404, 201, 201, 422, 500]
    for reply in (*replies, crashed):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["x-request-id"]
    assert crashed.headers["x-request-id"] == "it"
    assert [entry["request_id"] for entry in logs if entry["event"] == "request_crashed"] == ["it"]


def test_log_lines_of_a_request_have_its_id(plane: Plane, source: Path) -> None:
    api = plane.start()
    api.client.post(
        KEYS, headers={"Authorization": f"Bearer {api.key}", "X-Request-Id": "trace-me"}, json={"name": "n"}
    )
    plane.end()

    assert '"request_id": "trace-me"' in (plane.data / "logs" / "control.log").read_text()
