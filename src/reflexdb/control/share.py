"""Which databases this plane takes, and which it leaves to others, where several share the records.

A plane takes a database that nobody holds and that needs somebody: a job that could go on here, an instance to look
after, a wish or a schedule that is due, something left on disk. It leaves one as soon as nothing of it is here to look
after, so that a job which waits for a build slot goes to whoever has one. Called at the end of every tick, in the
thread that starts all work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from reflexdb.control.leases import Leases
from reflexdb.control.rooms import Rooms
from reflexdb.model.lifecycle import STABLE
from reflexdb.model.schedule import latest_due
from reflexdb.records import deployments
from reflexdb.records import leases as records
from reflexdb.records.rows import DatabaseRow, JobRow


class Share:
    def __init__(self, rooms: Rooms, leases: Leases, wake: threading.Event) -> None:
        self._rooms = rooms
        self._leases = leases
        self._wake = wake
        self._on_disk: set[str] = set()

    def out(
        self,
        rows: Sequence[DatabaseRow],
        unfinished: Mapping[str, JobRow],
        busy: Collection[str],
        can_run: Callable[[DatabaseRow], bool],
        *,
        looked: bool,
    ) -> None:
        if looked:
            self._on_disk = set(self._rooms.deployer.known())
        mine = self._leases.mine()
        needed = {row.id for row in rows if self._is_needed(row, unfinished.get(row.id), can_run)}
        with self._rooms.store.read() as tx:
            needed |= deployments.serving_ids(tx).keys() | self._on_disk
        if unneeded := mine - needed - set(busy):
            for database_id in unneeded:
                self._rooms.deployer.leave(database_id)
            self._leases.release(unneeded)
        with self._rooms.store.read() as tx:
            holders = records.holders(tx)
        free = {each for each in needed - mine if holders.get(each, self._rooms.owner) == self._rooms.owner}
        if taken := self._leases.claim(free):
            for database_id in taken:
                self._rooms.deployer.keep(database_id)
            self._wake.set()  # what was read before they were ours may be old

    def _is_needed(self, row: DatabaseRow, job: JobRow | None, can_run: Callable[[DatabaseRow], bool]) -> bool:
        if job is not None:
            return can_run(row)
        if row.desired_state is not None and row.status in STABLE:
            return True
        if row.pause_schedule is None or row.status not in STABLE:
            return False
        now = self._rooms.now()
        return latest_due(row.pause_schedule, row.schedule_checked_at or now, now) is not None
