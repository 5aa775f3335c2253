"""The tables of the metadata database: the truth that migrations must arrive at.

Read by the query modules beside this one and by the test that compares a migrated database with it. Times are UTC,
kept as text that sorts; ids are UUIDs as text. No secret is ever a column here: `password_ref` names an entry of the
secret store, and a management key is a hash. A deleted row keeps its place for audit; every uniqueness holds among
the rows that are not deleted.

SQLite and PostgreSQL have the same tables. A partial index goes through `unique_among`, a number that may pass 2^31 is
`Large`, and PostgreSQL holds texts to their length.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from reflexdb.records.columns import (
    Large,
    metadata,
    only_added,
    origin_and_error,
    refers,
    row_id,
    time,
    unique_among,
)

customers = Table(
    "customers",
    metadata,
    row_id(),
    Column("name", Text, nullable=False),
    Column("plan", String(20), nullable=False),
    time("created_at"),
    time("suspended_at", nullable=True),
)

management_keys = Table(
    "management_keys",
    metadata,
    row_id(),
    refers("customer_id", "customers"),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", String(64), nullable=False),
    time("created_at"),
    time("expires_at", nullable=True),
    time("last_used_at", nullable=True),
    time("revoked_at", nullable=True),
)

logins = Table(
    "logins",
    metadata,
    row_id(),
    refers("customer_id", "customers"),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    time("created_at"),
    time("last_used_at", nullable=True),
)
Index("logins_subject", logins.c.issuer, logins.c.subject, unique=True)

operator_keys = Table(
    "operator_keys",
    metadata,
    row_id(),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("secret_hash", String(64), nullable=False),
    time("created_at"),
    time("last_used_at", nullable=True),
    time("revoked_at", nullable=True),
)

connections = Table(
    "connections",
    metadata,
    row_id(),
    refers("customer_id", "customers"),
    Column("name", Text, nullable=False),
    Column("backend", String(20), nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("available_schemas", JSON, nullable=False),
    Column("user", Text, nullable=False),
    Column("password_ref", Text),
    Column("sync_mode", String(20), nullable=False),
    Column("sync_interval_s", Integer, nullable=False),
    time("created_at"),
    time("updated_at"),
    time("deleted_at", nullable=True),
)
_alive = connections.c.deleted_at.is_(None)
unique_among(_alive, "connections_name", connections.c.customer_id, connections.c.name)

databases = Table(
    "databases",
    metadata,
    row_id(),
    refers("customer_id", "customers"),
    refers("connection_id", "connections"),
    Column("name", Text, nullable=False),
    Column("schema_name", Text, nullable=False),
    Column("instance_size", String(20), nullable=False),
    Column("log_level", String(10), nullable=False),
    Column("status", String(20), nullable=False),
    Column("last_error", Text),
    Column("desired_state", String(20)),
    Column("build_compute_override", String(40)),
    Column("region", String(40), nullable=False),
    Column("binlog_server_id", Large),
    Column("custom_domain", Text),
    Column("pause_schedule", JSON(none_as_null=True)),
    time("schedule_checked_at", nullable=True),
    Column("tags", JSON, nullable=False),
    Column("port", Integer),
    Column("config_text", Text),
    time("created_at"),
    time("updated_at"),
    time("deleted_at", nullable=True),
)
_alive = databases.c.deleted_at.is_(None)
unique_among(_alive, "databases_name", databases.c.connection_id, databases.c.name)
unique_among(_alive, "databases_binlog_server_id", databases.c.binlog_server_id)
unique_among(_alive, "databases_custom_domain", databases.c.custom_domain)
_LISTED = ("customer_id", "created_at", "id", "updated_at", "connection_id", "deleted_at")
"""All that a list asks of a database to see whether it changed: the index answers it without the rows."""
Index("databases_of_customer", *(databases.c[name] for name in _LISTED))
for _name, _column in (("desired", databases.c.desired_state), ("scheduled", databases.c.pause_schedule)):
    _some = text(f"{_column.name} IS NOT NULL")
    Index(f"databases_{_name}", databases.c.id, sqlite_where=_some, postgresql_where=_some)

builds = Table(
    "builds",
    metadata,
    row_id(),
    refers("database_id", "databases"),
    Column("number", Integer, nullable=False),
    Column("status", String(20), nullable=False),
    Column("image_digest", Text),
    Column("image_uri", Text),
    Column("config_text", Text),
    Column("compute_type", String(40)),
    Column("cost_cents", Integer),
    Column("duration_s", Integer),
    Column("error", Text),
    time("created_at"),
    time("started_at", nullable=True),
    time("finished_at", nullable=True),
    *origin_and_error(),
    Column("source_version", Text),
    Column("fingerprint", String(64)),
    Column("image_bytes", Large),
    Column("phases", JSON(none_as_null=True)),
    Column("reason", Text),
    Column("provenance", Text),
    time("pinned_at", nullable=True),
    Column("other_images", JSON(none_as_null=True)),
    Column("engine_version", String(40)),
    Column("smoke_tests", JSON(none_as_null=True)),
    Column("service_id", Text),
    Column("logs_url", Text),
    Column("not_served", JSON(none_as_null=True)),
    Column("not_served_total", Integer),
)
Index("builds_number", builds.c.database_id, builds.c.number, unique=True)
HISTORY = (
    "id", "status", "image_digest", "created_at", "finished_at", "duration_s", "compute_type", "cost_cents",
    "service_id", "logs_url",
)  # fmt: skip
"""What a build history shows: all of it is in one index, so that long rows are not read for it."""
Index("builds_history", builds.c.database_id, builds.c.number, *(builds.c[name] for name in HISTORY))

deployments = Table(
    "deployments",
    metadata,
    row_id(),
    refers("database_id", "databases"),
    refers("build_id", "builds"),
    Column("settings", JSON, nullable=False),
    Column("password_ref", Text),
    Column("endpoint_url", Text),
    Column("health_status", String(20)),
    Column("health_reason", Text),
    Column("snapshot_age_ms", Large),
    Column("swap_count", Integer),
    Column("row_counts", JSON, nullable=False),
    Column("replication_paused", Boolean, nullable=False),
    time("last_health_check", nullable=True),
    time("created_at"),
    time("updated_at"),
    time("serving_at", nullable=True),
    time("retired_at", nullable=True),
    Column("source_position", Text),
    Column("capture_schema", Text),
    Column("capture_publication", Text),
    Column("table_bytes", JSON(none_as_null=True)),
)
_serves = deployments.c.serving_at.is_not(None) & deployments.c.retired_at.is_(None)
unique_among(_serves, "deployments_serving", deployments.c.database_id)

Index("deployments_of_database", deployments.c.database_id, deployments.c.serving_at)
Index("deployments_of_build", deployments.c.build_id, deployments.c.serving_at)

auto_rebuilds = Table(
    "auto_rebuilds",
    metadata,
    Column("database_id", String(36), ForeignKey("databases.id"), primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("deployment_id", String(36)),
    Column("definitions", String(64)),
    Column("tries", Integer, nullable=False),
    time("tried_at", nullable=True),
    Column("said", Text),
    time("updated_at"),
)
"""Databases that were ever told to rebuild by themselves, and what was last thought of their source's definitions."""

