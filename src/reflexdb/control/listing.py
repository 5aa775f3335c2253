"""Databases as lists show them, for accounts with a thousand of them: what did not change is not read again.

A list asks the records for one text that is another whenever anything shown of any database is another. Where it is
the same as last time, so is the answer; where it differs, the databases whose part of it differs are read, and no
others. Nothing is held on trust: each answer begins with what the records say now, whoever wrote it, unless nothing
at all was committed since. Held in memory for the databases that were listed, at most `_MAX_HELD`, and of the answers
at most `_MAX_BYTES`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control.held import Held
from reflexdb.control.wanted import sync_settings, wanted
from reflexdb.records import connections, databases, deployments
from reflexdb.records.columns import BETWEEN_ROWS
from reflexdb.records.pages import EVERYTHING, Page
from reflexdb.records.rows import DatabaseRow, DeploymentRow

_MAX_HELD = 20_000
_MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class ListedDatabase:
    row: DatabaseRow
    settings: Mapping[str, Any]
    """What an instance started now would run with."""
    serving: DeploymentRow | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A database as a list shows it, and its place in the list."""

    created_at: str
    """As stored."""
    id: str
    shown: bytes

    @property
    def place(self) -> tuple[datetime, str]:
        return datetime.fromisoformat(self.created_at), self.id


@dataclass(frozen=True, slots=True)
class _Whole:
    """All of an account's databases."""

    state: int | None
    """Of the records, when they said this; None where that can't be told."""
    said: str
    shown: bytes


Show = Callable[[ListedDatabase], bytes]
"""What is held of a database; it must depend on nothing else."""


class Listing:
    """Safe to use from any thread."""

    def __init__(self, min_sync_interval_s: int) -> None:
        self._least = min_sync_interval_s
        self._held: dict[str, Shown] = {}
        """By what the records say of a database, all of which is in what is shown or decides it."""
        self._whole: Held[_Whole] = Held(_MAX_BYTES, lambda held: len(held.said) + len(held.shown))
        self._lock = threading.Lock()

    def known(self, customer_id: str, state: int | None) -> bytes | None:
        """The whole list, where it was made in this state of the records."""
        held = self._whole.get(customer_id)
        return held.shown if held is not None and state is not None and held.state == state else None

    def whole(self, tx: Tx, customer_id: str, show: Show, state: int | None) -> bytes:
        """The JSON array of all of the account's databases, oldest first; `state` was taken before `tx` began."""
        said = databases.versions(tx, customer_id, EVERYTHING, None)
        held = self._whole.get(customer_id)
        if held is not None and held.said == said:
            shown = held.shown
        else:
            shown = b"[" + b",".join(each.shown for each in self._shown(tx, said, show)) + b"]"
        self._whole.put(customer_id, _Whole(state, said, shown))
        return shown

    def of(self, tx: Tx, customer_id: str, show: Show, page: Page, statuses: Collection[str] | None) -> list[Shown]:
        """What is shown of some of the account's databases, oldest first."""
        return self._shown(tx, databases.versions(tx, customer_id, page, statuses), show)

    def _shown(self, tx: Tx, text: str, show: Show) -> list[Shown]:
        versions = text.split(BETWEEN_ROWS) if text else []
        with self._lock:
            held = {version: self._held[version] for version in versions if version in self._held}
        news: dict[str, tuple[str, str]] = {}
        """By the id: what the records say, and when it was created, as stored."""
        for version in versions:
            if version not in held:
                created_at, database_id, *_ = json.loads(version)
                news[database_id] = version, created_at
        for each in self._read(tx, list(news)):
            version, created_at = news[each.row.id]
            held[version] = Shown(created_at, each.row.id, show(each))
        with self._lock:
            self._held |= held
            if len(self._held) > _MAX_HELD:
                self._held = held
        return [held[version] for version in versions]

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
