"""Rebuilding by itself where a source's definitions changed.

Every instance says of its source's definitions one short text; here it is seen when it becomes another. Once it has
stayed the same for a while (several ALTERs make one rebuild), the source is described and planned as the serving build
was: only where that gives another image is there anything to take in, and then a rebuild is begun as a person would,
with the difference as its reason. One that fails, or does not help, is tried again ever more seldom, and it is said so.
A thread of control calls `look`; health reports what it sees by `seen`. What must survive is in the records.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.build.plan import make_plan
from reflexdb.control.actions import Actions
from reflexdb.control.audit import note
from reflexdb.control.connections import source_address
from reflexdb.control.databases import found
from reflexdb.control.leases import Leases
from reflexdb.control.making import refusal
from reflexdb.control.origin import Origin, acting
from reflexdb.control.rooms import Rooms
from reflexdb.deploy.base import Observation
from reflexdb.model.config import parse_config
from reflexdb.model.errors import BreakingChange, ReflexError
from reflexdb.model.lifecycle import Action, Status
from reflexdb.model.plan_changes import told
from reflexdb.model.vanished import vanished
from reflexdb.records import auto_rebuilds, builds, connections, databases, deployments, jobs
from reflexdb.records.rows import AutoRebuildRow, BuildRow, DatabaseRow, DeploymentRow
from reflexdb.sources.apart import Introspect

CALM = timedelta(seconds=10)
"""Definitions that stayed the same so long are believed to be final."""
FIRST_WAIT = timedelta(minutes=1)
"""From one rebuild of ours to the next; twice that for each that did not help."""
LONGEST_WAIT = timedelta(hours=6)
_SAID_MAX = 500
_FROM = (Status.RUNNING, Status.FAILED)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an instance says of its source's definitions, and since when."""

    deployment_id: str
    definitions: str
    since: datetime


@dataclass(frozen=True, slots=True)
class _Subject:
    row: DatabaseRow
    serving: DeploymentRow
    build: BuildRow


