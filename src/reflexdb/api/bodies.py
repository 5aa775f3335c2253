"""What may be sent: one strict model per body of the contract.

An unknown field, a wrong type and an impossible text are refused by name.

Checks here are of shape alone; what needs a look at the records is control's. An optional field that is not nullable
has no value when it is left out, and null is refused: `model_fields_set` tells what was sent.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.config import JsonDict

MAX_SERVER_ID = 4_294_967_295
"""The largest a MySQL server takes."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("contains half of a surrogate pair, which is not a character")
    return text


def _instant(value: object) -> object:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value.upper()):
        raise ValueError("must be a date and time with a zone, like 2026-04-15T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError("is not a date and time that exists") from exc


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError("must be a UUID")
    return text.lower()


Text = Annotated[str, Field(min_length=1), AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_storable)]
Schema = Annotated[str, AfterValidator(_storable)]
Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
InstanceSize = Literal["nano", "small", "medium", "large", "xlarge", "2xlarge"]
LogLevel = Literal["info", "debug", "warn", "error"]
SyncMode = Literal["poll", "binlog", "logical", "cdc"]
BackendName = Literal["mysql", "postgres", "mssql", "sqlite"]
Compute = Literal["BUILD_GENERAL1_LARGE", "BUILD_GENERAL1_XLARGE", "BUILD_GENERAL1_2XLARGE"]
Port = Annotated[int, Field(ge=1, le=65535)]
ServerId = Annotated[int, Field(ge=1, le=MAX_SERVER_ID)]
SyncInterval = Annotated[int, Field(ge=1, le=3600)]
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Domain = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


def left_out() -> Any:
    """An optional field that may not be null."""
    return Field(default_factory=lambda: None)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, as they came after validation."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class PauseSchedule(Body):
    pauseAt: ClockTime
    resumeAt: ClockTime
    days: list[Annotated[int, Field(ge=0, le=6)]]

    @field_validator("resumeAt")
    @classmethod
    def _later_or_earlier(cls, resume: str, given: ValidationInfo) -> str:
        if resume == given.data.get("pauseAt"):
            raise ValueError("must be another time than pauseAt; the database would never be paused")
        return resume


class Tag(Body):
    label: Annotated[str, Field(min_length=1, max_length=30), AfterValidator(_storable)]
    color: Annotated[str, Field(max_length=30), AfterValidator(_storable)] = left_out()


class FirstDatabaseBody(Body):
    name: Name
    mysqlDb: Text
    instanceSize: InstanceSize = "nano"
    logLevel: LogLevel = "info"
    binlogServerId: ServerId = left_out()


class CreateDatabaseBody(FirstDatabaseBody):
    connectionId: Uuid


class UpdateDatabaseBody(Body):
    name: Name = left_out()
    mysqlDb: Text = left_out()
    instanceSize: InstanceSize = left_out()
    logLevel: LogLevel = left_out()
    binlogServerId: ServerId = left_out()
    buildComputeOverride: Compute | None = None
    reflexdbCustomDomain: Domain | None = None
    pauseSchedule: PauseSchedule | None = None
    tags: Annotated[list[Tag], Field(max_length=5)] = left_out()


class UpdateFreshnessBody(Body):
    autoRebuild: bool


_LOGIN: JsonDict = {
    "if": {"properties": {"backend": {"const": "sqlite"}}, "required": ["backend"]},
    "else": {"required": ["mysqlUser", "mysqlPassword"]},
}
"""A file has no users; every other source is logged in to. Checked by control, described here."""


class TestConnectionBody(Body):
    __test__ = False
    model_config = ConfigDict(json_schema_extra=_LOGIN)
    backend: BackendName = "mysql"
    mysqlHost: Text
    mysqlPort: Port = left_out()
    mysqlUser: Text = left_out()
    mysqlPassword: Text = left_out()


class CreateConnectionBody(TestConnectionBody):
    name: Name
    availableSchemas: Annotated[list[Schema], Field(min_length=1)]
    syncMode: SyncMode = "poll"
    syncInterval: SyncInterval = 30
    instance: FirstDatabaseBody = left_out()


class UpdateConnectionBody(Body):
    name: Name = left_out()
    mysqlHost: Text = left_out()
    mysqlPort: Port = left_out()
    availableSchemas: Annotated[list[Schema], Field(min_length=1)] = left_out()
    mysqlUser: Text = left_out()
    mysqlPassword: Text = left_out()
    syncMode: SyncMode = left_out()
    syncInterval: SyncInterval = left_out()


class RedeployBody(Body):
    buildId: Uuid


class ResizeBody(Body):
    instanceSize: InstanceSize


class NewKeyBody(Body):
    name: Name
    expiresAt: Instant = left_out()


class CheckoutBody(Body):
    plan: Literal["pro", "teams", "enterprise"]


class OverageBody(Body):
    enabled: bool
    spendingCapCents: Annotated[int, Field(ge=1)] = left_out()


class PlanBody(Body):
    plan: Literal["free", "pro", "teams", "enterprise"]


class AdjustmentBody(Body):
    amount: int
    reason: Annotated[str, AfterValidator(_storable)] = left_out()
    expiresAt: Instant = left_out()
