"""What every part of control works with:

the records, the secrets and the edges to the outside, and the operator's settings.

Put together once by `control.local` and handed down, so that no part builds its own. Time and ids are arguments here,
like every other thing from outside.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reflexdb.build.base import Builder, ImageStore
from reflexdb.control.fetch import fetch
from reflexdb.control.payments import NoPayments, Payments
from reflexdb.control.precedence import Precedence
from reflexdb.control.watching import Nobody, Watcher
from reflexdb.deploy.base import Deployer
from reflexdb.model.errors import NotFound
from reflexdb.model.issuer import IssuerSettings
from reflexdb.model.plans import DEFAULT_PLANS, Plans
from reflexdb.model.rollout import RolloutSettings
from reflexdb.records.secrets import SecretStore
from reflexdb.records.store import Store
from reflexdb.sources.apart import Asking, Deadlines

if TYPE_CHECKING:  # it writes to the audit, which is made of rooms
    from reflexdb.control.signing import Signing

DEFAULT_MIN_SYNC_INTERVAL_S = 5
DEFAULT_LEASE_S = 20.0
DEFAULT_KEEP_IMAGES = 20


@dataclass(frozen=True, slots=True)
class BuildLimits:
    at_once: int = 1
    """Builds carried out at the same time; the others wait in the queue."""
    limit_s: float = 1800.0
    """How long one build may take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator of a control plane may choose."""

    base_url: str
    """Where the control plane is reached; begins the addresses of build logs."""
    min_sync_interval_s: int = DEFAULT_MIN_SYNC_INTERVAL_S
    """The shortest poll that accounts may ask for."""
    builds: BuildLimits = BuildLimits()
    keep_images: int = DEFAULT_KEEP_IMAGES
    """The newest deployable images of a database that are kept, besides pinned and deployed ones; 0 keeps all."""
    health_interval_s: float = 1.0
    tick_s: float = 0.5
    """The longest the reconciler sleeps when nothing wakes it."""
    region: str = "local"
    lease_s: float = DEFAULT_LEASE_S
    """Within this time the work of a control plane that died is taken over by another on the same records."""
    rollouts: RolloutSettings = field(default_factory=RolloutSettings)
    issuer: IssuerSettings | None = None
    """Whose tokens are accepted besides our own keys."""
    plans: Plans = DEFAULT_PLANS
    deadlines: Deadlines = field(default_factory=Deadlines)
    """Of what is asked of sources outside instances."""
    sqlite_directories: tuple[Path, ...] = ()
    """Below which customers may name SQLite files; none named, they may while there is one customer."""

    @property
    def workers(self) -> int:
        """Databases worked on at the same time: what does not build goes on beside what does."""
        return self.builds.at_once + 1


def utc_now() -> datetime:
    return datetime.now(UTC)


def elapsed_s(began: datetime, ended: datetime) -> float:
    """From one to the other; never below 0, though the clock was set back between them."""
    return max(0.0, (ended - began).total_seconds())


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Rooms:
    data_dir: Path
    store: Store
    secrets: SecretStore
    signing: Signing
    builder: Builder
    images: ImageStore
    deployer: Deployer
    asking: Asking
    settings: Settings
    now: Callable[[], datetime] = utc_now
    fetch: Callable[[str], bytes] = fetch
    """One document from the web."""
    payments: Payments = field(default_factory=NoPayments)
    precedence: Precedence = field(default_factory=Precedence)
    owner: str = field(default_factory=new_id)
    """This run of the control plane: jobs owned by another run were interrupted."""
    watcher: Watcher = field(default_factory=Nobody)


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def canonical_id(text: str, what: str) -> str:
    """An id in the one form we store. Raises NotFound: an id that is no UUID names nothing."""
    if not _UUID.fullmatch(text):
        raise NotFound(f"There is no {what} with this id in your account")
    return text.lower()
