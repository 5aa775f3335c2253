"""API keys: who is let in, and that nobody else is, however close they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reflexdb.sync import feed
from reflexdb.sync.feed import InstanceRefused
from tests.engine.serving import SECRET, Server, api_key, get, post

pytestmark = pytest.mark.timeout(1200)

QUERY = "users(id = 3) { id }"
GOOD = api_key()
REFUSED = {
    "none": "",
    "basic": "Authorization: Basic dTpw\r\n",
    "no scheme": f"Authorization: {GOOD}\r\n",
    "scheme only": "Authorization: Bearer\r\n",
    "empty": "Authorization:\r\n",
    "no prefix": f"Authorization: Bearer {GOOD[4:]}\r\n",
    "other prefix": f"Authorization: Bearer rmk_{GOOD[4:]}\r\n",
    "no mac": "Authorization: Bearer rxk_k1\r\n",
    "empty mac": "Authorization: Bearer rxk_k1.\r\n",
    "no id": f"Authorization: Bearer rxk_.{GOOD[-64:]}\r\n",
    "first digit": f"Authorization: Bearer {GOOD[:-64]}{'0' if GOOD[-64] != '0' else '1'}{GOOD[-63:]}\r\n",
    "last digit": f"Authorization: Bearer {GOOD[:-1]}{'0' if GOOD[-1] != '0' else '1'}\r\n",
    "too short": f"Authorization: Bearer {GOOD[:-1]}\r\n",
    "too long": f"Authorization: Bearer {GOOD}0\r\n",
    "capitals": f"Authorization: Bearer {GOOD[:-64]}{GOOD[-64:].upper()}\r\n",
    "something after": f"Authorization: Bearer {GOOD} x\r\n",
    "other id": f"Authorization: Bearer rxk_k2.{GOOD[-64:]}\r\n",
    "mac of another id": f"Authorization: Bearer rxk_k1.{api_key('k2')[-64:]}\r\n",
    "another instance's": f"Authorization: Bearer {api_key(secret=bytes(32))}\r\n",
    "placeholder": "Authorization: Bearer rxk_nobody." + "*" * 64 + "\r\n",
    "very long": "Authorization: Bearer rxk_" + "k" * 20_000 + "." + "0" * 64 + "\r\n",
    "not ascii": "Authorization: Bearer rxk_k\u00e9." + "0" * 64 + "\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_other_key_is_refused_in_the_same_words(server: Server, name: str) -> None:
    answer = server.ask(post(QUERY, key="", extra=REFUSED[name]))

    assert answer.status == 401
    assert answer.json() == server.ask(get("/openapi.json", key="")).json()
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_may_have_any_letter_case(server: Server, scheme: str) -> None:
    assert server.ask(post(QUERY, key="", extra=f"Authorization: {scheme} {GOOD}\r\n")).status == 200


def test_without_keys_nobody_is_let_in(empty_server: Server) -> None:
    empty_server.load()
    empty_server.orders.request(feed.serve())

    assert empty_server.ask(post(QUERY)).status == 401
    assert empty_server.ask(get("/health", key="")).status == 200


def test_a_revoked_key_is_refused_on_its_open_connection_at_once(server: Server) -> None:
    with server.client() as client:
        for _ in range(20):
            server.orders.request(feed.keys(SECRET, {"k1": None, "k2": None}))
            assert client.ask(post(QUERY)).status == 200
            server.orders.request(feed.keys(SECRET, {"k2": None}))
            assert client.ask(post(QUERY)).status == 401
            assert client.ask(post(QUERY, api_key("k2"))).status == 200


def test_a_key_is_good_until_it_expires(server: Server) -> None:
    now = datetime.now(UTC)
    server.orders.request(feed.keys(SECRET, {"old": now - timedelta(seconds=1), "new": now + timedelta(hours=1)}))

    assert server.ask(post(QUERY, api_key("old"))).status == 401
    assert server.ask(post(QUERY, api_key("new"))).status == 200


def test_another_secret_makes_every_former_key_worthless(server: Server) -> None:
    other = bytes(range(32, 64))
    server.orders.request(feed.keys(other, {"k1": None}))

    assert server.ask(post(QUERY)).status == 401
    assert server.ask(post(QUERY, api_key(secret=other))).status == 200


def test_thousands_of_keys_each_open_the_door(server: Server) -> None:
    server.orders.request(feed.keys(SECRET, {f"key-{i}": None for i in range(5000)}))

    with server.client() as client:
        for i in range(0, 5000, 250):
            assert client.ask(post(QUERY, api_key(f"key-{i}"))).status == 200
        assert client.ask(post(QUERY, api_key("key-5000"))).status == 401


def test_last_use_is_told_and_outlives_a_change_of_keys(server: Server) -> None:
    server.ask(post(QUERY))
    first = server.orders.request(feed.status())["keyUse"]
    server.orders.request(feed.keys(SECRET, {"k1": None, "k2": None}))
    second = server.orders.request(feed.status())["keyUse"]

    assert abs(first["k1"] / 1000 - datetime.now(UTC).timestamp()) < 60
    assert second == first


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"secret":"00","keys":[]}',
        b'{"secret":"' + b"0" * 63 + b'g","keys":[]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":{}}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[1]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[{"keyId":"a.b"}]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[{"keyId":""}]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[{"keyId":"' + b"a" * 65 + b'"}]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[{"keyId":"a"},{"keyId":"a"}]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[{"keyId":"a","expiresAtMs":"soon"}]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[{"keyId":"a","expiresAtMs":1.5}]}',
        b'{"secret":"' + b"0" * 64 + b'","keys":[]} x',
        b'{"secret":"' + b"0" * 64 + b'","keys":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"secret":"\xff' + b"0" * 63 + b'","keys":[]}',
    ],
)
def test_a_malformed_order_changes_no_keys_and_is_not_repeated_in_the_log(server: Server, body: bytes) -> None:
    with pytest.raises(InstanceRefused) as refusal:
        server.orders.request(feed.Frame(feed.Kind.KEYS, (body,)))

    assert refusal.value.code == "protocol_error"
    assert server.ask(post(QUERY)).status == 200
    assert "0" * 63 not in server.log_path.read_text()


def test_nothing_secret_is_logged(server_program: object, server: Server) -> None:
    server.orders.request(feed.configure("debug"))
    server.ask(post('users(name = "nobody-should-read-this") { id }'))
    server.ask(post(QUERY, api_key()[:-1] + "x"))
    server.orders.request(feed.keys(SECRET, {"k1": None}))

    text = server.log_path.read_text()
    assert "keys_replaced" in text
    for secret in (SECRET.hex(), GOOD[-64:], "nobody-should-read-this", "users"):
        assert secret not in text
