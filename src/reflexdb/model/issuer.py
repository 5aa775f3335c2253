"""Whose tokens are accepted besides our own keys: one OIDC issuer, and how its claims are read.

Made by `api/issuer_settings.py` from the operator's options and checked there; used by `control/tokens.py`. No I/O.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

GROUP_CLAIMS = ("cognito:groups", "groups")
CUSTOMER_CLAIM = "custom:customer_id"
LEEWAY_S = 60
REFETCH_S = 30


class FirstLogin(Enum):
    """What happens to a good token that speaks for no customer we know."""

    REFUSE = "refuse"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    issuer: str
    """Exactly as the tokens' `iss` has it."""
    audiences: tuple[str, ...] = ()
    """A token's `aud` must have one of these."""
    client_ids: tuple[str, ...] = ()
    """A token without `aud` must have one of these as `client_id`; Cognito's access tokens are like that."""
    token_use: str | None = None
    """Where set, the claim `token_use` must be it: `access` or `id`, for Cognito."""
    group_claims: tuple[str, ...] = GROUP_CLAIMS
    customer_claim: str = CUSTOMER_CLAIM
    first_login: FirstLogin = FirstLogin.REFUSE
    jwks_url: str | None = None
    """Where the issuer's keys are; None asks its discovery document."""
    leeway_s: int = LEEWAY_S
    """How far the clocks of the issuer and of this machine may be apart."""
    refetch_s: int = REFETCH_S
    """The issuer's keys are fetched at most once in so many seconds, whatever tokens come."""


def is_fetchable(url: str) -> bool:
    """Whether keys may be fetched from there: https, or this machine itself, where nobody stands between."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.fragment or not (url.isascii() and url.isprintable()):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
