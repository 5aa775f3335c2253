"""The tables of the metadata database: the truth that migrations must arrive at.

Read by the query modules beside this one and by the test that compares a migrated database with it. Times are UTC,
kept as text that sorts; ids are UUIDs as text. No secret is ever a column here: `password_ref` names an entry of the
secret store, and a management key is a hash. A deleted row keeps its place for audit; every uniqueness holds among
the rows that are not deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    DDL,
    JSON,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    event,
)

metadata = MetaData()


class UtcTime(TypeDecorator[datetime]):
    """An instant with microseconds, stored as `2026-04-15T12:00:00.000000Z`."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        assert value.tzinfo is not None, "a time without a zone must not be stored"
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(36), ForeignKey(f"{target}.id"), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, UtcTime, nullable=nullable)


def _origin_and_error() -> list[Column[str]]:
    """Who asked, and where it went wrong: null in what was written before these were kept."""
    return [
        Column("trigger", String(20)),
        Column("key_id", String(32)),
        Column("key_name", Text),
        Column("error_code", String(40)),
        Column("error_step", Text),
    ]


customers = Table(
    "customers",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("plan", String(20), nullable=False),
    _time("created_at"),
)

management_keys = Table(
    "management_keys",
    metadata,
    _id(),
    _ref("customer_id", "customers"),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", String(64), nullable=False),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
)

connections = Table(
    "connections",
    metadata,
    _id(),
    _ref("customer_id", "customers"),
    Column("name", Text, nullable=False),
    Column("backend", String(20), nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("available_schemas", JSON, nullable=False),
    Column("user", Text, nullable=False),
    Column("password_ref", Text),
    Column("sync_mode", String(20), nullable=False),
    Column("sync_interval_s", Integer, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
)
_alive = connections.c.deleted_at.is_(None)
Index("connections_name", connections.c.customer_id, connections.c.name, unique=True, sqlite_where=_alive)

databases = Table(
    "databases",
    metadata,
    _id(),
    _ref("customer_id", "customers"),
    _ref("connection_id", "connections"),
    Column("name", Text, nullable=False),
    Column("schema_name", Text, nullable=False),
    Column("instance_size", String(20), nullable=False),
    Column("log_level", String(10), nullable=False),
    Column("status", String(20), nullable=False),
    Column("last_error", Text),
    Column("desired_state", String(20)),
    Column("build_compute_override", String(40)),
    Column("region", String(40), nullable=False),
    Column("binlog_server_id", Integer),
    Column("custom_domain", Text),
    Column("pause_schedule", JSON(none_as_null=True)),
    _time("schedule_checked_at", nullable=True),
    Column("tags", JSON, nullable=False),
    Column("port", Integer),
    Column("config_text", Text),
    _time("created_at"),
    _time("updated_at"),
    _time("deleted_at", nullable=True),
)
_alive = databases.c.deleted_at.is_(None)
Index("databases_name", databases.c.connection_id, databases.c.name, unique=True, sqlite_where=_alive)
Index("databases_binlog_server_id", databases.c.binlog_server_id, unique=True, sqlite_where=_alive)
Index("databases_custom_domain", databases.c.custom_domain, unique=True, sqlite_where=_alive)

builds = Table(
    "builds",
    metadata,
    _id(),
    _ref("database_id", "databases"),
    Column("number", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("image_digest", Text),
    Column("image_uri", Text),
    Column("config_text", Text),
    Column("compute_type", String(40)),
    Column("cost_cents", Integer),
    Column("duration_s", Integer),
    Column("error", Text),
    _time("created_at"),
    _time("started_at", nullable=True),
    _time("finished_at", nullable=True),
    *_origin_and_error(),
    Column("source_version", Text),
    Column("fingerprint", String(64)),
    Column("image_bytes", Integer),
    Column("phases", JSON(none_as_null=True)),
)
Index("builds_number", builds.c.database_id, builds.c.number, unique=True)

deployments = Table(
    "deployments",
    metadata,
    _id(),
    _ref("database_id", "databases"),
    _ref("build_id", "builds"),
    Column("settings", JSON, nullable=False),
    Column("password_ref", Text),
    Column("endpoint_url", Text),
    Column("health_status", String(20)),
    Column("health_reason", Text),
    Column("snapshot_age_ms", Integer),
    Column("swap_count", Integer),
    Column("row_counts", JSON, nullable=False),
    Column("replication_paused", Boolean, nullable=False),
    _time("last_health_check", nullable=True),
    _time("created_at"),
    _time("updated_at"),
    _time("serving_at", nullable=True),
    _time("retired_at", nullable=True),
    Column("source_position", Text),
    Column("capture_schema", Text),
)
Index(
    "deployments_serving",
    deployments.c.database_id,
    unique=True,
    sqlite_where=deployments.c.serving_at.is_not(None) & deployments.c.retired_at.is_(None),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    _ref("database_id", "databases"),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    _ref("customer_id", "customers"),
    _time("at"),
    Column("trigger", String(20), nullable=False),
    Column("key_id", String(32)),
    Column("key_name", Text),
    Column("address", Text),
    Column("request_id", String(64)),
    Column("action", String(40), nullable=False),
    Column("target_type", String(20), nullable=False),
    Column("target_id", String(36), nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
)
Index("audit_of_customer", audit.c.customer_id, audit.c.number)
for _verb in ("UPDATE", "DELETE"):
    _refusal = f"BEFORE {_verb} ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END"
    _trigger = DDL(f"CREATE TRIGGER audit_no_{_verb.lower()} {_refusal}")  # type: ignore[no-untyped-call]
    event.listen(audit, "after_create", _trigger)

repeats = Table(
    "repeats",
    metadata,
    Column("customer_id", String(36), ForeignKey("customers.id"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("owner", String(36)),
    Column("status", Integer),
    Column("content_type", Text),
    Column("answer", LargeBinary),
    _time("created_at"),
)
Index("repeats_created_at", repeats.c.created_at)

jobs = Table(
    "jobs",
    metadata,
    _id(),
    _ref("database_id", "databases"),
    Column("action", String(20), nullable=False),
    _ref("build_id", "builds", nullable=True),
    _ref("deployment_id", "deployments", nullable=True),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(36)),
    Column("error", Text),
    _time("created_at"),
    _time("started_at", nullable=True),
    _time("finished_at", nullable=True),
    *_origin_and_error(),
    Column("kind", String(20)),
    Column("from_build_id", String(36)),
)
Index("jobs_unfinished", jobs.c.database_id, unique=True, sqlite_where=jobs.c.finished_at.is_(None))