query_shapes = Table(
    "query_shapes",
    metadata,
    Column("database_id", String(36), ForeignKey("databases.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("shape", JSON(none_as_null=True)),
    Column("queries", Large, nullable=False),
    time("first_seen_at"),
    time("last_seen_at"),
)
"""What clients ask of a database: names of its schema, never a value. A shape that is null stands for all others."""

api_keys = Table(
    "api_keys",
    metadata,
    row_id(),
    refers("database_id", "databases"),
    Column("key_id", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    time("created_at"),
    time("expires_at", nullable=True),
    time("last_used_at", nullable=True),
    time("revoked_at", nullable=True),
)

Index("api_keys_of_database", api_keys.c.database_id)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    refers("customer_id", "customers"),
    time("at"),
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
only_added(audit)

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
    time("created_at"),
)
Index("repeats_created_at", repeats.c.created_at)

site = Table(
    "site",
    metadata,
    row_id(),
    Column("directory", Text, nullable=False),
)
"""The one data directory that these records belong to: where the secrets, images and instances are."""

planes = Table(
    "planes",
    metadata,
    row_id(),
    Column("url", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("process", Text, nullable=False),
    time("expires_at"),
)
"""The control planes that share the records; one is alive until `expires_at`, by this database's clock."""

leases = Table(
    "leases",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("holder", String(36), ForeignKey("planes.id"), nullable=False),
)
Index("leases_holder", leases.c.holder)

TRANSIENT = (planes, leases)
"""Who works now: not part of a backup."""

jobs = Table(
    "jobs",
    metadata,
    row_id(),
    refers("database_id", "databases"),
    Column("action", String(20), nullable=False),
    refers("build_id", "builds", nullable=True),
    refers("deployment_id", "deployments", nullable=True),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(36)),
    Column("error", Text),
    time("created_at"),
    time("started_at", nullable=True),
    time("finished_at", nullable=True),
    *origin_and_error(),
    Column("kind", String(20)),
    Column("from_build_id", String(36)),
    Column("request_id", String(64)),
    Column("traceparent", String(55)),
    Column("reason", Text),
    Column("from_status", String(20)),
    time("cancel_asked_at", nullable=True),
    *(Column("requests_failed", Integer), Column("steps", JSON(none_as_null=True)), Column("allow_breaking", Boolean)),
)
unique_among(jobs.c.finished_at.is_(None), "jobs_unfinished", jobs.c.database_id)

rollouts = Table(
    "rollouts",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id"), primary_key=True),
    refers("database_id", "databases"),
    refers("deployment_id", "deployments"),
    refers("former_id", "deployments"),
    time("former_serving_at", nullable=True),
    Column("state", String(20), nullable=False),
    Column("step", Integer, nullable=False),
    time("step_at"),
    Column("wanted", String(20)),
    *(Column(name, JSON(none_as_null=True)) for name in ("began", "seen")),
    Column("reason", Text),
    time("ended_at", nullable=True),
)
"""Deployments that go step by step, or whose predecessor stands by; at most one of a database has not ended."""
unique_among(rollouts.c.ended_at.is_(None), "rollouts_unfinished", rollouts.c.database_id)

Index("jobs_of_database", jobs.c.database_id, jobs.c.created_at, jobs.c.id)
