"""The JSON of answers about signatures and differences of builds; see `types`."""

from __future__ import annotations

from typing import Any, TypedDict

from reflexdb.client.not_served_types import NotServed


class SmokeTest(TypedDict):
    name: str
    query: str
    passed: bool
    durationMs: float
    message: str


class PlanChange(TypedDict):
    kind: str
    table: str | None
    name: str | None
    before: str | None
    after: str | None
    breaking: bool
    why: str | None
    judgement: str
    breaks: dict[str, Any] | None
    """`shapes`, `queries` and `examples` of those seen."""


class BuildDifference(TypedDict):
    against: dict[str, Any]
    build: dict[str, Any]
    identical: bool
    breaking: bool
    judgedAgainst: str
    seen: dict[str, Any] | None
    breaksSeenQueries: bool | None
    changes: list[PlanChange]
    notServed: list[NotServed]


class Verification(TypedDict):
    build: dict[str, Any]
    identical: bool
    recordedDigest: str
    rebuiltDigest: str
    engine: str
    durationMs: int
    differences: list[dict[str, Any]]
    """The first one first; empty where it is the same image, byte for byte."""


class DatabaseDisk(TypedDict):
    databaseId: str
    bytes: int
    images: list[dict[str, Any]]


class StoreDisk(TypedDict):
    images: int
    bytes: int | None
    freeBytes: int | None
    databases: list[dict[str, Any]]


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
