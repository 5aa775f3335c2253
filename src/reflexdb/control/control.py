"""Control as a whole: what the API calls, and the threads that carry it out.

`Control(rooms)` puts the parts together; `start` adopts what runs and begins to reconcile; `stop` ends that and
leaves instances running. One per data directory, which the caller has locked.
"""

from __future__ import annotations

import threading
import time

import structlog

from reflexdb.control.accounts import Accounts
from reflexdb.control.actions import Actions
from reflexdb.control.audit import Audit
from reflexdb.control.build_log import log_path
from reflexdb.control.capture import Capture
from reflexdb.control.connections import Connections
from reflexdb.control.databases import Databases, DatabaseView, found
from reflexdb.control.health import Health
from reflexdb.control.images import Images
from reflexdb.control.keys import Keys
from reflexdb.control.past import Past
from reflexdb.control.reconciler import Reconciler
from reflexdb.control.repeats import Repeats
from reflexdb.control.rooms import Rooms, canonical_id
from reflexdb.control.wanted import address
from reflexdb.control.worker import Worker
from reflexdb.deploy.base import ApiKeySet
from reflexdb.model.errors import NotFound
from reflexdb.model.lifecycle import Action, Availability
from reflexdb.records import builds, deployments, jobs
from reflexdb.sources.base import SourceAddress

log = structlog.get_logger()

_RELEASE_EVERY_S = 60.0

_STOP_LIMIT_S = 10.0
"""How long a step at hand may take to end when the control plane stops; what takes longer is done at the next start."""


class Control:
    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        images = Images(rooms.images)
        self.accounts = Accounts(rooms)
        self.connections = Connections(rooms)
        self.databases = Databases(rooms)
        self.keys = Keys(rooms)
        self.audit = Audit(rooms)
        self.repeats = Repeats(rooms)
        self.actions = Actions(rooms, images, self._wake.set)
        self.past = Past(rooms, images)
        self._capture = Capture(rooms)
        self._health = Health(rooms, self.keys)
        worker = Worker(rooms, self.keys, self._stopping)
        self._reconciler = Reconciler(rooms, self.actions, worker, images, self._wake)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self) -> None:
        """Adopt the instances that run, then look after everything until `stop`."""
        self.connections.sweep_secrets()
        self.rooms.deployer.supervise(self._credentials)
        with self.rooms.store.read() as tx:
            serving = deployments.all_serving(tx)
        for database_id in serving:
            self.keys.mark_stale(database_id)
        loops = (("reconciler", self._reconcile), ("health", self._watch), ("capture", self._release))
        self._threads = [threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops]
        for thread in self._threads:
            thread.start()

    def begin_stop(self) -> None:
        """Begin nothing new; may be called from a signal handler."""
        self._stopping.set()
        self._wake.set()

    def stop(self) -> None:
        """Stop looking after things; running instances go on. What is not finished in time waits for the next start."""
        self.begin_stop()
        deadline = time.monotonic() + _STOP_LIMIT_S
        while self._reconciler.busy() and time.monotonic() < deadline:
            time.sleep(0.05)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.rooms.deployer.close()

    def status(self, customer_id: str, database_id: str) -> tuple[DatabaseView, dict[Action, Availability]]:
        """Everything about one database, its instance looked at now."""
        view = self.databases.get(customer_id, database_id)
        if view.serving is not None:
            self._health.look(view.row.id)
            view = self.databases.get(customer_id, database_id)
        return view, self.actions.available(view.row)

    def build_log_of(self, customer_id: str, database_id: str, build_id: str) -> str:
        """The path of a build's log, which may not have been begun. Raises NotFound."""
        with self.rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            if builds.get(tx, row.id, canonical_id(build_id, "build")) is None:
                raise NotFound("This database has no build with this id")
        return str(log_path(self.rooms.data_dir, build_id.lower()))

    def build_goes_on(self, build_id: str) -> bool:
        """Whether something may still be written to the build's log."""
        with self.rooms.store.read() as tx:
            return jobs.of_build(tx, build_id.lower()) is not None

    def _credentials(self, database_id: str) -> tuple[SourceAddress, ApiKeySet]:
        """What a deployment was started with; asked when one of its processes must be started again."""
        with self.rooms.store.read() as tx:
            deployment = deployments.newest_live(tx, database_id)
        if deployment is None:
            raise NotFound(f"No deployment of database {database_id} is known")
        ref = deployment.password_ref
        password = self.rooms.secrets.get(ref).decode() if ref else ""
        return address(deployment.settings, password), self.keys.accepted(database_id)

    def _reconcile(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._reconciler.tick()
            except Exception:
                log.exception("tick_failed")
            self._wake.wait(self.rooms.settings.tick_s)

    def _release(self) -> None:
        """What could not be removed from a source when its instance ended is tried again."""
        while not self._stopping.is_set():
            try:
                self._capture.release()
            except Exception:
                log.exception("release_failed")
            self._stopping.wait(_RELEASE_EVERY_S)

    def _watch(self) -> None:
        while not self._stopping.wait(self.rooms.settings.health_interval_s):
            try:
                self._health.poll()
            except Exception:
                log.exception("health_poll_failed")
