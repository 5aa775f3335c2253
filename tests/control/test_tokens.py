"""Tokens of an issuer, which is a real server here: the good ones are read, and no other, however it was made."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflexdb.control.fetch import fetch
from reflexdb.control.tokens import MAX_TOKEN_CHARS, Tokens
from reflexdb.model.errors import NotAuthenticated
from reflexdb.model.issuer import IssuerSettings
from tests.servers.issuer import AUDIENCE, LittleIssuer, Signer, signer

LEEWAY = 60


def trusting(issuer: LittleIssuer, **changes: Any) -> Tokens:
    known = IssuerSettings(issuer=issuer.url, audiences=(AUDIENCE,), client_ids=("app",), leeway_s=LEEWAY)
    return Tokens(replace(known, **changes), fetch)


@pytest.fixture
def quiet(issuer: LittleIssuer) -> Tokens:
    """Has the issuer's keys, and fetches no others."""
    tokens = trusting(issuer, refetch_s=3600)
    tokens.read(issuer.token())
    return tokens


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def refusal(tokens: Tokens, text: str) -> str:
    """The sentence with which it is refused; it never repeats the token."""
    with pytest.raises(NotAuthenticated) as caught:
        tokens.read(text)
    message = caught.value.message
    assert not [piece for piece in text.split(".") if len(piece) > 8 and piece in message]
    return message


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_good_token_of_every_algorithm_is_read(issuer: LittleIssuer, algorithm: str) -> None:
    issuer.rotate(algorithm)
    token = trusting(issuer).read(issuer.token(email="ada@example.org", groups=["a"], **{"cognito:groups": ["b"]}))

    assert (token.issuer, token.subject, token.name) == (issuer.url, "ada", "ada@example.org")
    assert token.groups == {"a", "b"}
    assert token.customer is None


def test_claims_are_found_under_the_names_that_the_operator_gives(issuer: LittleIssuer) -> None:
    tokens = trusting(issuer, group_claims=("realm_access.roles", "https://x.org/teams"), customer_claim="org.id")
    text = issuer.token(**{"realm_access": {"roles": ["a"]}, "https://x.org/teams": "b", "org": {"id": "c"}})

    token = tokens.read(text)
    assert (token.groups, token.customer) == ({"a", "b"}, "c")


def test_an_access_token_of_cognito_is_read_by_its_client_id(issuer: LittleIssuer) -> None:
    tokens = trusting(issuer, token_use="access")
    good = {"aud": None, "client_id": "app", "token_use": "access", "username": "ada"}

    assert tokens.read(issuer.token(**good)).name == "ada"
    for change in ({"client_id": "other"}, {"client_id": None}, {"client_id": ["app"]}, {"token_use": "id"},
                   {"token_use": None}, {"aud": "other"}):  # fmt: skip
        refusal(tokens, issuer.token(**{**good, **change}))


def test_an_audience_among_several_is_enough_and_a_client_id_is_no_audience(issuer: LittleIssuer) -> None:
    tokens = trusting(issuer)
    tokens.read(issuer.token(aud=["x", AUDIENCE]))

    for audience in ("x", [], ["x"], "", "app", AUDIENCE.upper(), {"a": AUDIENCE}, 7, [[AUDIENCE]]):
        assert "audience" in refusal(tokens, issuer.token(aud=audience, client_id="app"))


def times() -> dict[str, dict[str, Any]]:
    now = int(time.time())
    return {
        "expired": {"exp": now - LEEWAY - 30},
        "not valid yet": {"nbf": now + LEEWAY + 60},
        "clocks": {"iat": now + LEEWAY + 60},
        "lacks the claim exp": {"exp": None},
        "lacks the claim sub": {"sub": None},
        "lacks the claim iss": {"iss": None},
        "another issuer": {"iss": "https://issuer.example"},
        "can't be read": {"exp": "soon"},
    }


