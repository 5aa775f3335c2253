"""How an instance follows its source: chosen when it is deployed, and what that left at the source removed afterwards.

A source whose changes can be followed is followed, unless the connection asks for `poll`. Whatever stands in the way
goes into the build's log in words a person can act on; where the connection names the way itself, it is an error. A
slot at the source outlives the instance that read it and keeps the source's log for ever, so each is written down
before it can exist and forgotten only when it is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing, suppress

import structlog

from reflexdb.control.rooms import Rooms
from reflexdb.control.wanted import AUTO, address
from reflexdb.model.errors import DeployFailed, ReflexError, SourceError
from reflexdb.model.plan import Plan
from reflexdb.records import deployments
from reflexdb.records.rows import DeploymentRow
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import Follower, FollowOptions

log = structlog.get_logger()

POLL = "poll"


def options_for(deployment_id: str, server_id: int | None) -> FollowOptions:
    """How a deployment's follower presents itself; `server_id` is the database's own, where one was chosen."""
    digest = hashlib.sha256(deployment_id.encode()).digest()
    derived = int.from_bytes(digest[:4], "big") | 1 << 31
    return FollowOptions(f"reflexdb_{deployment_id.replace('-', '')}", server_id or derived)


class Capture:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def choose(
        self, wanted: str, plan: Plan, source: SourceAddress, options: FollowOptions, note: Callable[[str], None]
    ) -> str:
        """The mode to run with. Raises DeployFailed where `wanted` names one that is not possible."""
        follower = None if wanted == POLL else self._rooms.follower(source, plan.schema, options)
        if follower is None:
            return POLL
        with closing(follower):
            try:
                issues: tuple[str, ...] = follower.preflight(plan)
            except SourceError as exc:
                if wanted != AUTO:
                    raise
                issues = (exc.message,)
            if not issues:
                note(f"sync: following the source ({follower.mode})")
                self._warn(follower, plan, note)
                return follower.mode
        if wanted != AUTO:
            raise DeployFailed("preflight", f"syncMode {wanted} is not possible: {' '.join(issues)}")
        note("sync: the source can't be followed, so it is polled:")
        for issue in issues:
            note(f"sync: {issue}")
        return POLL

    @staticmethod
    def _warn(follower: Follower, plan: Plan, note: Callable[[str], None]) -> None:
        """Say what could be better; that it can't be asked stops nothing."""
        with suppress(SourceError):
            for warning in follower.warnings(plan):
                note(f"sync: {warning}")

    def release(self, database_id: str | None = None) -> None:
        """Remove from the sources what retired deployments left there; of every database where none is named."""
        with self._rooms.store.read() as tx:
            left = deployments.unreleased(tx, database_id)
        for row in left:
            try:
                self._release(row)
            except (ReflexError, OSError) as exc:
                log.warning("capture_not_released", database=row.database_id, deployment=row.id, reason=str(exc))

    def _release(self, row: DeploymentRow) -> None:
        ref = row.password_ref
        password = self._rooms.secrets.get(ref).decode() if ref else ""
        assert row.capture_schema is not None
        source = address(row.settings, password)
        follower = self._rooms.follower(source, row.capture_schema, options_for(row.id, None))
        if follower is not None:
            with closing(follower):
                follower.drop()
        with self._rooms.store.write() as tx:
            deployments.change(tx, row.id, self._rooms.now(), capture_schema=None)
