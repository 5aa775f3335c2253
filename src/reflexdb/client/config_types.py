"""What the control plane says of a reflexdb.yaml, as the client hands it over."""

from __future__ import annotations

from typing import TypedDict


class ConfigCheck(TypedDict):
    """Whether a reflexdb.yaml could be held against its source."""

    checked: bool
    reason: str | None


class ProposedRelation(TypedDict):
    table: str
    column: str
    references: str
    values: int
    found: int
    accepted: bool


class ConfigProposal(TypedDict):
    config: str
    relations: list[ProposedRelation]
