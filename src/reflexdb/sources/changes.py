"""What a source that can be followed offers: a view and the stream of row changes that continues it without a gap.

Implemented by the MySQL (`binlog`) and PostgreSQL (`logical`) adapters, consumed by sync's streaming mode, which knows
neither protocol. A stream hands over committed transactions only, each as some Rows and other events and one Commit,
in the source's commit order; a transaction may be far larger than memory, so it comes in parts. What it can't decode
it raises: an event is never skipped.

Values are Python objects, by storage: BOOL bool; integers int; floats float; DECIMAL, TIME, TEXT, ENUM and JSON str;
UUID 16 bytes; BINARY bytes; DATE datetime.date or days since 1970; DATETIME naive datetime or microseconds since 1970;
TIMESTAMP aware UTC datetime or microseconds since 1970 (an adapter keeps to one form a column); None for null: exactly
the values that reading the table (`SnapshotReader.read`) would give for the same row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.sources.base import SnapshotReader
from reflexdb.sources.spans import Range


class Op(IntEnum):
    INSERT = 1
    UPDATE = 2
    DELETE = 3


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED = _Unchanged.UNCHANGED
"""In an updated row, a value that the source did not send because it stays as it was (TOAST)."""

Row = tuple[Any, ...]


@dataclass(slots=True)
class Rows:
    """Changes of one table in the order they were made. Parallel lists: one entry a change."""

    table: int
    """Index in the plan."""
    ops: list[Op] = field(default_factory=list)
    keys: list[Row | None] = field(default_factory=list)
    """UPDATE and DELETE: the primary key before the change, as `PlannedTable.primary_key` orders it. INSERT: None."""
    rows: list[Row | None] = field(default_factory=list)
    """INSERT and UPDATE: the row after it, in plan column order. DELETE: None."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """Every row of the table is gone."""

    table: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The table's rows changed in a way the stream does not tell row by row, nor which rows (no primary key, say): the
    table must be read again. So it is where a change of it can't be decoded."""

    table: int
    reason: str


@dataclass(slots=True)
class StaleRows:
    """The rows of these keys changed in a way the stream does not tell (`where`, a generated column): they must be
    read again, or are there no more."""

    table: int
    keys: list[Row]
    """As `Rows.keys`; of a row whose key changed both keys."""
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """Rows of a planned table, all of which are served, that are led to by the values of some of its columns."""

    table: int
    columns: tuple[int, ...]
    further: tuple[tuple[tuple[int, ...], int], ...] = ()
    """Columns of these rows whose values, unless one is null, lead on, each with the number of the step they lead to:
    those columns of its table have them."""


@dataclass(slots=True)
class Cascaded:
    """A foreign key, and others because of it, deleted or changed rows that the stream does not tell: those that these
    values lead to, by the rows as they were before. They must be read again, or are there no more."""

    steps: tuple[Step, ...]
    values: list[Row]
    """For the columns of the first step."""
    reason: str

    @property
    def tables(self) -> frozenset[int]:
        return frozenset(step.table for step in self.steps)


@dataclass(frozen=True, slots=True)
class Redefined:
    """The table's definition changed at this point of the stream; nothing of it may be applied from here on. `table` is
    None where a statement could not be attributed to one."""

    table: int | None
    what: str
    """For a person: `ALTER TABLE posts ...` as far as the source tells, at most 200 characters."""


@dataclass(frozen=True, slots=True)
class Commit:
    """The end of one source transaction: everything since the last Commit becomes visible together."""

    position: str
    committed_at: datetime
    """UTC, by the source's clock."""


Event = Rows | Truncated | Stale | StaleRows | Cascaded | Redefined | Commit


