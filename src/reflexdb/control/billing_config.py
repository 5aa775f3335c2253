"""What the operator sets for plans and payments: a file with the plans, and Stripe's secrets.

Read once, when the control plane starts. The secrets come from the environment or, better, from files that only the
operator may read (NAME_FILE); neither is ever shown. Without a Stripe key nothing asks for money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from reflexdb.control.payments import NoPayments, Payments
from reflexdb.model.errors import InvalidConfig
from reflexdb.model.plans import DEFAULT_PLANS, Plans
from reflexdb.model.plans_file import parse_plans

PLANS = "REFLEXDB_PLANS"
STRIPE_KEY = "REFLEXDB_STRIPE_KEY"
STRIPE_WEBHOOK_SECRET = "REFLEXDB_STRIPE_WEBHOOK_SECRET"  # noqa: S105  # a variable's name
STRIPE_API = "REFLEXDB_STRIPE_API"
RETURN_URL = "REFLEXDB_BILLING_RETURN_URL"
SETTINGS = (
    (PLANS, "A YAML file that changes the plans; without it they are those of the table above."),
    (STRIPE_KEY, "Stripe's secret key. Without it nothing can be bought, and `POST /billing/checkout` answers 503."),
    (f"{STRIPE_KEY}_FILE", "A file with the key instead."),
    (STRIPE_WEBHOOK_SECRET, "The signing secret of the webhook endpoint; without it the webhook answers 503."),
    (f"{STRIPE_WEBHOOK_SECRET}_FILE", "A file with that secret instead."),
    (RETURN_URL, "Where Stripe sends the user afterwards; without it, the control plane's address."),
    (STRIPE_API, "Another address than Stripe's: https, or this machine. For tests."),
)
"""Every variable and what it is for; printed into the reference."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET = re.compile(r"[\x21-\x7e]{8,255}")


def read_plans(environment: Mapping[str, str]) -> Plans:
    """Raises InvalidConfig."""
    name = environment.get(PLANS, "")
    if not name:
        return DEFAULT_PLANS
    return parse_plans(_text(Path(name), PLANS), name)


def read_payments(environment: Mapping[str, str], base_url: str) -> Payments:
    """Raises InvalidConfig, without repeating a secret."""
    key = _secret(environment, STRIPE_KEY)
    if key is None:
        return NoPayments()
    # Imported here: the library takes longer to import than all the rest, and most control planes sell nothing.
    from reflexdb.control.stripe_payments import StripePayments, StripeSettings

    return StripePayments(
        StripeSettings(
            return_url=_url(environment, RETURN_URL) or base_url,
            key=key,
            webhook_secret=_secret(environment, STRIPE_WEBHOOK_SECRET),
            api_url=_url(environment, STRIPE_API),
        )
    )


def _secret(environment: Mapping[str, str], name: str) -> str | None:
    given, file = environment.get(name, ""), environment.get(f"{name}_FILE", "")
    if given and file:
        raise InvalidConfig(f"{name} and {name}_FILE are both set; keep one of them")
    text = _text(Path(file), f"{name}_FILE").strip() if file else given.strip()
    if not text and not file:
        return None
    if not _SECRET.fullmatch(text):
        raise InvalidConfig(f"{name}{'_FILE' if file else ''} does not hold a secret of Stripe's: 8 to 255 characters")
    return text


def _url(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError as exc:
        raise InvalidConfig(f"{name} is not an address") from exc
    plain = parts.scheme == "http" and (name != STRIPE_API or host in _LOOPBACK)
    if not host or not (plain or parts.scheme == "https"):
        raise InvalidConfig(f"{name} must be an address like https://example.com")
    return text


def _text(path: Path, name: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise InvalidConfig(f"{name}: {path} can't be read: {why}") from exc
