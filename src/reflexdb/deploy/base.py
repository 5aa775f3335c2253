"""What the control plane knows of running instances.

All calls are made from worker threads and may block up to their stated limits. A deployer keeps what it needs to find
its instances again under its own directory, so that a control plane killed at any instant adopts on its next start
exactly what runs. It refuses to know records, accounts and lifecycle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from reflexdb.deploy.requests import Requests
from reflexdb.model.plan import Plan
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import FollowOptions


@dataclass(frozen=True, slots=True)
class ApiKeySet:
    """The keys an instance accepts: `rxk_<keyId>.<hex HMAC-SHA256(secret, keyId)>` for every keyId that has not
    expired."""

    secret: bytes = field(repr=False)
    keys: Mapping[str, datetime | None]
    """keyId to the time it expires, UTC."""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """Everything needed to run one deployment of one database."""

    database_id: str
    deployment_id: str
    """Unique; becomes the id of the API's instance."""
    build_id: str
    image_digest: str
    plan: Plan
    source: SourceAddress
    sync_mode: str
    """poll, or the mode of the source's follower."""
    follow: FollowOptions
    sync_interval_s: float
    safety_net_s: int
    memory_cap_mb: int
    cpu_units: int
    """256 is a quarter of a CPU; decides the number of event loops, at least 1."""
    log_level: str
    api_keys: ApiKeySet
    port: int | None
    """The port to serve on; None where none was chosen yet."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment that serves."""

    database_id: str
    deployment_id: str
    build_id: str
    port: int
    endpoint_url: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What an instance says of itself now. `health` is the API's HealthStatus."""

    deployed: Deployed
    health: str
    """ok, degraded, unreachable or cap_exceeded."""
    reason: str | None
    """Why the health is not ok, in one sentence."""
    snapshot_age_ms: int | None = None
    swap_count: int | None = None
    row_counts: Mapping[str, int] = field(default_factory=dict)
    table_bytes: Mapping[str, int] = field(default_factory=dict)
    """What each table takes of the server's memory, by the server's own account."""
    key_use: Mapping[str, datetime] = field(default_factory=dict)
    replication_paused: bool = False
    sync_state: str | None = None
    """ok, loading, paused or failing."""
    at: datetime | None = None
    position: str | None = None
    """Where in the source's history the snapshot is; None where that is not known."""
    sync: Mapping[str, Any] = field(default_factory=dict)
    """What sync last said of itself, as /health shows it; empty where it never did."""
    requests: Requests | None = None
    """What became of its requests; None where its server does not say."""
    failed: int | None = None
    """Of what took another's place: requests that failed at either of the two while it did. None where that is not
    known: a server died meanwhile, or is of a version that does not count."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries by their shapes, as engine/query_shapes.h has them: names of the schema alone."""

    shapes: Sequence[tuple[Mapping[str, Any], int]] = ()
    """Each with how many queries had it."""
    other: int = 0
    """Queries whose shapes are not told apart any more: there were too many."""


Passed = Callable[[str, float, bool], None]
"""Hears of a step that has ended: its name, how many seconds it took, and whether it failed."""


SHARE_WHOLE = 1000
"""Shares of the new connections are so many of this."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """How a new instance comes into the place of the one that serves, if one does."""

    share: int | None = None
    """The share of new connections that the new one takes beside the old one, which stays the current one until
    `exchange`. None: it takes all, and becomes the current one, at once."""
    keep: bool = False
    """The old one is not ended but stands by: it follows its source and can be put back by `exchange`."""


AT_ONCE = Replacement()


class Deployer(Protocol):
    """Runs instances. One deployment of a database is its current one, on a port that does not change; at most one
    more is beside it: it takes a share of the connections, or stands by without."""

    def deploy(
        self,
        spec: InstanceSpec,
        log: Callable[[str], None],
        passed: Passed | None = None,
        how: Replacement = AT_ONCE,
    ) -> Observation:
        """Start the new instance, load it, check health and smoke queries, let it take what `how` says, drain the old
        one where it is not kept. Returns what the new one said of itself. What was beside is ended first.

        No query is answered from older data than before: the new one takes over once it contains what the old one
        shows.

        On DeployFailed (its `step` is one of unpack, launch, load, probe, handover) nothing new runs and the old
        instance, if any, still serves. `passed` hears of each of these steps.
        """
        ...

    def observe(self, database_id: str) -> Observation | None:
        """None where nothing is deployed. Never raises for an instance that does not answer: that is `unreachable`. At
        most 2 s."""
        ...

    def beside(self, database_id: str) -> Observation | None:
        """What the instance beside the current one says of itself; None where there is none. As `observe`."""
        ...

    def give_share(self, database_id: str, share: int) -> None:
        """What is beside takes this share of SHARE_WHOLE of the new connections, the current one the others. Raises
        InstanceUnreachable where there is none, or either does not answer."""
        ...

    def call_off(self, database_id: str) -> None:
        """A deployment under way gives up, and fails; fine where there is none."""
        ...

    def exchange(self, database_id: str, deployment_id: str) -> Observation:
        """This deployment, which is beside, becomes the current one and takes everything; what was current stands by.
        Returns what the new current one said of itself. Raises DeployFailed, with nothing changed, where it is not
        healthy or does not contain what the other shows."""
        ...

    def end_beside(self, database_id: str) -> Requests | None:
        """The current one takes everything; what is beside answers what it has begun and is removed. Returns what
        became of its requests. Idempotent."""
        ...

    def deployed(self) -> list[Deployed]:
        """Every deployment that runs or should be running, found again after a restart of the control plane."""
        ...

    def retire(self, database_id: str, *, keep_checkpoint: bool = False) -> None:
        """Stop the database's processes and remove its files. Idempotent. With `keep_checkpoint` a later deployment of
        the same plan begins with what this one had; without, an earlier one that was kept goes too."""
        ...

    def set_keys(self, database_id: str, keys: ApiKeySet) -> None:
        """Replace the keys the running instance accepts; kept for its restarts. Raises InstanceUnreachable."""
        ...

    def shapes(self, database_id: str) -> Asked:
        """What clients have asked the running instance since the last call. Raises InstanceUnreachable."""
        ...

    def reload(self, database_id: str) -> None:
        """Read the whole snapshot from the source again and swap it in; returns when it has been ordered."""
        ...

    def pause_sync(self, database_id: str) -> None: ...

    def resume_sync(self, database_id: str) -> None: ...

    def tidy(self) -> None:
        """Remove what deployments and retirements could not when they ended; nothing of what serves, and nothing that
        is being changed. Raises OSError, and can be tried again."""
        ...

    def known(self) -> list[str]:
        """Every database of which there is anything, also what a deployment that broke off has left."""
        ...

    def supervise(
        self, credentials: Callable[[str], tuple[SourceAddress, ApiKeySet]], only: Collection[str] | None = None
    ) -> None:
        """Adopt what runs and keep it running: restart a dead server or sync within 2 s, with backoff, until `close`.
        Starts threads and returns. Where others share the directory, `only` says which databases are ours; more come
        with `keep` and go with `leave`.

        `credentials` gives a database's source address (with password) and keys when a process must be started again;
        secrets are never on disk here.
        """
        ...

    def keep(self, database_id: str) -> None:
        """This database is ours to supervise and change, from now on."""
        ...

    def leave(self, database_id: str) -> None:
        """It is no longer; what runs goes on, for another to adopt."""
        ...

    def close(self) -> None:
        """Stop supervising. Instances go on running."""
        ...

    def stop_all(self) -> None:
        """Drain and stop every instance (for `serve --ephemeral` and the demo); their files stay."""
        ...
