"""The shapes of the control plane's answers and bodies, as the published contract names them.

Typed dictionaries, so that what a caller sees is exactly the JSON that travelled; a field this version does not know is
kept. Used by the client's methods and by whoever reads their results; decides nothing.
"""

from __future__ import annotations

from typing import Any, NotRequired, Required, TypedDict

from reflexdb.client.evidence_types import SmokeTest
from reflexdb.client.not_served_types import NotServed


class Tag(TypedDict):
    label: str
    color: NotRequired[str]


class PauseSchedule(TypedDict):
    pauseAt: str
    resumeAt: str
    days: list[int]


class Database(TypedDict):
    id: str
    customerId: str
    connectionId: str
    name: str
    mysqlDb: str
    syncMode: str
    syncInterval: int
    taskCpu: int
    taskMemoryMb: int
    logLevel: str
    status: str
    instanceSize: str
    region: str
    lastError: NotRequired[str | None]
    endpointUrl: NotRequired[str | None]
    healthStatus: NotRequired[str | None]
    buildComputeOverride: NotRequired[str | None]
    binlogServerId: NotRequired[int | None]
    desiredState: NotRequired[str | None]
    reflexdbCustomDomain: NotRequired[str | None]
    pauseSchedule: NotRequired[PauseSchedule | None]
    tags: NotRequired[list[Tag]]
    createdAt: NotRequired[str]
    updatedAt: NotRequired[str]


class ChangedTable(TypedDict):
    table: str
    what: str


class StaleTable(TypedDict):
    """One that can't be brought up to date: since when, why, and what mends it."""

    table: str
    state: str
    since: str
    reason: str
    remedy: str


class Freshness(TypedDict):
    """How an instance follows its source; null where none answers."""

    mode: str | None
    state: str | None
    lastError: str | None
    position: str | None
    lagMs: int | None
    snapshotAgeMs: int | None
    schemaChanged: list[ChangedTable]
    staleTables: list[StaleTable]
    autoRebuild: bool
    lastRebuildAt: str | None
    nextRebuildAt: str | None
    whyNot: str | None


class DatabaseFields(TypedDict, total=False):
    """Body of register (connectionId, name and mysqlDb are required there) and of update."""

    connectionId: str
    name: str
    mysqlDb: str
    instanceSize: str
    logLevel: str
    binlogServerId: int
    buildComputeOverride: str | None
    reflexdbCustomDomain: str | None
    pauseSchedule: PauseSchedule | None
    tags: list[Tag]


class Connection(TypedDict):
    id: str
    customerId: str
    name: str
    backend: str
    mysqlHost: str
    mysqlPort: int
    availableSchemas: list[str]
    mysqlUser: str
    allowedSyncModes: list[str]
    minSyncInterval: int
    createdAt: str
    updatedAt: str
    databases: NotRequired[list[Database]]
    """Only in the answer of `get_connection`."""


class FirstDatabase(TypedDict, total=False):
    """A database created together with its connection."""

    name: Required[str]
    mysqlDb: Required[str]
    instanceSize: str
    logLevel: str
    binlogServerId: int


class ConnectionFields(TypedDict, total=False):
    """Body of create, update and test; what is required where is in the API reference."""

    backend: str
    name: str
    mysqlHost: str
    mysqlPort: int
    availableSchemas: list[str]
    mysqlUser: str
    mysqlPassword: str
    syncMode: str
    syncInterval: int
    instance: FirstDatabase


class CreatedConnection(TypedDict):
    connection: Connection
    database: NotRequired[Database | None]


class ChangeCapture(TypedDict):
    logBin: bool
    format: str | None
    serverId: int | None
    ready: bool
    issues: list[str]


class TestConnectionResult(TypedDict):
    ok: bool
    error: NotRequired[str]
    latencyMs: NotRequired[float]
    estimatedSizeGb: NotRequired[float]
    availableSchemas: NotRequired[list[str]]
    binlog: NotRequired[ChangeCapture]


class Accepted(TypedDict):
    """Answer to an action: the status it led to, or `queued` where it waits as desired state."""

    status: str
    queued: NotRequired[bool]
    buildId: NotRequired[str]


class Build(TypedDict):
    id: str
    status: str
    createdAt: NotRequired[str]
    deployable: NotRequired[bool]
    databaseId: NotRequired[str]
    codebuildId: NotRequired[str | None]
    imageUri: NotRequired[str | None]
    logsUrl: NotRequired[str | None]
    startedAt: NotRequired[str | None]
    finishedAt: NotRequired[str | None]
    buildDurationSeconds: NotRequired[int | None]
    computeTypeUsed: NotRequired[str | None]
    costEstimateCents: NotRequired[int | None]


