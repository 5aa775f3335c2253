"""What the control plane answers of deployments, as the API describes it."""

from __future__ import annotations

from typing import TypedDict

from reflexdb.client.types import Failure


class RolloutStep(TypedDict):
    percent: float
    seconds: float


class RolloutSide(TypedDict):
    requests: int
    failed: int
    refused: int
    errorRate: float | None
    medianMs: float | None
    p99Ms: float | None


class Rollout(TypedDict):
    state: str
    sharePercent: float
    step: int | None
    stepSince: str
    steps: list[RolloutStep]
    wanted: str | None
    reason: str | None
    endedAt: str | None
    new: RolloutSide | None
    old: RolloutSide | None


class DeploymentRecord(TypedDict):
    id: str
    databaseId: str
    kind: str
    reason: str | None
    trigger: str | None
    keyId: str | None
    keyName: str | None
    fromBuildId: str | None
    toBuildId: str | None
    requestedAt: str
    startedAt: str | None
    finishedAt: str | None
    durationMs: int | None
    outcome: str
    error: Failure | None
    requestsFailed: int | None
    strategy: str
    rollout: Rollout | None


class DeploymentRecords(TypedDict):
    deployments: list[DeploymentRecord]
    nextCursor: str | None
