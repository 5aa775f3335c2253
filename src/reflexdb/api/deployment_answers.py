"""Answers about deployments and how they are rolled out, as the served description and the checks of them have it."""

from __future__ import annotations

from typing import Literal

from reflexdb.api.answers import Answer, Failure, Id, Outcome, Time, Trigger


class RolloutStep(Answer):
    percent: float
    seconds: float


class RolloutSide(Answer):
    requests: int
    failed: int
    refused: int
    errorRate: float | None
    medianMs: float | None
    p99Ms: float | None


class Rollout(Answer):
    state: Literal["canary", "watch", "promoted", "aborted", "kept", "rolled_back", "superseded"]
    sharePercent: float
    step: int | None
    stepSince: Time
    steps: list[RolloutStep]
    wanted: Literal["promote", "abort"] | None
    reason: str | None
    endedAt: Time | None
    new: RolloutSide | None
    old: RolloutSide | None


class DeploymentRecord(Answer):
    id: Id
    databaseId: Id
    kind: Literal["provision", "rebuild", "redeploy", "reconfigure", "resize", "resume", "restore", "rollback"]
    reason: str | None
    trigger: Trigger | None
    keyId: str | None
    keyName: str | None
    fromBuildId: Id | None
    toBuildId: Id | None
    requestedAt: Time
    startedAt: Time | None
    finishedAt: Time | None
    durationMs: int | None
    outcome: Outcome
    error: Failure | None
    requestsFailed: int | None
    strategy: Literal["immediate", "canary"]
    rollout: Rollout | None


class DeploymentRecords(Answer):
    deployments: list[DeploymentRecord]
    nextCursor: str | None
