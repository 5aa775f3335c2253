"""What a query answers: one frozen value per noun, and the one way from a table's row to it.

The query modules return these; control and api read them. Fields are the columns, with JSON turned into tuples and
statuses into their enum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Row

from reflexdb.model.lifecycle import Desired, Status


@dataclass(frozen=True, slots=True)
class Customer:
    id: str
    name: str
    plan: str
    created_at: datetime
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ManagementKey:
    id: str
    customer_id: str
    key_id: str
    name: str
    secret_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class LoginRow:
    id: str
    customer_id: str
    issuer: str
    subject: str
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperatorKey:
    id: str
    key_id: str
    secret_hash: str = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    id: str
    customer_id: str
    name: str
    backend: str
    host: str
    port: int
    available_schemas: tuple[str, ...]
    user: str
    password_ref: str | None
    sync_mode: str
    sync_interval_s: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class DatabaseRow:
    id: str
    customer_id: str
    connection_id: str
    name: str
    schema_name: str
    instance_size: str
    log_level: str
    status: Status
    last_error: str | None
    desired_state: Desired | None
    build_compute_override: str | None
    region: str
    binlog_server_id: int | None
    custom_domain: str | None
    pause_schedule: Mapping[str, Any] | None
    schedule_checked_at: datetime | None
    tags: tuple[Mapping[str, str], ...]
    port: int | None
    config_text: str | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class BuildRow:
    id: str
    database_id: str
    number: int
    status: str
    image_digest: str | None
    image_uri: str | None
    config_text: str | None
    compute_type: str | None
    cost_cents: int | None
    duration_s: int | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trigger: str | None
    key_id: str | None
    key_name: str | None
    error_code: str | None
    error_step: str | None
    source_version: str | None
    fingerprint: str | None
    image_bytes: int | None
    phases: tuple[Mapping[str, str | None], ...] | None
    """Each with name, startedAt and finishedAt, as text that sorts; None in builds of before these were kept."""
    reason: str | None = None
    """Why it was begun, where nobody asked for it."""
    pinned_at: datetime | None = None
    """Since when its image stays whatever comes after it."""
    other_images: Mapping[str, str] | None = None
    """Digests of the images for other platforms, by their names."""
    provenance: str | None = None
    """The signed statement on how it was made, as JSON."""
    engine_version: str | None = None
    """Of the engine in its image."""
    smoke_tests: tuple[Mapping[str, Any], ...] | None = None
    """Each with name, query, passed, durationMs and message; None where none were run."""
    service_id: str | None = None
    """What the service calls it that carries it out, where this machine does not."""
    logs_url: str | None = None
    """Where that service shows its log."""
    not_served: tuple[Mapping[str, Any], ...] | None = None
    """Each as the API shows it, the first of them where there are many; None before the source was described."""
    not_served_total: int | None = None


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    id: str
    database_id: str
    build_id: str
    settings: Mapping[str, Any]
    password_ref: str | None
    endpoint_url: str | None
    health_status: str | None
    health_reason: str | None
    snapshot_age_ms: int | None
    swap_count: int | None
    row_counts: Mapping[str, int]
    replication_paused: bool
    last_health_check: datetime | None
    created_at: datetime
    updated_at: datetime
    serving_at: datetime | None
    retired_at: datetime | None
    source_position: str | None
    """Where in the source's history the newest snapshot that was seen is; None where the source has no such notion."""
    capture_schema: str | None
    """The schema at whose source something of this deployment's may be left; None where nothing is."""
    capture_publication: str | None
    """What it shares there with the deployments it succeeded; None where it is its own."""
    table_bytes: Mapping[str, int] | None = None
    """What each table takes of the instance's memory; None in deployments of before this was kept."""