class AutoRebuild:
    def __init__(self, rooms: Rooms, actions: Actions, leases: Leases) -> None:
        self._rooms = rooms
        self._actions = actions
        self._leases = leases
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def state(self, customer_id: str, database_id: str) -> AutoRebuildRow | None:
        """None for a database that was never told to. Raises NotFound."""
        with self._rooms.store.read() as tx:
            return auto_rebuilds.get(tx, found(tx, customer_id, database_id).id)

    def enable(self, customer_id: str, database_id: str, *, enabled: bool) -> None:
        """Turn it on or off; turned on, what was given up before is tried anew."""
        with self._rooms.store.write() as tx:
            row = found(tx, customer_id, database_id)
            former = auto_rebuilds.get(tx, row.id)
            was = former is not None and former.enabled
            if was == enabled:
                return
            now = self._rooms.now()
            auto_rebuilds.put(tx, row.id, now, enabled=enabled, definitions=None, tries=0, tried_at=None, said=None)
            before, after = {"auto_rebuild": was}, {"auto_rebuild": enabled}
            note(tx, now, customer_id, "database.auto_rebuild", row.id, before=before, after=after)

    def seen(self, database_id: str, observation: Observation | None) -> None:
        """An instance was looked at."""
        if observation is None or not (definitions := observation.sync.get("definitions")):
            return
        deployment_id = observation.deployed.deployment_id
        with self._lock:
            known = self._seen.get(database_id)
            if known is None or (known.deployment_id, known.definitions) != (deployment_id, definitions):
                self._seen[database_id] = _Seen(deployment_id, str(definitions), self._rooms.now())

    def look(self) -> None:
        """Begin the rebuilds that are due."""
        with self._rooms.store.read() as tx:
            rows = auto_rebuilds.enabled(tx)
        now = self._rooms.now()
        for row in rows:
            with self._lock:
                seen = self._seen.get(row.database_id)
            if seen is not None and self._leases.holds(row.database_id) and _is_due(row, seen, now):
                self._one(row, seen)

    def _one(self, known: AutoRebuildRow, seen: _Seen) -> None:
        with self._rooms.store.read() as tx:
            subject = self._subject(tx, known.database_id, seen)
            held = why_held(tx, subject) if subject else None
        if subject is None:
            return
        if held is not None:
            self._note(known, seen, tries=0, said=held)
            return
        try:
            change = self._change(subject)
        except BreakingChange as exc:
            self._note(known, seen, tries=0, said=exc.message)
            return
        except ReflexError as exc:
            self._tried(known, seen, f"the changed definitions can't be built: {exc.message}")
            return
        if change:
            self._rebuild(known, seen, subject.row, change)
        else:
            self._note(known, seen, tries=0, said=None)

    def _subject(self, tx: Tx, database_id: str, seen: _Seen) -> _Subject | None:
        """What may be rebuilt now; None where something else is under way, or nothing serves what was seen."""
        row, serving = databases.by_id(tx, database_id), deployments.serving(tx, database_id)
        if row.status not in _FROM or row.desired_state is not None or jobs.of_database(tx, row.id) is not None:
            return None
        if serving is None or serving.id != seen.deployment_id:
            return None
        return _Subject(row, serving, builds.by_id(tx, serving.build_id))

    def _change(self, subject: _Subject) -> str:
        """What a rebuild would take in: the source as it is now, planned by the serving build's configuration. Raises
        BreakingChange where it would serve less."""
        if subject.build.image_digest is None:
            return ""
        served = self._rooms.images.plan(subject.build.image_digest)
        with self._rooms.store.read() as tx:
            connection = connections.by_id(tx, subject.row.connection_id)
        question = Introspect(source_address(self._rooms, connection), subject.row.schema_name)
        schema = self._rooms.asking.ask(question)
        text = subject.build.config_text
        planned = make_plan(schema, None if text is None else parse_config(text)).plan
        if gone := vanished(served, planned, schema):
            raise BreakingChange(refusal(gone))
        return told(served, planned)

    def _rebuild(self, known: AutoRebuildRow, seen: _Seen, row: DatabaseRow, change: str) -> None:
        reason = f"the source's definitions changed: {change}"
        tries = known.tries + 1 if known.definitions == seen.definitions else 1
        said = None if tries == 1 else f"rebuild number {tries} for the same change: {change}"
        self._note(known, seen, tries=tries, said=said, tried=True)  # first: one that can't be written must not loop
        try:
            with acting(Origin("schema_change", reason=reason)):
                self._actions.request(row.customer_id, row.id, Action.REBUILD)
        except ReflexError as exc:
            self._note(known, seen, tries=tries, said=f"no rebuild was begun: {exc.message}", tried=True)
            log.warning("auto_rebuild_refused", database=row.id, reason=exc.message)
        else:
            log.info("auto_rebuild", database=row.id, reason=reason, tries=tries)

    def _tried(self, known: AutoRebuildRow, seen: _Seen, said: str) -> None:
        tries = known.tries + 1 if known.definitions == seen.definitions else 1
        self._note(known, seen, tries=tries, said=said, tried=True)
        log.warning("auto_rebuild_not_possible", database=known.database_id, reason=said)

    def _note(self, known: AutoRebuildRow, seen: _Seen, *, tries: int, said: str | None, tried: bool = False) -> None:
        now = self._rooms.now()
        values: Mapping[str, Any] = {"tried_at": now} if tried else {}
        judged = {"deployment_id": seen.deployment_id, "definitions": seen.definitions, "tries": tries}
        with self._rooms.store.write() as tx:
            said = said[:_SAID_MAX] if said else None
            auto_rebuilds.put(tx, known.database_id, now, **judged, said=said, **values)


def wait_after(tries: int) -> timedelta:
    """How long to leave it alone after so many rebuilds for the same definitions."""
    doubled: int = 1 << min(max(tries - 1, 0), 20)
    return min(FIRST_WAIT * doubled, LONGEST_WAIT)


def why_held(tx: Tx, subject: _Subject) -> str | None:
    """Why the database stays with its build until a person says otherwise; None where it need not."""
    chosen = jobs.last_chosen(tx, subject.row.id)
    if chosen is None or chosen.action != Action.REDEPLOY.value:
        return None
    if builds.newest_with_image(tx, subject.row.id) == subject.serving.build_id:
        return None
    return "an earlier build was deployed again by hand; the next rebuild asked for turns this on again"


def _is_due(row: AutoRebuildRow, seen: _Seen, now: datetime) -> bool:
    if now - seen.since < CALM:
        return False
    same = row.definitions == seen.definitions
    if same and row.deployment_id == seen.deployment_id and row.tries == 0:
        return False  # judged already: it is what serves, or it is held
    wait = wait_after(row.tries if same else 1)
    return row.tried_at is None or now - row.tried_at >= wait
