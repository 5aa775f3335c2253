"""How much one caller may ask, how long a connection may say nothing, and what the operator may set."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from reflexdb.api import limits
from reflexdb.api.app import create_app
from reflexdb.api.limits import Buckets
from reflexdb.api.settings import NUMBERS, ApiSettings
from reflexdb.control.control import Control
from reflexdb.model.errors import InvalidRequest
from tests.api.api import Api, until
from tests.api.plane import Plane, spawn


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_it_holds_and_fills_again_with_time() -> None:
    clock = Clock()
    buckets = Buckets("p", per_s=2, size=4, clock=clock)

    assert [buckets.take("a") for _ in range(5)] == [True] * 4 + [False]
    assert buckets.take("b")
    assert buckets.refusal("a") == {"Retry-After": "1", "RateLimit-Policy": '"p";q=4;w=2', "RateLimit": '"p";r=0;t=2'}
    clock.now += 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    clock.now += 1e6
    assert buckets.headers("a")["RateLimit"] == '"p";r=4;t=0'


def test_only_so_many_callers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 3)
    buckets = Buckets("p", per_s=0.001, size=1, clock=Clock())
    for name in "abcd":
        assert buckets.take(name)

    assert not buckets.take("d")
    assert buckets.take("a")  # silent for longest, and forgotten


def limited(control: Control, **settings: Any) -> tuple[TestClient, dict[str, str]]:
    first = control.accounts.ensure_first()
    assert first is not None
    return TestClient(create_app(control, ApiSettings(**settings))), {"Authorization": f"Bearer {first.key}"}


def test_a_credential_sees_what_is_left_and_is_told_when_to_come_again(control: Control) -> None:
    client, key = limited(control, rate_limit=1, rate_burst=2)
    with client:
        replies = [client.get("/v1/databases", headers=key) for _ in range(3)]
        other = control.accounts.create_key(control.accounts.authenticate(key["Authorization"][7:]), "other", None).key
        assert client.get("/v1/databases", headers={"Authorization": f"Bearer {other}"}).status_code == 200

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["ratelimit-policy"] for reply in replies] == ['"credential";q=2;w=2'] * 3
    assert re.fullmatch(r'"credential";r=1;t=1', replies[0].headers["ratelimit"])
    assert int(replies[2].headers["retry-after"]) >= 1
    assert replies[2].headers["x-request-id"]


def test_an_address_that_fails_too_often_is_refused_and_locks_nobody_out(control: Control) -> None:
    client, key = limited(control, auth_failures=3)
    wrong = {"Authorization": "Bearer rmk_a.b"}
    new = control.accounts.create_key(control.accounts.authenticate(key["Authorization"][7:]), "new", None).key
    with client:
        assert client.get("/v1/databases", headers=key).status_code == 200
        answers = [client.get("/v1/databases", headers=wrong) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert answers[-1].headers["retry-after"]
        assert client.get("/v1/databases", headers=key).status_code == 200, "it was found good before"
        assert client.get("/v1/databases", headers={"Authorization": f"Bearer {new}"}).status_code == 429
        assert client.get("/healthz").status_code == 200, "who needs no credential can't fail to have one"
    elsewhere = TestClient(client.app, client=("192.0.2.9", 1))
    assert elsewhere.get("/v1/databases", headers=wrong).status_code == 401


def test_a_revoked_credential_is_not_let_through_for_having_been_good(control: Control) -> None:
    client, key = limited(control, auth_failures=1)
    account = control.accounts.authenticate(key["Authorization"][7:])
    made = control.accounts.create_key(account, "n", None)
    theirs = {"Authorization": f"Bearer {made.key}"}
    with client:
        assert client.get("/v1/databases", headers=theirs).status_code == 200
        control.accounts.revoke_key(account, made.row.id)
        assert [client.get("/v1/databases", headers=theirs).status_code for _ in range(2)] == [401, 429]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_network_is_one_address(one: str, other: str, same: bool) -> None:
    assert (limits._address({"client": (one, 1)}) == limits._address({"client": (other, 1)})) is same


def test_no_limit_where_the_operator_lifts_it(control: Control) -> None:
    client, key = limited(control, rate_limit=0, auth_failures=0)
    with client:
        assert "ratelimit" not in client.get("/v1/databases", headers=key).headers
        assert {client.get("/v1/databases").status_code for _ in range(100)} == {401}


@pytest.fixture
def patient(plane: Plane) -> tuple[Api, tuple[str, int]]:
    """A control plane that waits for a second and takes two connections; with its address."""
    api = plane.start(api="ApiSettings(request_timeout=1, max_connections=2)")
    url = httpx.URL(json.loads((plane.data / "control.json").read_text())["url"])
    api.client.close()
    assert url.port is not None
    return api, (url.host, url.port)


def said(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    connection.settimeout(30)
    text = b""
    while chunk := connection.recv(4096):
        text += chunk
    return text


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"", b"408"),
        (b"GET /v1/databases HTTP/1.1\r\nHost: x\r\nX-", b"408"),
        (b"POST /v1/databases HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nAuthorization: Bearer KEY\r\n\r\n{", b"408"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + 70_000 * b"x", b"400"),
    ],
)
def test_who_does_not_finish_a_request_is_answered_and_let_go(
    patient: tuple[Api, tuple[str, int]], start: bytes, status: bytes
) -> None:
    api, address = patient
    with socket.create_connection(address) as connection:
        connection.sendall(start.replace(b"KEY", api.key.encode()))
        head, _, body = said(connection).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 " + status)
    assert set(json.loads(body)) == {"error", "message"}


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_connection_too_many_is_told_so(patient: tuple[Api, tuple[str, int]]) -> None:
    api, address = patient
    begun = (
        b"POST /v1/databases HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"
        b"Authorization: Bearer KEY\r\n\r\n"
    )
    with socket.create_connection(address) as one, socket.create_connection(address) as two:
        for connection in (one, two):
            connection.sendall(begun.replace(b"KEY", api.key.encode()))
            assert connection.recv(4096).startswith(b"HTTP/1.1 100")  # it is being carried out
        with socket.create_connection(address) as three:
            answer = said(three)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"overloaded" in answer
        assert all(said(connection).startswith(b"HTTP/1.1 408") for connection in (one, two))

    def free() -> bool:
        with socket.create_connection(address) as connection:
            connection.sendall(HEALTH)
            return said(connection).startswith(b"HTTP/1.1 200")

    until(free, "a place for a connection")


def test_silent_connections_make_room_for_others(patient: tuple[Api, tuple[str, int]]) -> None:
    _, address = patient
    with socket.create_connection(address) as silent, socket.create_connection(address) as second:
        with socket.create_connection(address) as third:
            third.sendall(HEALTH)
            assert said(third).startswith(b"HTTP/1.1 200")
        assert said(silent) == b"", "the first that was idle"
        second.sendall(HEALTH)
        assert said(second).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        *(({each.name: each.least - 1}, each.option) for each in NUMBERS),
        ({"cors_origins": ("https://a.example/",)}, "--cors-origin"),
        ({"cors_origins": ("a.example",)}, "--cors-origin"),
        ({"cors_origins": ("null",)}, "--cors-origin"),
        ({"cors_origins": ("https://*.example",)}, "--cors-origin"),
        ({"cors_origins": ("https://EXAMPLE.com",)}, "--cors-origin"),
        ({"cors_origins": ("*",), "cors_credentials": True}, "--cors-credentials"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        ApiSettings(**wrong).checked()


def test_a_start_with_wrong_settings_is_one_sentence(plane: Plane) -> None:
    process = spawn(plane.data, 0, api="ApiSettings(cors_origins=('x',))")
    _, said_ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "--cors-origin" in said_
    assert len(said_.strip().splitlines()) == 1
