"""The fingerprints that tables had when they were read, remembered with the positions of the views they were read in.

`Memory` keeps them in a file if it is given one. A stream that begins at a position compares with what was read at or
before it, so that what happened while no process ran is not missed. A table without a remembered fingerprint is not
trusted. Knows no connection.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path

from reflexdb.sources.postgres.fingerprint import Shape

SHAPES_KEPT = 8
"""Of one table; a server that goes back further than that reads it again."""


class Memory:
    """One follower's."""

    def __init__(self, path: Path | None, name: str) -> None:
        """`name` is the publication's: what was remembered of another one does not count."""
        self._path, self._name = path, name
        self._read: dict[int, dict[str, Shape]] = {}
        """By position: the shapes of tables that were read in a view there, or that became harmlessly different."""
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
