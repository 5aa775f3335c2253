"""Which images stay: the newest of each database, those that are pinned, and whatever is or may be deployed.

Called by control now and then, and by the API to pin. An image goes only under the records' write lock, at a moment in
which no job is under way: nothing can be built, reused or deployed meanwhile. It is decided anew from the records each
time, so that a kill at any instant leaves images that go the next time. The builds stay in the history, and say that
their image is no longer stored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice

import structlog
from sqlalchemy import Connection as Tx

from reflexdb.control.audit import note
from reflexdb.control.evidence import build_of
from reflexdb.control.images import Images
from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import Conflict
from reflexdb.records import builds, databases, deployments, jobs
from reflexdb.records.rows import BuildRow

log = structlog.get_logger()

MAX_PINNED = 100
"""Of one database."""
HOLD_S = 0.1
"""So long nobody else writes while images are removed, and a file's time more."""
PAUSE_S = 0.15
"""Longer than SQLite's writers sleep between their tries."""


class Retention:
    def __init__(self, rooms: Rooms, images: Images) -> None:
        self._rooms = rooms
        self._images = images

    def pin(self, customer_id: str, database_id: str, build_id: str) -> BuildRow:
        """Keep the build's image until it is unpinned. Raises NotFound, Conflict where there is no image to keep."""
        with self._rooms.store.write() as tx:
            build = build_of(tx, customer_id, database_id, build_id)
            if build.pinned_at is not None:
                return build
            why_not = self._images.why_not(build)
            if why_not is not None:
                raise Conflict(f"There is nothing to pin: {why_not}")
            if builds.pinned(tx, build.database_id) >= MAX_PINNED:
                raise Conflict(f"{MAX_PINNED} builds of this database are pinned; unpin one first")
            self._change(tx, customer_id, build, pinned=True)
            return builds.by_id(tx, build.id)

    def unpin(self, customer_id: str, database_id: str, build_id: str) -> None:
        """Raises NotFound."""
        with self._rooms.store.write() as tx:
            build = build_of(tx, customer_id, database_id, build_id)
            if build.pinned_at is not None:
                self._change(tx, customer_id, build, pinned=False)

    def sweep(self) -> list[str]:
        """Remove the images that need not stay; their digests. Nothing where a job is under way anywhere."""
        keep = self._rooms.settings.keep_images
        with self._rooms.store.read() as tx:  # also reads what has to be read of images, before anybody waits for it
            if not self._spare(tx, keep):
                return []
        gone: list[str] = []
        while some := self._removed(keep, {*gone}):
            gone += some
            time.sleep(PAUSE_S)
        return gone

    def _removed(self, keep: int, before: set[str]) -> list[str]:
        """A few of them: a disk may take its time with each file, and whoever wants to write waits meanwhile."""
        gone: list[str] = []
        with self._rooms.store.write() as tx:
            if jobs.unfinished(tx):
                return gone
            began = time.monotonic()
            for digest in sorted(self._spare(tx, keep) - before):
                self._rooms.images.remove(digest)
                log.info("image_removed", digest=digest)
                gone.append(digest)
                if time.monotonic() - began > HOLD_S:
                    break
        return gone

    def _spare(self, tx: Tx, keep: int) -> set[str]:
        """Stored images that no database needs; where all are kept, only what builds made that then failed."""
        stored, others = self._images.stored(), builds.other_images(tx)
        made = stored & builds.image_digests(tx)
        abandoned = (stored & self._rooms.images.made()) - made - _all(others)
        if keep == 0:
            return abandoned
        needed = builds.pinned_images(tx) | deployments.image_digests(tx)
        for database_id in databases.alive(tx, builds.makers(tx, made - needed)):
            good = (each for each in builds.images(tx, database_id) if each in made and self._images.usable(each))
            needed |= set(islice(good, keep))
        stay = made & needed
        beside = {each for digest in stay for each in others.get(digest, ())}
        spare_others = (_all(others) & stored) - beside - stay  # these go with the last image they were made with
        return abandoned | (made - needed) | spare_others

    def _change(self, tx: Tx, customer_id: str, build: BuildRow, *, pinned: bool) -> None:
        now = self._rooms.now()
        builds.change(tx, build.id, pinned_at=now if pinned else None)
        before, after = {"pinned": not pinned}, {"pinned": pinned}
        note(tx, now, customer_id, f"build.{'pin' if pinned else 'unpin'}", build.id, before=before, after=after)


def _all(others: Mapping[str, set[str]]) -> set[str]:
    return set().union(*others.values())
