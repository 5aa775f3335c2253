"""What is answered about signatures, provenance and differences of builds: one model per answer; see `answers`."""

from __future__ import annotations

from typing import Literal

from reflexdb.api.answers import Answer, Id, Time


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


class PlanChange(Answer):
    kind: str
    table: str | None
    name: str | None
    before: str | None
    after: str | None
    breaking: bool


class BuildDifference(Answer):
    against: BuildName
    build: BuildName
    identical: bool
    breaking: bool
    judgedAgainst: Literal["every_query"]
    changes: list[PlanChange]


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
