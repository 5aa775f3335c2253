"""Dividing the work among the control planes that share one PostgreSQL: each database is looked after by one of them.

A plane joins with an entry that it renews; leases hang on that entry. It is taken for dead when its process is gone,
or when it has not renewed its entry for a while although this plane could: then its process, which may only be
stopped, is killed, and its entry and leases are removed. From then on whatever it still tried to write would fail
(`Store.fence`), and as a process of this machine it can't start or stop anything twice. See decision 0008.

On SQLite there is one plane, which holds everything; nothing is written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from datetime import datetime, timedelta

import structlog

from reflexdb.control import peers
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import Conflict, LeaseLost, RecordsUnavailable
from reflexdb.records import leases
from reflexdb.records.rows import PlaneRow

log = structlog.get_logger()

_BEAT = 0.2
_EXPIRY = 0.6
"""Shares of the lease time: renewed at every beat; not renewed for this long, a plane is taken for dead at the next
beat but one, which is within the lease time."""


class Leases:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._mine: set[str] = set()
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[datetime, float]] = {}
        self.shared = rooms.store.is_shared
        """Whether there may be other planes."""
        self.beat_s = rooms.settings.lease_s * _BEAT
        self._expiry = timedelta(seconds=rooms.settings.lease_s * _EXPIRY)

    def join(self, site_id: str) -> None:
        """Become one of the planes. Raises Conflict where these records are used from elsewhere."""
        if not self.shared:
            return
        with self._rooms.store.write() as tx:
            known, directory = leases.ensure_site(tx, site_id, str(self._rooms.data_dir))
        if known != site_id:
            raise Conflict(
                f"these records belong to the data directory {directory}, which holds their secrets, images and "
                "instances; serve on that one, or on records of its own"
            )
        self._wait_for_other_hosts()
        with self._rooms.store.write() as tx:
            me = PlaneRow(
                id=self._rooms.owner,
                url=self._rooms.settings.base_url,
                host=peers.this_host(),
                process=peers.this_process(),
                expires_at=leases.clock(tx) + self._expiry,
            )
            leases.add_plane(tx, me)
        self._rooms.store.fence(self._rooms.owner)
        log.info("plane_joined", plane=me.id, process=me.process)

    def beat(self) -> bool:
        """Renew, and take over from planes that are dead; whether there were any. Raises LeaseLost."""
        try:
            with self._rooms.store.write(serial=False) as tx:
                now = leases.clock(tx)
                if not leases.renew(tx, self._rooms.owner, now + self._expiry):
                    raise LeaseLost("This control plane was taken for dead and another took its work; it ends")
                others = [plane for plane in leases.all_planes(tx) if plane.id != self._rooms.owner]
        except RecordsUnavailable:
            self._seen.clear()  # the others may have been as helpless: they get their time again
            raise
        buried = [self._bury(plane) for plane in others if self._is_dead(plane, now)]
        return any(buried)

    def mine(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._mine)

    def holds(self, name: str) -> bool:
        with self._lock:
            return not self.shared or name in self._mine

    def claim(self, names: Collection[str]) -> set[str]:
        """Take what nobody holds, and what the records say is ours; which are new."""
        if not self.shared or not names:
            return set()
        with self._rooms.store.write() as tx:
            got = leases.claim(tx, names, self._rooms.owner)
        with self._lock:
            got -= self._mine
            self._mine |= got
        return got

    def release(self, names: Collection[str]) -> None:
        """Leave to others what this plane has stopped looking after."""
        with self._rooms.store.write() as tx:
            leases.release(tx, names, self._rooms.owner)
        with self._lock:
            self._mine -= set(names)

    def leave(self) -> str | None:
        """Give up everything, at the end; the address of another plane, if there is one."""
        if not self.shared:
            return None
        with self._rooms.store.write() as tx:
            leases.leave(tx, self._rooms.owner)
            others = leases.all_planes(tx)
        self._rooms.store.fence(None)
        with self._lock:
            self._mine.clear()
        return others[0].url if others else None

    def _is_dead(self, plane: PlaneRow, now: datetime) -> bool:
        here = plane.host == peers.this_host()
        if here and peers.is_gone(plane.process):
            return True
        if not self._is_overdue(plane, now):
            return False
        log.warning("plane_overdue", plane=plane.id, process=plane.process, here=here)
        return not here or peers.end(plane.process)

    def _is_overdue(self, plane: PlaneRow, now: datetime) -> bool:
        """By the database's clock, and by how long this plane has seen nothing new of it: a clock may jump."""
        value, since = self._seen.get(plane.id, (None, 0.0))
        if value != plane.expires_at:
            self._seen[plane.id] = (plane.expires_at, time.monotonic())
            return False
        return plane.expires_at < now and time.monotonic() - since >= self._expiry.total_seconds()

    def _bury(self, plane: PlaneRow) -> bool:
        with self._rooms.store.write() as tx:
            buried = leases.bury(tx, plane)
        if buried:
            self._seen.pop(plane.id, None)
            log.warning("plane_taken_over", plane=plane.id, process=plane.process)
        return buried

    def _wait_for_other_hosts(self) -> None:
        """Planes of another machine can't be looked at: they have their lease time to show that they live."""
        here, deadline = peers.this_host(), time.monotonic() + self._rooms.settings.lease_s
        while True:
            with self._rooms.store.read() as tx:
                now, planes = leases.clock(tx), leases.all_planes(tx)
            others = [plane for plane in planes if plane.host != here]
            for plane in planes:
                if plane.expires_at < now if plane.host != here else peers.is_gone(plane.process):
                    self._bury(plane)
                    others = [each for each in others if each.id != plane.id]
            if not others:
                return
            if time.monotonic() > deadline:
                raise Conflict(
                    f"a control plane on another machine uses these records and is alive ({others[0].url}); "
                    "instances are processes of one machine, so end it first"
                )
            time.sleep(0.2)
