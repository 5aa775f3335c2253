"""The options of `reflexdb serve` about an OIDC issuer, with the help texts; what they mean is `api`'s."""

from __future__ import annotations

from typing import Annotated

import typer

Issuer = Annotated[
    str | None, typer.Option(help="OIDC issuer whose tokens are accepted besides keys; REFLEXDB_OIDC_ISSUER.")
]
Audience = Annotated[
    list[str] | None, typer.Option(help="Audience (`aud`) of its tokens; may be repeated. REFLEXDB_OIDC_AUDIENCE.")
]
ClientId = Annotated[
    list[str] | None,
    typer.Option(help="`client_id` of its tokens that have no `aud`; may be repeated. REFLEXDB_OIDC_CLIENT_ID."),
]
TokenUse = Annotated[
    str | None, typer.Option(help="`token_use` that its tokens must have: access or id. REFLEXDB_OIDC_TOKEN_USE.")
]
GroupClaim = Annotated[
    list[str] | None,
    typer.Option(help="Claim with a user's groups; cognito:groups and groups, else. REFLEXDB_OIDC_GROUP_CLAIM."),
]
CustomerClaim = Annotated[
    str | None,
    typer.Option(help="Claim with the customer's id; custom:customer_id, else. REFLEXDB_OIDC_CUSTOMER_CLAIM."),
]
FirstLogin = Annotated[
    str | None,
    typer.Option(help="Users that belong to no customer: refuse or create one. REFLEXDB_OIDC_FIRST_LOGIN."),
]
JwksUrl = Annotated[
    str | None, typer.Option(help="Where its keys are, for an issuer without discovery. REFLEXDB_OIDC_JWKS_URL.")
]
ClockSkew = Annotated[
    int | None, typer.Option(help="Seconds that clocks may be apart; 60, else. REFLEXDB_OIDC_CLOCK_SKEW_S.")
]
Refetch = Annotated[
    int | None, typer.Option(help="Seconds between two fetches of its keys; 30, else. REFLEXDB_OIDC_REFETCH_S.")
]


def words(values: list[str] | None) -> str | None:
    return " ".join(values) if values else None


def number(value: int | None) -> str | None:
    return None if value is None else str(value)