@pytest.mark.parametrize("words", times())
def test_a_claim_that_is_wrong_is_refused_with_a_sentence_that_helps(issuer: LittleIssuer, words: str) -> None:
    assert words in refusal(trusting(issuer), issuer.token(**times()[words]))


@pytest.mark.parametrize(
    "change",
    [
        {"exp": float("inf")}, {"exp": float("nan")}, {"exp": {}}, {"exp": -1}, {"nbf": {}}, {"iat": []},
        {"exp": "4000000000"}, {"exp": True}, {"nbf": "1"}, {"iat": "1"}, {"iat": False},
        {"iss": ["x"]}, {"sub": 1}, {"sub": ""}, {"sub": "a\0b"}, {"sub": "x" * 256}, {"sub": {}},
        {"custom:customer_id": 7},
    ],
)  # fmt: skip
def test_a_claim_of_an_impossible_kind_is_refused(issuer: LittleIssuer, change: dict[str, Any]) -> None:
    refusal(trusting(issuer), issuer.token(**change))


def test_clocks_may_be_apart_as_far_as_the_leeway(issuer: LittleIssuer) -> None:
    now = int(time.time())
    text = issuer.token(exp=now - LEEWAY // 2, nbf=now + LEEWAY // 2, iat=now + LEEWAY // 2)

    assert trusting(issuer).read(text).subject == "ada"
    refusal(trusting(issuer, leeway_s=0), text)


def pem(issuer: LittleIssuer) -> bytes:
    public: bytes = issuer.signer.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public


def signed_by_hand(issuer: LittleIssuer, header: dict[str, Any], secret: bytes) -> str:
    """An HMAC over it, which no library that knows what it does would make."""
    start = f"{part(header)}.{part(issuer.claims())}"
    return f"{start}.{part(hmac.new(secret, start.encode(), hashlib.sha256).digest())}"


def bringing_its_key(issuer: LittleIssuer, by: Signer) -> str:
    return issuer.token({"kid": issuer.signer.key_id, "jwk": by.public()}, by=by)


def signed(issuer: LittleIssuer, claims: bytes) -> str:
    """By the issuer itself, whatever the claims are."""
    return jwt.api_jws.encode(claims, issuer.signer.private, "ES256", {"kid": issuer.signer.key_id})


FORGERIES: dict[str, Callable[[LittleIssuer], str]] = {
    "no signature": lambda i: f"{part({'alg': 'none', 'kid': i.signer.key_id})}.{part(i.claims())}.",
    "alg none and a signature": lambda i: f"{part({'alg': 'none', 'kid': i.signer.key_id})}.{part(i.claims())}.AAAA",
    "alg None": lambda i: f"{part({'alg': 'None', 'kid': i.signer.key_id})}.{part(i.claims())}.AAAA",
    "the public key as a secret": lambda i: signed_by_hand(i, {"alg": "HS256", "kid": i.signer.key_id}, pem(i)),
    "an empty secret": lambda i: signed_by_hand(i, {"alg": "HS256", "kid": i.signer.key_id}, b""),
    "an HMAC said to be the key's": lambda i: signed_by_hand(i, {"alg": "ES256", "kid": i.signer.key_id}, pem(i)),
    "another's key under the right id": lambda i: i.token({"kid": i.signer.key_id}, by=signer()),
    "another's key of another kind": lambda i: i.token({"kid": i.signer.key_id}, by=signer("RS256")),
    "another's key under its own id": lambda i: i.token(by=signer()),
    "no key id, another's key": lambda i: i.token({"kid": None}, by=signer()),
    "a key that it brings along": lambda i: bringing_its_key(i, signer()),
    "a key's address that it brings along": lambda i: i.token({"jku": f"{i.url}/theirs"}, by=signer()),
    "an extension": lambda i: i.token({"crit": ["b64"], "b64": True}),
    "no algorithm": lambda i: f"{part({'kid': i.signer.key_id})}.{part(i.claims())}.AAAA",
    "an algorithm that is no text": lambda i: f"{part({'alg': ['ES256'], 'kid': 'x'})}.{part(i.claims())}.AAAA",
    "a key id that is no text": lambda i: f"{part({'alg': 'ES256', 'kid': {}})}.{part(i.claims())}.AAAA",
    "claims that are no object": lambda i: signed(i, b"[]"),
    "claims that are no JSON": lambda i: signed(i, b"?"),
    "a header that is nested too deep": lambda i: f"{part(b'[' * 9000)}.{part(i.claims())}.AAAA",
    "claims that are nested too deep": lambda i: signed(i, b"[" * 9000),
    "too long": lambda i: i.token(more="x" * MAX_TOKEN_CHARS),
    "blanks": lambda i: i.token() + " ",
    "padding": lambda i: i.token() + "=",
    "a cut end": lambda i: i.token()[:-10],
    "parts that are empty": lambda i: "..",
    "five parts": lambda i: i.token() + ".x.y",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_refused(issuer: LittleIssuer, name: str) -> None:
    tokens = trusting(issuer)
    tokens.read(issuer.token())

    refusal(tokens, FORGERIES[name](issuer))
    assert "/theirs" not in issuer.asked


def test_a_token_without_key_id_is_read_where_the_issuer_has_one_key_alone(issuer: LittleIssuer) -> None:
    text = issuer.token({"kid": None})
    assert trusting(issuer).read(text).subject == "ada"

    issuer.keys.append(signer().public())
    assert "does not publish" in refusal(trusting(issuer), text)


def test_swapped_claims_are_refused(issuer: LittleIssuer) -> None:
    one, other = issuer.token(sub="ada").split("."), issuer.token(sub="bob").split(".")

    assert "signature" in refusal(trusting(issuer), ".".join([one[0], other[1], one[2]]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_token_with_one_bit_changed_is_refused(issuer: LittleIssuer, quiet: Tokens, data: st.DataObject) -> None:
    text = issuer.token().encode()
    quiet.read(text.decode())
    bit = data.draw(st.integers(0, 8 * len(text) - 1))
    changed = bytearray(text)
    changed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(NotAuthenticated):
        quiet.read(changed.decode("latin-1"))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(max_size=60),
        st.builds("{}.{}.{}".format, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)),
        st.builds(
            lambda header, claims: f"{part(header)}.{part(claims)}.AAAA",
            st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), st.sampled_from(
                ["ES256", "none", "", None, 1, [], {}, ["b64"], True])),
            st.recursive(st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3)),
        ),
    )
)  # fmt: skip
def test_whatever_comes_is_refused_and_nothing_else_happens(quiet: Tokens, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        quiet.read(text)


@pytest.mark.parametrize("change", [{"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "ES512"}, {"alg": 7}, {"kid": 7},
                                    {"crv": "P-384"}, {"kty": "oct"}, {"x": "AAAA"}])  # fmt: skip
def test_a_published_key_that_is_not_for_tokens_is_not_used(issuer: LittleIssuer, change: dict[str, Any]) -> None:
    issuer.keys = [issuer.signer.public(**change), signer().public()]

    refusal(trusting(issuer), issuer.token())


def test_a_published_secret_is_never_a_key(issuer: LittleIssuer) -> None:
    issuer.keys.append({"kty": "oct", "kid": "hmac", "alg": "HS256", "k": part(b"secret" * 8)})

    refusal(trusting(issuer), signed_by_hand(issuer, {"alg": "HS256", "kid": "hmac"}, b"secret" * 8))


def test_a_users_handle_is_its_own_and_short_enough_for_the_records(issuer: LittleIssuer) -> None:
    tokens = trusting(issuer)
    handles = {tokens.read(issuer.token(sub=name)).handle for name in ("ada", "bob", "ada")}

    assert len(handles) == 2
    assert all(len(each) <= 32 for each in handles)
