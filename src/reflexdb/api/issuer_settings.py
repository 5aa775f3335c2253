"""The operator's choice of an OIDC issuer: from options and environment to checked settings.

Called by `serve`. What an option does not say, its variable does. A value that can't work is refused at the start,
by the option's name, rather than at the first login.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reflexdb.model.errors import InvalidRequest
from reflexdb.model.issuer import (
    CUSTOMER_CLAIM,
    GROUP_CLAIMS,
    LEEWAY_S,
    REFETCH_S,
    FirstLogin,
    IssuerSettings,
    is_fetchable,
)

VARIABLES = {
    "issuer": "REFLEXDB_OIDC_ISSUER",
    "audience": "REFLEXDB_OIDC_AUDIENCE",
    "client_id": "REFLEXDB_OIDC_CLIENT_ID",
    "token_use": "REFLEXDB_OIDC_TOKEN_USE",
    "group_claim": "REFLEXDB_OIDC_GROUP_CLAIM",
    "customer_claim": "REFLEXDB_OIDC_CUSTOMER_CLAIM",
    "first_login": "REFLEXDB_OIDC_FIRST_LOGIN",
    "jwks_url": "REFLEXDB_OIDC_JWKS_URL",
    "clock_skew": "REFLEXDB_OIDC_CLOCK_SKEW_S",
    "refetch": "REFLEXDB_OIDC_REFETCH_S",
}
"""Of each option. Several audiences, client ids and group claims are separated by blanks."""
MAX_LEEWAY_S = 600
MAX_REFETCH_S = 3600


def issuer_settings(options: Mapping[str, str | None], environment: Mapping[str, str]) -> IssuerSettings | None:
    """None where no issuer is named. Raises InvalidRequest. `options` has the names of VARIABLES."""
    asked = _Asked(options, environment)
    issuer = asked.text("issuer")
    if issuer is None:
        if stray := [name for name in VARIABLES if asked.text(name) is not None]:
            raise asked.refusal(stray[0], "says nothing without an issuer; give --oidc-issuer too")
        return None
    jwks_url = asked.text("jwks_url")
    for name, url in (("issuer", issuer), ("jwks_url", jwks_url)):
        if url is not None and not is_fetchable(url):
            raise asked.refusal(name, "must be an https:// address, or http:// on this machine")
    audiences, client_ids = asked.texts("audience"), asked.texts("client_id")
    if not audiences and not client_ids:
        raise asked.refusal(
            "issuer", "needs --oidc-audience or --oidc-client-id: else every token of that issuer would be let in"
        )
    return IssuerSettings(
        issuer=issuer,
        audiences=audiences,
        client_ids=client_ids,
        token_use=asked.text("token_use"),
        group_claims=asked.texts("group_claim") or GROUP_CLAIMS,
        customer_claim=asked.text("customer_claim") or CUSTOMER_CLAIM,
        first_login=asked.first_login(),
        jwks_url=jwks_url,
        leeway_s=asked.seconds("clock_skew", LEEWAY_S, 0, MAX_LEEWAY_S),
        refetch_s=asked.seconds("refetch", REFETCH_S, 1, MAX_REFETCH_S),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    options: Mapping[str, str | None]
    environment: Mapping[str, str]

    def text(self, name: str) -> str | None:
        given = self.options.get(name)
        return (given if given is not None else self.environment.get(VARIABLES[name], "")).strip() or None

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple((self.text(name) or "").split())

    def seconds(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            raise self.refusal(name, f"must be a whole number of seconds, {least} to {most}")
        return int(text)

    def first_login(self) -> FirstLogin:
        text = self.text("first_login") or FirstLogin.REFUSE.value
        try:
            return FirstLogin(text)
        except ValueError:
            raise self.refusal("first_login", "must be refuse or create") from None

    def refusal(self, name: str, why: str) -> InvalidRequest:
        option = f"--oidc-{name.replace('_', '-')}"
        where = option if self.options.get(name) is not None else f"{VARIABLES[name]} ({option})"
        return InvalidRequest(f"{where} {why}")
