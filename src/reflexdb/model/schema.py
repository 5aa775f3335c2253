"""What a source says it has: the outcome of introspection, before any choice of ours.

Sources produce it, the build's planning pass consumes it. Names are exactly the source's own. An unsupported column is
here with `storage=None` and the reason; a table, column or key that the user may not read, or that can't be described
here, is in `not_served` with the reason and the remedy. Nothing is left out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from reflexdb.model.folding import Folding
from reflexdb.model.not_served import NotServed
from reflexdb.model.retype import Retype
from reflexdb.model.storage import Storage


class Backend(StrEnum):
    """Kind of source database; the values are the API's `backend` enum (sqlite is our addition)."""

    MYSQL = "mysql"
    POSTGRES = "postgres"
    MSSQL = "mssql"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class SourceColumn:
    name: str
    declared_type: str
    """The source's own words for the type: `varchar(40)`, `BIGINT UNSIGNED`, `numeric(10,2)`."""
    storage: Storage | None
    """None where the type is not supported; `unsupported` then says why."""
    nullable: bool
    comment: str = ""
    generated: bool = False
    invisible: bool = False
    """The source leaves it out of `SELECT *`."""
    collation: str = ""
    """The collation by which the source compares its texts; empty where equal values are equal bytes."""
    unsupported: str = ""
    retyped: Retype | None = None
    """How it is read where reflexdb.yaml sets its type; the planning pass sets it, no source does."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    references: str
    """Name of the referenced table, in the same schema."""
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceTable:
    name: str
    columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...] = ()
    """Empty for a view or a table without one."""
    unique_keys: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str = ""
    is_view: bool = False
    estimated_rows: int | None = None


@dataclass(frozen=True, slots=True)
class SourceSchema:
    backend: Backend
    name: str
    """The schema on the source server (`mysqlDb` of the API); for SQLite, `main`."""
    server_version: str
    tables: tuple[SourceTable, ...] = field(default=())
    """Sorted by name, so that the same schema is always the same value."""
    not_served: tuple[NotServed, ...] = ()
    """What the source has, or may have, and this description leaves out."""
    foldings: tuple[Folding, ...] = ()
    """Of the collations by which keys compare, those that can be described exactly."""
    grant: str = ""
    """The statement that lets the user read every table of the schema; empty where the source knows no grants."""

    def key_collations(self) -> frozenset[str]:
        """Collations of the columns that keys are made of."""
        found = set()
        for table in self.tables:
            keyed = set(table.primary_key).union(*table.unique_keys, *(key.columns for key in table.foreign_keys))
            found |= {column.collation for column in table.columns if column.name in keyed and column.collation}
        return frozenset(found)
