"""The checked plan: exactly what an image serves, after reflexdb.yaml and the naming rules have been applied.

Made by the build's planning pass, written into the image's manifest as JSON, printed into the generated header, and
read by sync to know what to ask of the source. Indices refer to positions in the tuples of this plan, so that hostile
names appear nowhere but as data. Equal plans have equal fingerprints, and the feed's HELLO carries the fingerprint: a
server never accepts rows meant for another plan.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from reflexdb.model.folding import Folding
from reflexdb.model.not_served import NotServed
from reflexdb.model.retype import Retype
from reflexdb.model.schema import Backend
from reflexdb.model.storage import Storage


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    source_name: str
    name: str
    """Name in the query API (field alias, or the source's name)."""
    storage: Storage
    declared_type: str
    nullable: bool
    visible: bool = True
    """False for key columns outside the allowlist: read because a relation or sync needs them, never answered."""
    note: str = ""
    retyped: Retype | None = None
    """How it is read where reflexdb.yaml sets its type."""
    in_star: bool = True
    """False where the source leaves the column out of `SELECT *`; it is then answered only by its name."""
    folding: int | None = None
    """Of a key's column that compares by a collation: which of the plan's foldings."""
    collation: str = ""
    """With `folding`: the column's own collation; the column that it refers to may have another one."""


@dataclass(frozen=True, slots=True)
class ForwardRelation:
    """The foreign key is on this table; a query gets an object or null."""

    name: str
    columns: tuple[int, ...]
    target: int
    target_columns: tuple[int, ...]
    visible: bool = True
    """False where reflexdb.yaml excluded it but a reverse relation still needs the key."""
    also: tuple[str, ...] = ()
    """Other names that queries may use. Where a column has the name and is answered too, the answer's field has the
    first of these that no column has."""


@dataclass(frozen=True, slots=True)
class ReverseRelation:
    """The foreign key `forward` is on table `child`; a query gets an array."""

    name: str
    child: int
    forward: int
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedTable:
    source_name: str
    name: str
    columns: tuple[PlannedColumn, ...]
    primary_key: tuple[int, ...] = ()
    forward: tuple[ForwardRelation, ...] = ()
    reverse: tuple[ReverseRelation, ...] = ()
    where: str | None = None
    """Row predicate in the source's SQL, from reflexdb.yaml (trusted: written by the account's owner for their own
    database)."""
    indexes: tuple[tuple[int, ...], ...] = ()
    is_view: bool = False


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """The `sync` part of reflexdb.yaml; None where the file is silent and the connection's setting holds."""

    interval_s: float | None = None
    cdc_reconnect_mode: str = "full"
    safety_net_s: int = 3600


@dataclass(frozen=True, slots=True)
class Plan:
    backend: Backend
    schema: str
    tables: tuple[PlannedTable, ...]
    sync: SyncSettings = SyncSettings()
    not_served: tuple[NotServed, ...] = ()
    """What the source has and the image does not serve."""
    foldings: tuple[Folding, ...] = ()
    """The collations by which keys compare, sorted by name."""

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` turns back into an equal plan."""
        document = asdict(replace(self, foldings=()))
        document["foldings"] = [folding.to_json() for folding in self.foldings]
        return {**document, "not_served": [entry.to_json() for entry in self.not_served]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Plan:
        """Rebuild a plan from `to_json`. Raises KeyError or ValueError on a document this version did not write."""
        return cls(
            backend=Backend(document["backend"]),
            schema=document["schema"],
            tables=tuple(_table(table) for table in document["tables"]),
            sync=SyncSettings(**document["sync"]),
            not_served=tuple(NotServed.from_json(entry) for entry in document["not_served"]),
            foldings=tuple(Folding.from_json(entry) for entry in document["foldings"]),
        )

    def fingerprint(self) -> bytes:
        """SHA-256 over everything that shapes memory, names or rows; sync settings and what is not served are not."""
        document = self.to_json()
        del document["sync"], document["not_served"]
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).digest()


def _retype(document: dict[str, Any] | None) -> Retype | None:
    if document is None:
        return None
    source = document["source"]
    return Retype(Storage(document["read_as"]), None if source is None else Storage(source), document["epoch"])


def _table(document: dict[str, Any]) -> PlannedTable:
    return PlannedTable(
        source_name=document["source_name"],
        name=document["name"],
        columns=tuple(
            PlannedColumn(**{**column, "storage": Storage(column["storage"]), "retyped": _retype(column["retyped"])})
            for column in document["columns"]
        ),
        primary_key=tuple(document["primary_key"]),
        forward=tuple(
            ForwardRelation(
                name=relation["name"],
                columns=tuple(relation["columns"]),
                target=relation["target"],
                target_columns=tuple(relation["target_columns"]),
                visible=relation["visible"],
                also=tuple(relation["also"]),
            )
            for relation in document["forward"]
        ),
        reverse=tuple(
            ReverseRelation(**{**relation, "also": tuple(relation["also"])}) for relation in document["reverse"]
        ),
        where=document["where"],
        indexes=tuple(tuple(index) for index in document["indexes"]),
        is_view=document["is_view"],
    )
