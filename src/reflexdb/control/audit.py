"""Who changed what: one entry for every change that was accepted, written in the change's own transaction.

Called by every part of control that changes something; read by the API. Before and after hold the changed columns
alone, and of those none that is a secret or leads to one: that a password was set is told, never what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Connection as Tx

from reflexdb.control.origin import origin
from reflexdb.control.rooms import Rooms
from reflexdb.records import audit
from reflexdb.records.audit import AuditFilter
from reflexdb.records.rows import AuditRow

_LEFT_OUT = frozenset({"secret_hash", "updated_at", "schedule_checked_at", "customer_id"})


class Audit:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def entries(self, customer_id: str, wanted: AuditFilter, limit: int) -> tuple[list[AuditRow], bool]:
        """Newest first, and whether there are older ones that fit."""
        with self._rooms.store.read() as tx:
            page = audit.chosen(tx, customer_id, wanted, limit + 1)
        return page[:limit], len(page) > limit


def note(
    tx: Tx,
    now: datetime,
    customer_id: str,
    action: str,
    target_id: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """`action` is `<kind of target>.<what was done>`."""
    who = origin()
    audit.add(
        tx,
        customer_id=customer_id,
        at=now,
        trigger=who.trigger,
        key_id=who.key_id,
        key_name=who.key_name,
        address=who.address,
        request_id=who.request_id,
        action=action,
        target_type=action.partition(".")[0],
        target_id=target_id,
        before=_told(before),
        after=_told(after),
    )


def note_change(tx: Tx, now: datetime, customer_id: str, action: str, row: Any, changes: Mapping[str, Any]) -> None:
    """A change of columns of one row, as it was and as it is."""
    before = {name: getattr(row, name) for name in changes}
    note(tx, now, customer_id, action, row.id, before=before, after=changes)


def _told(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    told = {}
    for name, value in values.items():
        if name == "password_ref":
            told["password"] = None if value is None else "(set)"
        elif name not in _LEFT_OUT:
            told[name] = _plain(value)
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return dict(value) if isinstance(value, Mapping) else value
