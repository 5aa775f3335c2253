"""A database put into any status straight in the records, with everything beside it that the status implies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select

from reflexdb.build.store import DirectoryStore
from reflexdb.control.control import Control
from reflexdb.control.databases import found
from reflexdb.control.rooms import new_id
from reflexdb.control.wanted import wanted
from reflexdb.model.lifecycle import Desired, Status
from reflexdb.model.plan import SyncSettings
from reflexdb.records import accounts, builds, connections, databases, deployments
from reflexdb.records.columns import metadata
from reflexdb.records.rows import DatabaseRow
from reflexdb.records.tables import builds as builds_table
from reflexdb.records.tables import databases as databases_table
from reflexdb.records.tables import deployments as deployments_table
from reflexdb.records.tables import jobs as jobs_table
from tests.build.images import image

_SERVED_ONCE = frozenset(
    {Status.RUNNING, Status.PAUSED, Status.PAUSING, Status.RESUMING, Status.FAILED, Status.TERMINATING}
)
_SERVES = frozenset({Status.RUNNING, Status.PAUSING, Status.TERMINATING})


@dataclass
class Situation:
    """One database of a control that is not started: what is put here stays until a test changes it."""

    control: Control
    database: str
    build: str = field(default_factory=new_id)

    def put(
        self, status: Status, *, has_image: bool = True, desired: Desired | None = None, served: bool = True
    ) -> None:
        """Forget what was, and be in `status` with nothing under way.

        Without `served` no deployment is on record, and a reconciler finds nothing amiss where none runs.
        """
        store, now = self.control.rooms.store, self.control.rooms.now()
        images = self.control.rooms.images
        assert isinstance(images, DirectoryStore)
        digest = image().manifest.digest
        if images.verify(digest) is not has_image:
            images.put(image()) if has_image else images.remove(digest)
        with store.write() as tx:
            mine = select(builds_table.c.id).where(builds_table.c.database_id == self.database)
            for table in metadata.tables.values():  # whoever else refers to a build: what it cost, say
                if "build_id" in table.c and "database_id" not in table.c:
                    tx.execute(delete(table).where(table.c.build_id.in_(mine)))
            for table in (jobs_table, deployments_table, builds_table):
                tx.execute(delete(table).where(table.c.database_id == self.database))
            wish = desired.value if desired else None
            values = {"status": status.value, "desired_state": wish, "instance_size": "nano", "log_level": "info"}
            databases.change(tx, self.database, now, last_error=None, deleted_at=None, **values)
            made = {"image_digest": digest, "image_uri": images.uri(digest), "finished_at": now}
            builds.add(tx, id=self.build, database_id=self.database, status="succeeded", created_at=now, **made)
            if served and status in _SERVED_ONCE:
                row = databases.by_id(tx, self.database)
                settings = wanted(row, connections.by_id(tx, row.connection_id), SyncSettings(), 5)
                settings["syncMode"] = "poll"  # what a SQLite source is deployed with
                times = {"created_at": now, "updated_at": now, "serving_at": now}
                retired = None if status in _SERVES else now
                deployments.add(
                    tx,
                    id=new_id(),
                    database_id=self.database,
                    build_id=self.build,
                    settings=settings,
                    retired_at=retired,
                    endpoint_url="http://127.0.0.1:1",
                    **times,
                )

    def row(self) -> DatabaseRow:
        with self.control.rooms.store.read() as tx:
            customer = accounts.first_customer(tx)
            assert customer is not None
            return found(tx, customer.id, self.database)

    def everything(self) -> list[Any]:
        """Whatever is recorded of the database; what the health poll notes is left out."""
        with self.control.rooms.store.read() as tx:
            rows = list(tx.execute(select(databases_table).where(databases_table.c.id == self.database)))
            for table in (jobs_table, builds_table):
                rows += tx.execute(select(table).where(table.c.database_id == self.database).order_by(table.c.id))
        return rows
