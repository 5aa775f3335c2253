"""What a connection test says of tables that can't be followed row by row: the same words for every kind of server."""

from __future__ import annotations

from collections.abc import Sequence

MAX_NAMED = 20
"""Tables that are named in one test; a server may have thousands."""


def note(shown: str, quoted: str) -> str:
    """Of a table's name for people and, quoted, for a statement."""
    return (
        f"Table {shown!r} has no primary key, so that every change reads it again. Run: ALTER TABLE {quoted} ADD "
        "PRIMARY KEY (...);"
    )


def notes(tables: Sequence[tuple[str, str]]) -> list[str]:
    """Of each table without a primary key its name for people and, quoted, for a statement; nothing stands in the way
    of following the others. At most MAX_NAMED + 1 need be given."""
    return limited([note(shown, quoted) for shown, quoted in tables])


def limited(found: Sequence[str]) -> list[str]:
    """The notes of the first MAX_NAMED tables, and that there are more."""
    if len(found) <= MAX_NAMED:
        return list(found)
    return [*found[:MAX_NAMED], "More tables have no primary key; the log of a build names those of its schema."]
