"""What the operator decides about the API itself:

how much one caller may ask, how much is done at once, and who may ask from a browser.

Declared once, as data: the options of `reflexdb serve`, its environment variables, the checks and the page
docs/reference/settings.md are made from it. Light to import, because the command line does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from reflexdb.model.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Setting:
    """One number. The option is `--name`, the variable `REFLEXDB_NAME`."""

    name: str
    default: int
    least: int
    help: str
    why: str
    """Of the default."""

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "REFLEXDB_" + self.name.upper()


NUMBERS = (
    Setting(
        "rate_limit",
        200,
        0,
        "Requests per second of one credential, over time; 0 lifts the limit.",
        "No person and no dashboard comes near it; a script that has gone wild leaves the others their share.",
    ),
    Setting(
        "rate_burst",
        2000,
        1,
        "Requests that one credential may send at once before the rate limit holds it back.",
        "Ten seconds' worth: a deployment that looks at everything it has does not notice.",
    ),
    Setting(
        "auth_failures",
        60,
        0,
        "Failed authentications per minute of one address; 0 lifts the limit.",
        "A person who mistypes a key stays far below; guessing is pointless long before.",
    ),
    Setting(
        "max_requests",
        256,
        1,
        "Requests carried out at once; what is more is answered 503.",
        "Several times the threads that carry them out, so that a short crowd only waits.",
    ),
    Setting(
        "max_connections",
        1024,
        1,
        "Connections open at once; what is more is answered 503 and closed.",
        "Fits the usual limit of open files with room for the records.",
    ),
    Setting(
        "request_timeout",
        30,
        1,
        "Seconds in which a request must have arrived, headers and body each; answered 408 else.",
        "The largest body takes a second on a slow line.",
    ),
)

CORS_ORIGIN_HELP = "Origin whose pages may use the API from a browser, like https://app.example.com; may be repeated."
CORS_ORIGIN_VARIABLE = "REFLEXDB_CORS_ORIGIN"
CORS_CREDENTIALS_HELP = "Let these pages send cookies and the browser's own credentials too."
CORS_CREDENTIALS_VARIABLE = "REFLEXDB_CORS_CREDENTIALS"

_BY_NAME = {setting.name: setting for setting in NUMBERS}
_HOST = r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
_ORIGIN = re.compile(rf"https?://{_HOST}(?::[0-9]{{1,5}})?", re.ASCII)


def setting(name: str) -> Setting:
    return _BY_NAME[name]


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Values as they hold, the defaults where nothing is said. Raises InvalidRequest with the option's name."""

    rate_limit: int = _BY_NAME["rate_limit"].default
    rate_burst: int = _BY_NAME["rate_burst"].default
    auth_failures: int = _BY_NAME["auth_failures"].default
    max_requests: int = _BY_NAME["max_requests"].default
    max_connections: int = _BY_NAME["max_connections"].default
    request_timeout: float = _BY_NAME["request_timeout"].default
    cors_origins: tuple[str, ...] = ()
    cors_credentials: bool = False

    def checked(self) -> ApiSettings:
        """These settings. Raises InvalidRequest where they can't be meant."""
        for each in NUMBERS:
            value: Any = getattr(self, each.name)
            if value < each.least:
                raise InvalidRequest(f"{each.option} is {value}; it must be at least {each.least}")
        for origin in self.cors_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise InvalidRequest(
                    f"--cors-origin {origin!r} is not an origin: give scheme, host and port in small letters, "
                    "without a path, like https://console.example.com"
                )
        if self.cors_credentials and "*" in self.cors_origins:
            raise InvalidRequest("--cors-credentials with --cors-origin '*' would let every page act for its visitors")
        return self
