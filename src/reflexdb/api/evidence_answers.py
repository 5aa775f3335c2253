"""What is answered about signatures, provenance and differences of builds: one model per answer; see `answers`."""

from __future__ import annotations

from typing import Literal

from reflexdb.api.answers import Answer, Id, NotServed, Time


class SigningKey(Answer):
    keyId: str
    algorithm: Literal["ed25519"]
    publicKey: str
    active: bool
    createdAt: Time
    retiredAt: Time | None


class BuildName(Answer):
    id: Id
    number: int
    schemaFingerprint: str | None


class BrokenQueries(Answer):
    shapes: int
    queries: int
    examples: list[str]


class SeenQueries(Answer):
    shapes: int
    queries: int
    notToldApart: int
    since: Time


class PlanChange(Answer):
    kind: str
    table: str | None
    name: str | None
    before: str | None
    after: str | None
    breaking: bool
    why: str | None
    judgement: Literal[
        "not breaking", "breaking", "breaking for seen queries", "breaking, though no query seen uses it"
    ]
    breaks: BrokenQueries | None


class BuildDifference(Answer):
    against: BuildName
    build: BuildName
    identical: bool
    breaking: bool
    judgedAgainst: Literal["every_query", "seen_queries"]
    seen: SeenQueries | None
    breaksSeenQueries: bool | None
    changes: list[PlanChange]
    notServed: list[NotServed]


class ImageDifference(Answer):
    blob: Literal["layer", "config", "manifest"]
    file: str | None
    at: str
    recorded: str | None
    rebuilt: str | None


class Verification(Answer):
    build: BuildName
    identical: bool
    recordedDigest: str
    rebuiltDigest: str
    engine: Literal["cached", "fresh"]
    durationMs: int
    differences: list[ImageDifference]


class EnvelopeSignature(Answer):
    keyid: str
    sig: str


class Envelope(Answer):
    payloadType: str
    payload: str
    signatures: list[EnvelopeSignature]


class PinnedBuild(Answer):
    id: Id
    number: int
    pinnedAt: Time


class MovedImage(Answer):
    digest: str
    address: str | None


class StoredImage(Answer):
    digest: str
    bytes: int | None
    builds: list[int]
    pinned: bool


class DatabaseDisk(Answer):
    databaseId: Id
    bytes: int
    images: list[StoredImage]


class DatabaseShare(Answer):
    databaseId: Id
    images: int
    bytes: int


class StoreDisk(Answer):
    images: int
    bytes: int | None
    freeBytes: int | None
    databases: list[DatabaseShare]
