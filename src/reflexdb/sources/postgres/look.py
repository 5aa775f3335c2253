"""The look at the catalog beside the stream: which tables are not what they were when they were read.

Replication says nothing of most changes of definitions and of none of rights, so the catalog is asked at a fixed pace,
and at once after a transaction whose rows are described differently. Most looks cost one statement: while the server's
visible transactions are the same, so is its catalog. Used by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from reflexdb.sources.postgres.catalog import Catalog
from reflexdb.sources.postgres.fingerprint import Shape
from reflexdb.sources.postgres.membership import Membership
from reflexdb.sources.postgres.shapes import Memory

LOOK_EVERY_S = 5.0
"""How long a change that the stream does not tell may go unnoticed."""
REST_FACTOR = 50
"""A look that took long is followed by so many times its length of rest: the stream waits for it meanwhile."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A planned table whose rows or definition are not what they were."""

    table: str
    what: str
    is_redefined: bool
    """It has to be seen whether the table still has what is planned; else it is only read again."""


class Look:
    """One stream's."""

    def __init__(
        self, catalog: Catalog, memory: Memory, members: Membership, publication: str, slot: str, *, trusts: bool
    ) -> None:
        """`trusts`: a table without a remembered fingerprint is what it was."""
        self.memory = memory
        self.warning: str | None = None
        """Of the tables that left the publication, or of the slot."""
        self.state: str | None = None
        """The state of the catalog at the last look that was completed."""
        self._catalog = catalog
        self._members = members
        self._left: str | None = None
        """What the publication lacked at the last look that asked for it."""
        self._publication = publication
        self._slot = slot
        self._trusts = trusts
        self._not_before = 0.0
        self._suspects: set[str] = set()
        self._told: dict[str, Shape] = {}
        self._harmless: dict[str, Shape] = {}
        """Different in nothing that counts, once the stream is beyond it."""

    def begin(self) -> None:
        """Before the first change is taken."""
        self._catalog.followed = self._members.followed()

    def suspect(self, table: str) -> None:
        """The stream described the table's columns differently than before, or than they are: look soon."""
        self._suspects.add(table)
        self._not_before = 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self._not_before

    def findings(self, position: int) -> list[Finding]:
        """Tables that must be read again though they are read up to the position, each once a difference. Raises
        SourceError where the publication lacks what only its owner can give it."""
        began = time.monotonic()
        self._not_before = began + LOOK_EVERY_S
        self.memory.settle(position)
        state, kept = self._catalog.pulse(self._slot)
        self.warning = self._left or kept
        if state == self.state and not self._suspects:
            return []
        found = [Finding(name, what, is_redefined=False) for name, what in self._members.look()]
        self._left = self._members.warning()
        self.warning = self._left or kept
        found += [Finding(name, what, is_redefined=True) for name, what in self._catalog.changes()]
        known = {finding.table for finding in found}
        found += [
            Finding(name, what, is_redefined=False) for name, what in self._differences(position) if name not in known
        ]
        self.state, ended = state, time.monotonic()
        self._not_before = max(self._not_before, ended + (ended - began) * REST_FACTOR)
        return found

    def _differences(self, position: int) -> Iterator[tuple[str, str]]:
        suspects, self._suspects = self._suspects, set()
        shapes = self._catalog.shapes(self._publication)
        reached = self._catalog.reached()
        for name, now in shapes.items():
            before = self.memory.shape(name, position)
            if now in (before, self._told.get(name)) or (now == self._harmless.get(name) and name not in suspects):
                continue
            reason = self._reason(before, now, suspect=name in suspects)
            if reason is None:
                self._harmless[name] = now
                self.memory.read(max(reached, position), name, now)
            else:
                self._told[name] = now
                yield name, reason

    def _reason(self, before: Shape | None, now: Shape, *, suspect: bool) -> str | None:
        if before is None:
            return None if self._trusts else "it is not known how it was read"
        return now.since(before, self._catalog.filled(now.files.keys() - before.files.keys()), suspect=suspect)
