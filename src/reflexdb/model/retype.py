"""A column's type as reflexdb.yaml sets it, beside the one that the source declares.

Set by the build's planning pass, carried by the plan, and used where a source's values are read: snapshots and streams
decode the value as `read_as` and convert it in one place (sources/retyped.py). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from reflexdb.model.storage import Storage

TYPES: dict[str, Storage] = {
    "integer": Storage.I64,
    "number": Storage.F64,
    "decimal": Storage.DECIMAL,
    "text": Storage.TEXT,
    "boolean": Storage.BOOL,
    "date": Storage.DATE,
    "datetime": Storage.DATETIME,
    "instant": Storage.TIMESTAMP,
    "json": Storage.JSON,
    "binary": Storage.BINARY,
}
"""The words for a type, and how its values are kept."""

EPOCHS: dict[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Units of integers that count from 1970, in microseconds."""


@dataclass(frozen=True, slots=True)
class Retype:
    """How a column is read whose type is set."""

    read_as: Storage
    """What the adapter makes of the source's value before it is converted."""
    source: Storage | None
    """What the source's definition gave at the build; None where the definition says nothing that has to stay."""
    epoch: str = ""
    """The unit of EPOCHS; empty for a value that is no count."""
