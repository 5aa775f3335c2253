"""An issuer's keys: kept, renewed and rotated; an issuer that is down, slow or wrong takes nothing with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflexdb.control import fetch as fetching
from reflexdb.control import issuer as room
from reflexdb.control.fetch import MAX_DOCUMENT_BYTES, fetch
from reflexdb.control.issuer import Issuer
from reflexdb.model.errors import NotAuthenticated, Unavailable
from reflexdb.model.issuer import IssuerSettings, is_fetchable
from tests.api.api import until
from tests.servers.issuer import LittleIssuer, little_issuer

DISCOVERY = "/.well-known/openid-configuration"
REFETCH = 30
LIMIT_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def known(issuer: LittleIssuer, clock: Clock, **changes: Any) -> Issuer:
    settings = IssuerSettings(issuer=issuer.url, audiences=("a",), refetch_s=REFETCH)
    return Issuer(replace(settings, **changes), fetch, clock)


def test_keys_are_fetched_once_for_many_tokens(issuer: LittleIssuer, clock: Clock) -> None:
    keys = known(issuer, clock)
    for _ in range(5):
        keys.key(issuer.signer.key_id)

    assert issuer.asked == [DISCOVERY, "/keys"]


def test_a_configured_address_of_the_keys_needs_no_discovery(issuer: LittleIssuer, clock: Clock) -> None:
    issuer.documents["/elsewhere"] = issuer.answer("/keys") or b""
    known(issuer, clock, jwks_url=f"{issuer.url}/elsewhere").key(issuer.signer.key_id)

    assert issuer.asked == ["/elsewhere"]


def test_an_unknown_key_is_fetched_but_not_more_often_than_agreed(issuer: LittleIssuer, clock: Clock) -> None:
    keys = known(issuer, clock)
    keys.key(issuer.signer.key_id)
    new = issuer.rotate()
    before = len(issuer.asked)

    for _ in range(3):
        with pytest.raises(NotAuthenticated, match="does not publish"):
            keys.key(new.key_id)
    assert len(issuer.asked) == before
    clock.now += REFETCH
    keys.key(new.key_id)
    assert len(issuer.asked) == before + 2
    for name in range(20):  # made-up ids
        with pytest.raises(NotAuthenticated):
            keys.key(str(name))
    assert len(issuer.asked) == before + 2


def test_a_withdrawn_key_ends_once_the_keys_are_old(issuer: LittleIssuer, clock: Clock) -> None:
    keys = known(issuer, clock)
    old = issuer.signer.key_id
    keys.key(old)
    issuer.rotate()
    keys.key(old)
    clock.now += room.MAX_AGE_S + 1

    def is_refused() -> bool:
        try:
            keys.key(old)
        except NotAuthenticated:
            return True
        return False

    until(is_refused, "the withdrawn key to end", LIMIT_S)
    keys.key(issuer.signer.key_id)


def test_an_issuer_that_fails_keeps_the_keys_it_has_published(issuer: LittleIssuer, clock: Clock) -> None:
    keys = known(issuer, clock)
    keys.key(issuer.signer.key_id)
    issuer.down = True
    before = len(issuer.asked)
    clock.now += 10 * room.MAX_AGE_S

    keys.key(issuer.signer.key_id)
    until(lambda: len(issuer.asked) > before, "the renewal that fails", LIMIT_S)
    keys.key(issuer.signer.key_id)
    clock.now += REFETCH
    with pytest.raises(NotAuthenticated):
        keys.key("unknown")


def test_an_issuer_that_was_never_there_is_asked_again_later(issuer: LittleIssuer, clock: Clock) -> None:
    issuer.down = True
    keys = known(issuer, clock)
    for _ in range(3):
        with pytest.raises(Unavailable, match="Management keys work"):
            keys.key(issuer.signer.key_id)
    assert issuer.asked == [DISCOVERY]
    issuer.down = False
    clock.now += REFETCH

    keys.key(issuer.signer.key_id)


def test_nothing_listens_is_unavailable_too(clock: Clock) -> None:
    with little_issuer() as gone:
        pass

    with pytest.raises(Unavailable):
        known(gone, clock).key("x")


def test_many_at_once_make_one_fetch_and_few_of_them_wait(issuer: LittleIssuer, clock: Clock) -> None:
    keys = known(issuer, clock)
    issuer.gate.clear()
    refused = threading.Semaphore(0)

    def ask(_: int) -> str:
        try:
            keys.key(issuer.signer.key_id)
        except Unavailable:
            refused.release()
            return "unavailable"
        return "known"

    count = 3 * room._WAITERS
    with ThreadPoolExecutor(count) as pool:
        outcomes = pool.map(ask, range(count))
        for _ in range(count - room._WAITERS):
            assert refused.acquire(timeout=LIMIT_S), "those beyond the waiters are answered while the issuer is not"
        issuer.gate.set()
        answers = list(outcomes)

    assert answers.count("known") == room._WAITERS
    assert issuer.asked == [DISCOVERY, "/keys"]


def bad_documents(url: str) -> dict[str, dict[str, bytes]]:
    def discovery(**changes: object) -> bytes:
        return json.dumps({"issuer": url, "jwks_uri": f"{url}/keys", **changes}).encode()

    return {
        "another issuer's": {DISCOVERY: discovery(issuer=url + "/")},
        "no issuer": {DISCOVERY: discovery(issuer=None)},
        "no address of the keys": {DISCOVERY: discovery(jwks_uri=None)},
        "a file": {DISCOVERY: discovery(jwks_uri="file:///etc/passwd")},
        "plain http to elsewhere": {DISCOVERY: discovery(jwks_uri="http://203.0.113.1/keys")},
        "an array": {DISCOVERY: b"[]"},
        "no JSON": {DISCOVERY: b"<html>"},
        "nested": {DISCOVERY: b"[" * 100_000},
        "too much": {"/keys": b" " * (MAX_DOCUMENT_BYTES + 1)},
        "no keys": {"/keys": b"{}"},
        "keys that are none": {"/keys": b'{"keys": {"a": 1}}'},
        "only what is none": {
            "/keys": b'{"keys": [1, null, {}, {"kty": "RSA", "kid": "x", "n": "AQAB", "e": "AQAB"}]}'
        },
    }


@pytest.mark.parametrize("name", bad_documents("http://127.0.0.1"))
def test_a_document_that_is_wrong_gives_no_keys(issuer: LittleIssuer, clock: Clock, name: str) -> None:
    issuer.documents = bad_documents(issuer.url)[name]

    with pytest.raises(Unavailable):
        known(issuer, clock).key(issuer.signer.key_id)


def test_a_document_that_drips_is_given_up(issuer: LittleIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TOTAL_TIMEOUT_S", 0.3)
    issuer.drip_s = 0.02

    with pytest.raises(Unavailable, match="longer than"):
        fetch(f"{issuer.url}/keys")


def test_redirects_are_not_followed(issuer: LittleIssuer) -> None:
    with pytest.raises(Unavailable, match="404"):
        fetch(f"{issuer.url}/nowhere")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://issuer.example/x", True), ("http://127.0.0.1:1/x", True), ("http://localhost/x", True),
        ("http://[::1]/x", True), ("http://issuer.example/x", False), ("http://127.0.0.1.example/x", False),
        ("http://10.0.0.1/x", False), ("ftp://127.0.0.1/x", False), ("file:///etc/passwd", False), ("", False),
        ("https://", False), ("https://user:pass@issuer.example", False), ("https://issuer.example/#x", False),
        ("https://issuer.example:99999/", False), ("http://169.254.169.254/", False),
        ("https://issuer.example/\n", False),
    ],
)  # fmt: skip
def test_keys_are_fetched_over_https_or_from_this_machine(url: str, allowed: bool) -> None:
    assert is_fetchable(url) is allowed
    if not allowed:
        with pytest.raises(Unavailable):
            fetch(url)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[LittleIssuer]:
    with little_issuer(tls=tmp_path) as issuer:
        yield issuer


def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure: LittleIssuer, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = known(secure, clock)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(Unavailable, match="Management keys work"):
        keys.key(secure.signer.key_id)
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        fetch(secure.url + DISCOVERY)
    assert secure.asked == []

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "issuer.pem"))
    clock.now += REFETCH
    keys.key(secure.signer.key_id)
