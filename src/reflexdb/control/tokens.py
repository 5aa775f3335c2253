"""Tokens of an OIDC issuer: from a JWT to what it says, or to one sentence about what is wrong with it.

Asked by `control/accounts.py` for every credential that is none of our keys. The signature comes first: nothing a
token says is looked at, apart from which key it names, before that key has verified it. No sentence repeats the
token or any part of it. Refuses to know customers and records.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from reflexdb.control.issuer import ALGORITHMS, Fetch, Issuer
from reflexdb.model.errors import NotAuthenticated
from reflexdb.model.issuer import IssuerSettings

MAX_TOKEN_CHARS = 16_384
_MAX_NAME_CHARS = 100
_MAX_SUBJECT_CHARS = 255
_TIMES = ("exp", "nbf", "iat")
_NAME_CLAIMS = ("email", "cognito:username", "preferred_username", "username", "name", "sub")
_Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Token:
    """What a verified token says."""

    issuer: str
    subject: str
    name: str
    """For people: an address or a user's name."""
    groups: frozenset[str]
    customer: str | None
    """The customer that the issuer says it speaks for, as it was said."""

    @property
    def handle(self) -> str:
        """Stands for issuer and subject where a key's id would stand: short, stable, and not the subject itself."""
        return "oidc_" + hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()[:24]


class Tokens:
    def __init__(self, settings: IssuerSettings, fetch: Fetch) -> None:
        self._settings = settings
        self._issuer = Issuer(settings, fetch)
        self.warm = self._issuer.warm

    def read(self, text: str) -> Token:
        """Raises NotAuthenticated, or Unavailable where the issuer's keys can't be had."""
        header = _header(text)
        key = self._issuer.key(header.get("kid"))
        if header["alg"] not in key.algorithms:
            raise NotAuthenticated("The token names an algorithm that is not its key's")
        claims = self._verified(text, key.public, header["alg"])
        self._check_audience(claims)
        self._check_use(claims)
        return self._token(claims)

    def _verified(self, text: str, key: Any, algorithm: str) -> _Claims:
        settings = self._settings
        try:
            claims: _Claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": ["exp", "iss", "sub"], "verify_aud": False, "verify_sub": True},
            )
        except jwt.ExpiredSignatureError:
            raise NotAuthenticated("The token has expired; log in again") from None
        except jwt.ImmatureSignatureError:
            raise NotAuthenticated(
                "The token is not valid yet; are the clocks of its issuer and of the control plane right?"
            ) from None
        except jwt.InvalidIssuerError:
            raise NotAuthenticated("The token is of another issuer than the one this control plane trusts") from None
        except jwt.MissingRequiredClaimError as exc:
            raise NotAuthenticated(f"The token lacks the claim {exc.claim}") from None
        except jwt.InvalidSignatureError:
            raise NotAuthenticated("The token's signature is not its issuer's") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise NotAuthenticated("The token's claims can't be read") from None
        for name in _TIMES:
            if type(claims.get(name, 0)) not in {int, float}:  # the library takes a text, and true, for a number
                raise NotAuthenticated(f"The token's claims can't be read: {name} is not a number")
        return claims

    def _check_audience(self, claims: _Claims) -> None:
        settings = self._settings
        audience = claims.get("aud")
        if audience is None:
            fits = claims.get("client_id") in settings.client_ids
        else:
            named = audience if isinstance(audience, list) else [audience]
            fits = any(each in settings.audiences for each in named)
        if not fits:
            raise NotAuthenticated("The token was made for another audience than this control plane")

    def _check_use(self, claims: _Claims) -> None:
        wanted = self._settings.token_use
        if wanted is not None and claims.get("token_use") != wanted:
            raise NotAuthenticated(f"The token is of another kind than {wanted}: its token_use must be {wanted}")

    def _token(self, claims: _Claims) -> Token:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT_CHARS or not subject.isprintable():
            raise NotAuthenticated("The token's claim sub can't name anybody")
        groups = frozenset(group for name in self._settings.group_claims for group in _texts(_claim(claims, name)))
        customer = _claim(claims, self._settings.customer_claim)
        if customer is not None and not isinstance(customer, str):
            raise NotAuthenticated(f"The token's claim {self._settings.customer_claim} is not a text")
        return Token(self._settings.issuer, subject, _name(claims), groups, customer)


def looks_like_token(credential: str) -> bool:
    """Whether it has a JWT's three parts. A first look: what it is, `Tokens.read` finds out."""
    return credential.count(".") == 2


def _header(text: str) -> dict[str, Any]:
    if len(text) > MAX_TOKEN_CHARS:
        raise NotAuthenticated(f"The token is longer than {MAX_TOKEN_CHARS} characters")
    if not all(_is_canonical(part) for part in text.split(".")):
        raise NotAuthenticated("The token is not a signed JWT; was it copied whole?")
    try:
        header = jwt.get_unverified_header(text)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise NotAuthenticated("The token is not a signed JWT; was it copied whole?") from None
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise NotAuthenticated("The token must be signed with RS*, PS*, ES* or EdDSA; nothing else is accepted")
    if "crit" in header:
        raise NotAuthenticated("The token asks for extensions that this control plane does not know")
    return header


def _is_canonical(part: str) -> bool:
    """Whether it is base64url in its one form: one token must not have many spellings."""
    try:
        decoded = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return False
    return bool(part) and urlsafe_b64encode(decoded).rstrip(b"=").decode() == part


def _claim(claims: _Claims, name: str) -> Any:
    """The claim of this name; where there is none, the one that its dots lead to, as in `realm_access.roles`."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _texts(value: Any) -> list[str]:
    given = value if isinstance(value, list) else [value]
    return [each for each in given if isinstance(each, str)]


def _name(claims: _Claims) -> str:
    for claim in _NAME_CLAIMS:
        value = claims.get(claim)
        if isinstance(value, str):
            shown = "".join(character for character in value if character.isprintable())[:_MAX_NAME_CHARS].strip()
            if shown:
                return shown
    return "token"