class BuildHistory(TypedDict):
    builds: list[Build]
    activeBuildId: str | None


class BuildFilters(TypedDict, total=False):
    """Query of the build history; times are RFC 3339."""

    status: str
    trigger: str
    deployable: bool
    since: str
    until: str
    limit: int
    cursor: str


class Failure(TypedDict):
    code: str | None
    step: str | None
    message: str


class BuildPhase(TypedDict):
    name: str
    startedAt: str
    finishedAt: str | None
    durationMs: int | None


class BuildDetail(Build):
    number: int
    queuePosition: NotRequired[int | None]
    expectedStartAt: NotRequired[str | None]
    """1 is next; None where it does not wait for a place."""
    cost: NotRequired[dict[str, Any] | None]
    whyNotDeployable: str | None
    pinned: bool
    trigger: str | None
    reason: NotRequired[str | None]
    keyId: str | None
    keyName: str | None
    phases: list[BuildPhase] | None
    source: dict[str, str | None]
    schemaFingerprint: str | None
    engineVersion: str | None
    image: dict[str, Any] | None
    tables: list[dict[str, Any]]
    smokeTests: list[SmokeTest] | None
    """None where none were run."""
    smokedInBuildId: str | None
    """An earlier build's, where its image is reused."""
    notServed: list[NotServed] | None
    notServedTotal: int | None
    error: Failure | None
    logTail: list[str]


class AuditFilters(TypedDict, total=False):
    action: str | None
    target: str | None
    key: str | None
    since: str | None
    until: str | None
    limit: int | None
    cursor: str | None


class AuditEntry(TypedDict):
    number: int
    at: str
    trigger: str
    keyId: str | None
    keyName: str | None
    address: str | None
    requestId: str | None
    action: str
    targetType: str
    targetId: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditEntries(TypedDict):
    entries: list[AuditEntry]
    nextCursor: str | None


class Instance(TypedDict):
    id: str
    databaseId: str
    createdAt: str
    updatedAt: str
    buildId: NotRequired[str | None]
    ecsServiceArn: NotRequired[str | None]
    endpointUrl: NotRequired[str | None]
    healthStatus: NotRequired[str | None]
    snapshotAgeMs: NotRequired[int | None]
    swapCount: NotRequired[int | None]
    rowCounts: NotRequired[dict[str, int]]
    lastHealthCheck: NotRequired[str | None]


class ActionAvailability(TypedDict):
    allowed: bool
    mode: NotRequired[str]
    reason: NotRequired[str]


class InstanceStatus(TypedDict):
    database: dict[str, Any]
    connection: dict[str, Any]
    deployedInstanceConfig: dict[str, Any] | None
    hasPendingChanges: bool
    instance: Instance | None
    latestBuild: Build | None
    notServed: list[NotServed] | None
    notServedTotal: int | None
    actions: dict[str, ActionAvailability]


class ApiKey(TypedDict):
    id: str
    databaseId: str
    keyId: str
    name: str
    createdAt: str
    expiresAt: NotRequired[str | None]
    lastUsedAt: NotRequired[str | None]
    revokedAt: NotRequired[str | None]
    key: NotRequired[str]
    """Only in the answer of `create_api_key`, once."""


class ManagementKey(TypedDict):
    id: str
    customerId: str
    name: str
    keyId: str
    createdAt: str
    lastUsedAt: NotRequired[str | None]
    expiresAt: NotRequired[str | None]
    revokedAt: NotRequired[str | None]
    key: NotRequired[str]
    """Only in the answer of `create_management_key`, once."""


class PlanLimits(TypedDict):
    instanceSizes: list[str]
    databases: int | None
    buildCreditsPerMonth: int | None
    customDomain: bool
    overageMaxCents: int


class BuildCredits(TypedDict):
    month: str
    included: int | None
    adjustment: int
    used: int
    remaining: int | None
    resetsAt: str


class OverageState(TypedDict):
    enabled: bool
    spendingCapCents: int | None
    spentCents: int
    buildCents: int
    whyNot: str | None


class PaymentState(TypedDict):
    state: str
    subscriptionStatus: str | None
    renewals: int


class Account(TypedDict):
    id: str
    name: str
    plan: str
    limits: PlanLimits
    databases: int
    buildCredits: BuildCredits
    overage: OverageState
    payment: PaymentState


class Adjustment(TypedDict):
    id: str
    customerId: str
    amount: int
    reason: str | None
    expiresAt: str | None
    totalAdjustment: NotRequired[int]
    """In the answer that made it."""
    createdAt: NotRequired[str]
    """In lists."""


class Adjustments(TypedDict):
    adjustments: list[Adjustment]
    totalAdjustment: int
