"""What a source has and an image does not serve: which table, column or relation, why, and what would change that.

Made by the sources (what they can't or may not read) and by the build's planning pass (what a plan can't hold). The
plan carries it into the image; the build's log, its record, the API and the instance's description show it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reflexdb.model.suggest import quoted

MAX_KEPT = 1_000
"""Entries that a build's record and an instance's description hold; the build's log has all of them."""


class Cause(StrEnum):
    """Why something is not served, for programs; the words are in `reason`."""

    NO_PRIVILEGE = "no_privilege"
    NOT_VISIBLE = "not_visible"
    """It was served before, and the source does not show it any more: dropped, renamed, or hidden from the user."""
    UNSUPPORTED_TYPE = "unsupported_type"
    UNREADABLE = "unreadable"
    NAME = "name"
    OTHER_SCHEMA = "other_schema"
    MISSING_TARGET = "missing_target"
    """The key refers to a table or column that is not served."""
    TEMPORAL_KEY = "temporal_key"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True, slots=True, order=True)
class NotServed:
    """One table, column or relation. A table alone has neither `column` nor `relation`."""

    table: str
    """Its name in the source."""
    column: str | None
    relation: str | None
    """A foreign key's name in the source, or its columns where it has none."""
    cause: Cause
    reason: str
    """One sentence."""
    remedy: str
    """What serves it, as a sentence or a statement to run; empty where nothing would."""

    @classmethod
    def of_table(cls, table: str, cause: Cause, reason: str, remedy: str) -> NotServed:
        return cls(table, None, None, cause, reason, remedy)

    @classmethod
    def of_column(cls, table: str, column: str, cause: Cause, reason: str, remedy: str) -> NotServed:
        return cls(table, column, None, cause, reason, remedy)

    @classmethod
    def of_relation(cls, table: str, relation: str, cause: Cause, reason: str, remedy: str) -> NotServed:
        return cls(table, None, relation, cause, reason, remedy)

    def subject(self) -> str:
        """What is not served, for people; names are data and quoted."""
        if self.column is not None:
            return f"column {quoted(self.column)} of table {quoted(self.table)}"
        if self.relation is not None:
            return f"relation {quoted(self.relation)} of table {quoted(self.table)}"
        return f"table {quoted(self.table)}"

    def line(self) -> str:
        """All of it in one line."""
        return " ".join(part for part in (f"{self.subject()}: {self.reason}", self.remedy) if part)

    def to_json(self) -> dict[str, Any]:
        """As the API, the records and the image's manifest say it."""
        return {
            "table": self.table,
            "column": self.column,
            "relation": self.relation,
            "cause": self.cause.value,
            "reason": self.reason,
            "remedy": self.remedy,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> NotServed:
        """Raises KeyError or ValueError on a document this version did not write."""
        return cls(
            document["table"],
            document["column"],
            document["relation"],
            Cause(document["cause"]),
            document["reason"],
            document["remedy"],
        )


def as_utf8(name: str) -> str:
    """A name that is no UTF-8, in letters that are; any other as it is."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def in_order(entries: Iterable[NotServed]) -> tuple[NotServed, ...]:
    """Each once, by table, the table itself before its columns and relations."""
    return tuple(sorted(set(entries), key=lambda each: (each.table, each.column or "", each.relation or "", each)))


def newly(before: Collection[NotServed], after: Iterable[NotServed]) -> tuple[NotServed, ...]:
    """Those of `after` whose table, column or relation `before` does not name."""
    known = {(each.table, each.column, each.relation) for each in before}
    return tuple(each for each in after if (each.table, each.column, each.relation) not in known)
