"""What every kind of source can do. The build uses test and introspect; sync uses snapshot. What a
source that can be followed offers beside that is in `changes`.

A source owns its connections. Everything it raises is a `SourceError`; messages never contain the password. Identifiers
and values are always quoted or bound by the adapter; only `PlannedTable.where`, which the account's owner wrote for
their own database, is SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import pyarrow as pa

from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import Backend, SourceSchema
from reflexdb.model.storage import Storage

ARROW_TYPES: dict[Storage, pa.DataType] = {
    Storage.BOOL: pa.bool_(),
    Storage.I16: pa.int16(),
    Storage.I32: pa.int32(),
    Storage.I64: pa.int64(),
    Storage.U64: pa.uint64(),
    Storage.F32: pa.float32(),
    Storage.F64: pa.float64(),
    Storage.DECIMAL: pa.string(),
    Storage.DATE: pa.date32(),
    Storage.DATETIME: pa.timestamp("us"),
    Storage.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Storage.TIME: pa.string(),
    Storage.TEXT: pa.string(),
    Storage.ENUM: pa.string(),
    Storage.UUID: pa.binary(16),
    Storage.JSON: pa.string(),
    Storage.BINARY: pa.binary(),
}
"""The Arrow type in which a reader hands over a column of each storage. Batches stay under 2 GiB a column and about 32
MiB in all."""


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where a source is and how to log in. `repr` leaves the password out."""

    backend: Backend
    host: str
    """Host name or address; for SQLite, the file's path."""
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ChangeCaptureReadiness:
    """Whether the source's changes could be followed; the API's `binlog` object."""

    log_bin: bool
    format: str | None
    server_id: int | None
    ready: bool
    issues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TestResult:
    """Outcome of a successful connection test; a failed one raises SourceError."""

    __test__ = False
    latency_ms: float
    available_schemas: tuple[str, ...]
    estimated_size_gb: float | None
    server_version: str
    capture: ChangeCaptureReadiness | None = None


Key = tuple[int | str | bytes, ...]
"""Values of a key's columns: integers, bytes, or the text by which the source knows them."""


@dataclass(frozen=True, slots=True)
class Some:
    """Which rows of a table: the first ones in any order, or those with one of these keys."""

    rows: int
    """At most so many."""
    columns: tuple[int, ...] = ()
    """Of the plan; with `keys`."""
    keys: tuple[Key, ...] = ()
    """Few enough for one statement; empty for any rows."""


class SnapshotReader(Protocol):
    """One consistent view of the source, held open until the context ends."""

    position: str
    """Where in the source's history this view is (GTID, LSN, data_version, or a hash); empty where it has no such
    notion."""
    taken_at: datetime
    """UTC, no later than the moment the view was fixed: the snapshot's age counts from here."""

    def change_token(self, table: PlannedTable) -> str | None:
        """A cheap value that is guaranteed to differ if the table's rows changed since another view; None where the
        source has none."""
        ...

    def read(self, table: PlannedTable) -> Iterator[pa.RecordBatch]:
        """Every row that `where` allows, with the plan's columns in the plan's order and ARROW_TYPES. After an error
        that is no SourceUnreachable the view goes on: other tables can be read in it."""
        ...

    def some(self, table: PlannedTable, wanted: Some) -> Iterator[pa.RecordBatch]:
        """A few of the rows that `read` gives, without the source having to find the others."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A source that can say for next to nothing whether anything was committed."""

    def state(self) -> str | None:
        """Another text after every commit, as long as the source is not closed; None where it can't be said just now.
        Raises nothing and waits for no writer."""
        ...


class Source(Protocol):
    """A database that can be tested, described and read."""

    def test(self) -> TestResult: ...

    def introspect(self, schema: str) -> SourceSchema: ...

    def definitions(self, schema: str) -> str:
        """A short text that differs once any definition in the schema has changed; cheap enough to ask every few
        seconds."""
        ...

    def snapshot(self, plan: Plan) -> AbstractContextManager[SnapshotReader]: ...

    def close(self) -> None: ...
