"""Databases as lists show them, for accounts with a thousand of them: what did not change is not read again.

A list asks the records for a few columns of every database, which tell whether anything that it shows has changed, and
reads only those that did. Held in memory for the databases that were listed, at most `_MAX_HELD`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control.wanted import sync_settings, wanted
from reflexdb.records import connections, databases, deployments
from reflexdb.records.pages import Page
from reflexdb.records.rows import DatabaseRow, DeploymentRow

_MAX_HELD = 20_000


@dataclass(frozen=True, slots=True)
class ListedDatabase:
    row: DatabaseRow
    settings: Mapping[str, Any]
    """What an instance started now would run with."""
    serving: DeploymentRow | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A database as a list shows it, and its place in the list."""

    place: tuple[datetime, str]
    shown: bytes


class Listing:
    """Safe to use from any thread. `show` makes of a database what is held of it."""

    def __init__(self, min_sync_interval_s: int) -> None:
        self._least = min_sync_interval_s
        self._held: dict[str, tuple[tuple[Any, ...], bytes]] = {}
        self._lock = threading.Lock()

    def of(
        self,
        tx: Tx,
        customer_id: str,
        show: Callable[[ListedDatabase], bytes],
        page: Page,
        statuses: Collection[str] | None,
    ) -> list[Shown]:
        """What is shown of the account's databases, oldest first."""
        versions = {version[0]: tuple(version) for version in databases.versions(tx, customer_id, page, statuses)}
        with self._lock:
            held = {each: self._held[each] for each in versions if each in self._held}
        stale = [each for each, version in versions.items() if each not in held or held[each][0] != version]
        for listed in self._read(tx, stale):
            held[listed.row.id] = (versions[listed.row.id], show(listed))
        if stale:
            with self._lock:
                if len(self._held) + len(stale) > _MAX_HELD:
                    self._held.clear()
                self._held |= {each: held[each] for each in stale}
        return [Shown((version[1], each), held[each][1]) for each, version in versions.items()]

    def _read(self, tx: Tx, ids: list[str]) -> list[ListedDatabase]:
        rows, serving = databases.these(tx, ids), deployments.serving_of(tx, ids)
        sources = {each: connections.by_id(tx, each) for each in {row.connection_id for row in rows}}
        return [
            ListedDatabase(
                row,
                wanted(row, sources[row.connection_id], sync_settings(row.config_text), self._least),
                serving.get(row.id),
            )
            for row in rows
        ]