@dataclass(frozen=True, slots=True)
class AutoRebuildRow:
    """Whether a database rebuilds by itself, and what was last thought of its source's definitions."""

    database_id: str
    enabled: bool
    deployment_id: str | None
    """That served when it was thought."""
    definitions: str | None
    """The ones that were judged; None before the first."""
    tries: int
    """Rebuilds begun, or judgements failed, for these definitions; 0 where they are what serves."""
    tried_at: datetime | None
    """When the last of these was."""
    said: str | None
    """Why nothing is being done although definitions differ; None where nothing is to be said."""
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """What some of a database's queries have in common."""

    database_id: str
    shape: Mapping[str, Any] | None
    """Lists `tables`, `columns`, `filters` and `relations`; None for all queries that were not told apart."""
    queries: int
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    id: str
    database_id: str
    key_id: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class JobRow:
    id: str
    database_id: str
    action: str
    build_id: str | None
    deployment_id: str | None
    attempt: int
    owner: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    trigger: str | None
    key_id: str | None
    key_name: str | None
    error_code: str | None
    error_step: str | None
    kind: str | None
    """The action as people know it: `restore` is a redeploy that nobody asked for."""
    from_build_id: str | None
    request_id: str | None
    """Of the request that asked for it."""
    traceparent: str | None
    """The span of that request, where traces were taken."""
    reason: str | None = None
    """Why it was begun, where nobody asked for it."""
    from_status: str | None = None
    """Of the database when the action was asked for; None in jobs of before this was kept."""
    cancel_asked_at: datetime | None = None
    """Since when whoever carries it out is to stop."""
    requests_failed: int | None = None
    """While the new instance took over; None where that is not known."""
    steps: tuple[tuple[int, float], ...] | None = None
    """Of a deployment in steps: a share in thousandths, and for how many seconds."""
    allow_breaking: bool | None = None
    """The build may serve less than what serves now, though the source shows no more."""


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A deployment that goes step by step, or whose predecessor stands by."""

    job_id: str
    database_id: str
    deployment_id: str
    former_id: str
    """The deployment that was, or is to be, replaced."""
    former_serving_at: datetime | None
    state: str
    """canary or watch; at the end promoted, aborted, kept, rolled_back or superseded."""
    step: int
    step_at: datetime
    wanted: str | None
    """promote or abort, as somebody asked."""
    began: Mapping[str, Any] | None
    """What had become of the requests of either, when it began."""
    seen: Mapping[str, Any] | None
    """What has become of those since, as last seen."""
    reason: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RepeatRow:
    customer_id: str
    key: str
    request: bytes
    owner: str | None
    status: int | None
    content_type: str | None
    answer: bytes | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PlaneRow:
    id: str
    url: str
    host: str
    """The processes that can see each other: one boot of one machine or container."""
    process: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    number: int
    customer_id: str
    at: datetime
    trigger: str
    key_id: str | None
    key_name: str | None
    address: str | None
    request_id: str | None
    action: str
    target_type: str
    target_id: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class BillingRow:
    """What is known of an account's payments; the times are those of Stripe's events, which come in any order."""

    customer_id: str
    stripe_customer: str | None = None
    subscription: str | None = None
    subscription_created_at: datetime | None = None
    subscription_told_at: datetime | None = None
    subscription_status: str | None = None
    subscription_plan: str | None = None
    """What the subscription pays for now; None where it pays for nothing."""
    payment_state: str | None = None
    payment_told_at: datetime | None = None
    renewals: int = 0
    """Successful payments after the first."""
    overage_enabled: bool = False
    spending_cap_cents: int | None = None


@dataclass(frozen=True, slots=True)
class AdjustmentRow:
    id: str
    customer_id: str
    amount: int
    reason: str | None
    expires_at: datetime | None
    created_at: datetime


_Noun = TypeVar("_Noun")
_CONVERTERS: dict[str, Any] = {
    "status": Status,
    "desired_state": Desired,
    "available_schemas": tuple,
    "tags": tuple,
    "phases": tuple,
    "smoke_tests": tuple,
    "not_served": tuple,
    "steps": lambda steps: tuple((int(share), float(seconds)) for share, seconds in steps),
}


def noun(kind: type[_Noun], row: Row[Any]) -> _Noun:
    """The value of `kind` in a row that has at least its columns."""
    values, (names, converted) = row._mapping, _columns(kind)  # type: ignore[arg-type]  # classes are hashable
    found = {name: values[name] for name in names}
    for name, convert in converted:
        if found[name] is not None:
            found[name] = convert(found[name])
    return kind(**found)


@cache
def _columns(kind: type) -> tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]:
    """The names of its fields, and how some of them are made from what is stored."""
    names = tuple(each.name for each in fields(kind))
    converters = {name: convert for name, convert in _CONVERTERS.items() if name != "status" or kind is DatabaseRow}
    return names, tuple((name, converters[name]) for name in names if name in converters)
