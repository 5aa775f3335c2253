"""What is answered: one model per schema of the contract, with its fields and no others.

They describe the OpenAPI document and hold the views to it; what was not set is not sent, null is sent where the
contract says nullable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from reflexdb.api.bodies import BackendName, InstanceSize, LogLevel, PauseSchedule, SyncMode, left_out
from reflexdb.model.lifecycle import Action

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Status = Literal[
    "registered", "building", "deploying", "running", "pausing", "paused", "resuming", "terminating", "terminated",
    "failed", "stopped",
]  # fmt: skip
HealthStatus = Literal["ok", "degraded", "unreachable", "cap_exceeded"]
BuildStatus = Literal["queued", "in_progress", "succeeded", "failed"]
Outcome = Literal["pending", "in_progress", "succeeded", "failed"]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Error(Answer):
    error: str
    message: str


class TagAnswer(Answer):
    label: str
    color: str = Field(default_factory=str)


class Database(Answer):
    id: Id
    customerId: Id
    connectionId: Id
    name: str
    mysqlDb: str
    syncMode: SyncMode
    syncInterval: int
    taskCpu: int
    taskMemoryMb: int
    logLevel: LogLevel
    status: Status
    lastError: str | None
    endpointUrl: str | None
    healthStatus: HealthStatus | None
    buildComputeOverride: str | None
    instanceSize: InstanceSize
    region: str
    binlogServerId: int | None
    desiredState: str | None
    reflexdbCustomDomain: str | None
    pauseSchedule: PauseSchedule | None
    tags: list[TagAnswer]
    createdAt: Time
    updatedAt: Time


class Connection(Answer):
    id: Id
    customerId: Id
    name: str
    backend: BackendName
    mysqlHost: str
    mysqlPort: int
    availableSchemas: list[str]
    mysqlUser: str
    allowedSyncModes: list[SyncMode]
    minSyncInterval: int
    createdAt: Time
    updatedAt: Time


class ConnectionWithDatabases(Connection):
    databases: list[Database]


class CreatedConnection(Answer):
    connection: Connection
    database: Database | None


class Binlog(Answer):
    logBin: bool
    format: str | None
    serverId: int | None
    ready: bool
    issues: list[str]


class TestConnectionResult(Answer):
    __test__ = False
    ok: bool
    error: str = Field(default_factory=str)
    latencyMs: float = Field(default_factory=float)
    estimatedSizeGb: float = Field(default_factory=float)
    availableSchemas: list[str] = Field(default_factory=list)
    binlog: Binlog = left_out()


class Instance(Answer):
    id: Id
    databaseId: Id
    buildId: Id | None
    ecsServiceArn: str | None
    endpointUrl: str | None
    healthStatus: HealthStatus | None
    snapshotAgeMs: int | None
    swapCount: int | None
    rowCounts: dict[str, int]
    lastHealthCheck: Time | None
    createdAt: Time
    updatedAt: Time


class ChangedTable(Answer):
    table: str
    what: str


class StaleTable(Answer):
    table: str
    state: Literal["frozen", "unread", "changed"]
    since: Time
    reason: str
    remedy: str


class Freshness(Answer):
    mode: SyncMode | None
    state: Literal["ok", "loading", "paused", "failing"] | None
    lastError: str | None
    position: str | None
    lagMs: int | None
    snapshotAgeMs: int | None
    schemaChanged: list[ChangedTable]
    staleTables: list[StaleTable]
    autoRebuild: bool
    lastRebuildAt: Time | None
    nextRebuildAt: Time | None
    whyNot: str | None


class Build(Answer):
    id: Id
    databaseId: Id
    codebuildId: str | None
    imageUri: str | None
    status: BuildStatus
    logsUrl: str | None
    startedAt: Time | None
    finishedAt: Time | None
    buildDurationSeconds: int | None
    computeTypeUsed: str | None
    costEstimateCents: int | None
    createdAt: Time


class BuildInHistory(Answer):
    id: Id
    status: str
    deployable: bool
    codebuildId: str | None
    logsUrl: str | None
    createdAt: Time
    finishedAt: Time | None
    buildDurationSeconds: int | None
    computeTypeUsed: str | None
    costEstimateCents: int | None


class BuildHistory(Answer):
    builds: list[BuildInHistory]
    activeBuildId: Id | None


class NotServed(Answer):
    table: str
    column: str | None
    relation: str | None
    cause: str
    reason: str
    remedy: str


class BuildPhase(Answer):
    name: str
    startedAt: Time
    finishedAt: Time | None
    durationMs: int | None


class ImageSignature(Answer):
    keyId: str
    algorithm: Literal["ed25519"]
    payload: str
    signature: str


class BuildImage(Answer):
    digest: str
    uri: str | None
    sizeBytes: int | None
    signature: ImageSignature | None
    otherPlatforms: dict[str, str]


class BuildTable(Answer):
    name: str
    rows: int | None
    bytes: int | None


class Failure(Answer):
    code: str | None
    step: str | None
    message: str


class Source(Answer):
    version: str | None
    position: str | None


Trigger = Literal["api", "schedule", "schema_change", "reconcile", "stripe"]


BuildTrigger = Literal["api", "schedule", "schema_change", "reconcile"]


class BuildCost(Answer):
    computeType: str
    centsPerMinute: float
    seconds: int
    cents: int


class SmokeTest(Answer):
    name: str
    query: str
    passed: bool
    durationMs: float
    message: str


class BuildDetail(Build):
    number: int
    queuePosition: int | None
    expectedStartAt: Time | None
    cost: BuildCost | None
    deployable: bool
    whyNotDeployable: str | None
    pinned: bool
    trigger: Trigger | None
    reason: str | None
    keyId: str | None
    keyName: str | None
    phases: list[BuildPhase] | None
    source: Source
    schemaFingerprint: str | None
    engineVersion: str | None
    image: BuildImage | None
    tables: list[BuildTable]
    smokeTests: list[SmokeTest] | None
    smokedInBuildId: Id | None
    notServed: list[NotServed] | None
    notServedTotal: int | None
    error: Failure | None
    logTail: list[str]


class AuditEntry(Answer):
    number: int
    at: Time
    trigger: Trigger
    keyId: str | None
    keyName: str | None
    address: str | None
    requestId: str | None
    action: str
    targetType: str
    targetId: Id
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Audit(Answer):
    entries: list[AuditEntry]
    nextCursor: str | None


class ActionAvailability(Answer):
    allowed: bool
    mode: Literal["immediate", "queued"] = left_out()
    reason: str = Field(default_factory=str)


class ConnectionLimits(Answer):
    minSyncInterval: float
    allowedSyncModes: list[str]
    availableSchemas: list[str]


class DeployedInstanceConfig(Answer):
    instanceSize: str
    taskCpu: float
    taskMemoryMb: float
    syncMode: str
    syncInterval: float
    logLevel: str
    safetyNet: float


class InstanceStatus(Answer):
    database: dict[str, Any]
    connection: ConnectionLimits
    deployedInstanceConfig: DeployedInstanceConfig | None
    hasPendingChanges: bool
    instance: Instance | None
    latestBuild: Build | None
    notServed: list[NotServed] | None
    notServedTotal: int | None
    actions: Annotated[
        dict[str, ActionAvailability], Field(json_schema_extra={"required": [action.value for action in Action]})
    ]


class AcceptedAction(Answer):
    status: Status
    queued: bool = Field(default_factory=bool)
    buildId: Id = Field(default_factory=str)


class Redeploying(Answer):
    status: Literal["deploying"]


class Terminating(Answer):
    status: Literal["terminating"]
    queued: bool = Field(default_factory=bool)


class Replication(Answer):
    replication_paused: bool


class ApiKey(Answer):
    id: Id
    databaseId: Id
    keyId: str
    name: str
    createdAt: Time
    expiresAt: Time | None
    lastUsedAt: Time | None
    revokedAt: Time | None


class CreatedApiKey(ApiKey):
    key: str


class ManagementKey(Answer):
    id: Id
    customerId: Id
    name: str
    keyId: str
    lastUsedAt: Time | None
    expiresAt: Time | None
    createdAt: Time
    revokedAt: Time | None


class CreatedManagementKey(ManagementKey):
    key: str
