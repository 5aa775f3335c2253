"""What a database's instance serves, by the image that was deployed last. Used by builds and automatic rebuilds."""

from __future__ import annotations

import structlog

from reflexdb.control.rooms import Rooms
from reflexdb.model.errors import ReflexError
from reflexdb.model.plan import Plan
from reflexdb.records import builds, deployments

log = structlog.get_logger()


class Serving:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def plan(self, database_id: str) -> Plan | None:
        """None where nothing has served yet, or the image can't be read any more."""
        with self._rooms.store.read() as tx:
            last = deployments.last_served(tx, database_id)
            build = None if last is None else builds.by_id(tx, last.build_id)
        if build is None or build.image_digest is None:
            return None
        try:
            return self._rooms.images.plan(build.image_digest)
        except ReflexError as exc:
            log.warning("served_plan_unreadable", database=database_id, build=build.id, error=exc.message)
            return None
