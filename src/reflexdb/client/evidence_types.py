"""The JSON of answers about signatures and differences of builds; see `types`."""

from __future__ import annotations

from typing import Any, TypedDict


class PlanChange(TypedDict):
    kind: str
    table: str | None
    name: str | None
    before: str | None
    after: str | None
    breaking: bool


class BuildDifference(TypedDict):
    against: dict[str, Any]
    build: dict[str, Any]
    identical: bool
    breaking: bool
    judgedAgainst: str
    changes: list[PlanChange]


class SigningKey(TypedDict):
    keyId: str
    algorithm: str
    publicKey: str
    active: bool
    createdAt: str
    retiredAt: str | None


class MovedImage(TypedDict):
    digest: str
    address: str | None
