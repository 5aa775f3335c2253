"""What replication does not tell of a table: partitions attached, dropped or emptied, rows rewritten by a statement,
labels of an ENUM renamed, the publication changed. Each shows in the catalog as another shape of the table.

`Memory` keeps the shape each table had when it was read, and the position of that view, in a file if it is given one: a
stream that begins at a position compares with what was read at or before it, so that what happened while nobody
looked is not missed. A shape that is not remembered is not trusted. Knows no connection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHAPES_KEPT = 8
"""Of one table; a server that goes back further than that reads it again."""

QUERY = """
    WITH RECURSIVE parts(root, oid) AS (
        SELECT c.oid, c.oid FROM pg_class c WHERE c.oid = ANY(%(oids)s)
        UNION ALL SELECT parts.root, i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid)
    SELECT r.relname, r.oid,
      (SELECT json_object_agg(p.oid, p.relfilenode) FROM parts JOIN pg_class p ON p.oid = parts.oid
       WHERE parts.root = r.oid AND p.relkind = 'r'),
      (SELECT json_object_agg(a.attname, a.xmin::text) FROM pg_attribute a
       WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped),
      (SELECT json_object_agg(e.oid, e.enumlabel) FROM pg_enum e WHERE e.enumtypid IN (
         SELECT unnest(ARRAY[t.oid, t.typelem, t.typbasetype]) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = r.oid AND a.attnum > 0)),
      (SELECT concat_ws(' ', p.oid, p.xmin, p.puballtables,
                        (SELECT m.oid FROM pg_publication_rel m WHERE m.prpubid = p.oid AND m.prrelid = r.oid))
       FROM pg_publication p WHERE p.pubname = %(publication)s)
    FROM pg_class r WHERE r.oid = ANY(%(oids)s)"""
"""A row for each table: the fields of Shape after its name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The catalog's words on one table."""

    oid: int
    files: dict[str, int]
    """The file of the table, or of each of its partitions."""
    columns: dict[str, str]
    """By name, the transaction that last defined it."""
    labels: dict[str, str]
    """Of its ENUMs, by their ids."""
    published: str | None
    """The entry in the publication and the publication's last change."""

    @classmethod
    def of(cls, row: Iterable[Any]) -> Shape:
        oid, files, columns, labels, published = row
        return cls(oid, files or {}, columns or {}, labels or {}, published)

    def since(self, before: Shape, filled: frozenset[str]) -> str | None:
        """Why rows may differ that were read in the shape `before`; None where they can't. `filled` are the partitions
        that have rows."""
        if self.oid != before.oid:
            return "it is another table of the same name"
        if self.published != before.published:
            return "its publication was changed"
        if any(self.labels.get(label, text) != text for label, text in before.labels.items()):
            return "a label of an ENUM was renamed"
        if before.files.keys() - self.files.keys() or (self.files.keys() - before.files.keys()) & filled:
            return "partitions were attached, detached or dropped"
        if any(self.files[part] != file for part, file in before.files.items()):
            redefined = any(self.columns.get(name, xmin) != xmin for name, xmin in before.columns.items())
            if redefined or len(self.files) > 1 or str(self.oid) not in self.files:
                return "its rows or those of a partition were rewritten"
        return None


class Memory:
    """One follower's."""

    def __init__(self, path: Path | None, name: str) -> None:
        """`name` is the publication's: what was remembered of another one does not count."""
        self._path, self._name = path, name
        self._read: dict[int, dict[str, Shape]] = {}
        """By a view's position: tables read in it."""
        self._settled: dict[str, list[tuple[int, Shape]]] = _load(path, name)

    def read(self, position: int, table: str, shape: Shape) -> None:
        """The table was read in a view at the position, before which it had the shape."""
        self._read.setdefault(position, {})[table] = shape

    def settle(self, position: int) -> None:
        """Everything up to the position is applied. Cheap where no view was read."""
        done = [view for view in self._read if view <= position]
        for view in sorted(done):
            for table, shape in self._read.pop(view).items():
                kept = [known for known in self._settled.get(table, []) if known[0] < view]
                self._settled[table] = [*kept[1 - SHAPES_KEPT :], (view, shape)]
        if done and self._path is not None:
            self._save(self._path)

    def shape(self, table: str, position: int) -> Shape | None:
        """As what the rows at the position were read."""
        return next((shape for view, shape in reversed(self._settled.get(table, [])) if view <= position), None)

    def _save(self, path: Path) -> None:
        tables = {
            table: [[view, dataclasses.astuple(shape)] for view, shape in known]
            for table, known in self._settled.items()
        }
        fresh = path.with_name(path.name + ".new")
        with contextlib.suppress(OSError):  # what is not remembered is read again
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                json.dump({"publication": self._name, "tables": tables}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(path)


def _load(path: Path | None, name: str) -> dict[str, list[tuple[int, Shape]]]:
    if path is None:
        return {}
    try:
        document = json.loads(path.read_bytes())
        if document.get("publication", document.get("slot")) != name:
            return {}
        return {
            table: [(int(view), Shape.of(shape)) for view, shape in known]
            for table, known in document["tables"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
