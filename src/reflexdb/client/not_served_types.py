"""The JSON of what a build does not serve; see `types`."""

from __future__ import annotations

from typing import TypedDict


class NotServed(TypedDict):
    table: str
    column: str | None
    relation: str | None
    cause: str
    reason: str
    remedy: str