class ChangeStream(Protocol):
    """An open stream, used by one thread."""

    @property
    def warning(self) -> str | None:
        """What people should know though all goes well: a slot that is about to be lost, say."""
        ...

    @property
    def definitions(self) -> str | None:
        """Another text once any definition at the source may have changed; None where the stream does not know."""
        ...

    def next(self, timeout_s: float) -> Event | None:
        """The next event; None where the source said nothing for so long, or sent only a heartbeat. Raises
        SourceUnreachable where the connection is lost, PositionLost where the source no longer has what follows, and
        SourceData for what can't be decoded and is no planned table's."""
        ...

    def confirm(self, position: str) -> None:
        """Everything up to the position is applied: the source may let go of it. Cheap."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How a follower presents itself at the source. No two that run may share these."""

    name: str
    """Of what it keeps there (a replication slot): lower-case letters, digits and underscores, at most 50."""
    server_id: int
    """Among the servers that replicate (MySQL and MariaDB), 1 to 2**32 - 1."""
    memory: Path | None = None
    """A file of the follower's own, for what it must know after its process ended. Without one, it knows less."""
    publication: str | None = None
    """Of what it shares at the source with the followers it succeeds; its own name where there were none."""
    former: str | None = None
    """The name of the follower that it succeeds."""


class SummingReader(SnapshotReader, Protocol):
    """A view that sums up its rows where they are, so that what has not changed need not be read."""

    def key_range(self, table: PlannedTable) -> Range | None:
        """The least and the greatest value in the first column of the primary key; None where that is no integer, or
        there is no row: such a table has no sums."""
        ...

    def sums(self, table: PlannedTable, size: int, keys: Range) -> dict[int, str | None]:
        """By span (`spans.span_of`) that has rows with keys in the range, a text that is another one if any of these
        rows is another one; None where the source can't tell. Texts of different versions of a source differ too."""
        ...

    def within(self, table: PlannedTable, ranges: Sequence[Range]) -> Iterator[pa.RecordBatch]:
        """The rows that `read` gives whose key is in one of the ranges."""
        ...


class Follower(Protocol):
    """One database that can be followed. Owns its connections; `close` ends them."""

    mode: str
    """`binlog` or `logical`."""

    def preflight(self, plan: Plan) -> tuple[str, ...]:
        """What stands in the way, each a sentence with the statement that mends it; empty where nothing does."""
        ...

    def warnings(self, plan: Plan) -> tuple[str, ...]:
        """What does not stand in the way but is worth knowing: sentences as those of `preflight`."""
        ...

    def unfollowed(self, plan: Plan) -> frozenset[int]:
        """Planned tables whose changes the stream can't even announce (views, say): to be read again now and then."""
        ...

    def snapshot(self, plan: Plan, wait_s: float | None = None) -> AbstractContextManager[SnapshotReader]:
        """A view whose `position` is exact: the stream from there has every later transaction and none of those in the
        view. Takes no lock longer than an instant. For locks and transactions of others it waits at most `wait_s`, also
        while tables are read; by default as long as a first load may. Where that is too short, SourceInterrupted is
        raised."""
        ...

    def view(self, plan: Plan, wait_s: float | None = None) -> AbstractContextManager[SummingReader]:
        """The same while a stream goes on: what that needs at the source is left alone, whatever state it is in."""
        ...

    def stream(self, plan: Plan, position: str) -> ChangeStream:
        """Every transaction committed after the position. Raises PositionLost where the source no longer has it."""
        ...

    def clock(self) -> datetime:
        """What the source's clock shows now, UTC: the one of `Commit.committed_at`."""
        ...

    def reached(self, position: str, wanted: str) -> bool:
        """Whether a snapshot at `position` contains `wanted`. Raises InvalidRequest for a position it can't read."""
        ...

    def succeed(self) -> None:
        """Before the first use: have at the source what the former follower has there, which may go on, so that a
        stream can begin wherever the former's could. Raises SourceError where that can't be had; then only a new
        snapshot leads to a stream."""
        ...

    def kept_bytes(self) -> int:
        """How much of its log the source keeps for us alone, at most."""
        ...

    def withdraw(self) -> tuple[str, ...]:
        """Take back at the source what would make it refuse statements of its application, a sentence for each. Cheap:
        it is asked every few seconds, whether or not a stream is open, by one thread."""
        ...

    def drop(self, *, shared: bool = True) -> None:
        """Leave nothing at the source: the slot and, if `shared` is to go too, the publication. Fine
        where there is nothing."""
        ...

    def close(self) -> None: ...
