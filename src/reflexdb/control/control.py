"""Control as a whole: what the API calls, and the threads that carry it out.

`Control(rooms)` puts the parts together; `start` adopts what runs and begins to reconcile; `stop` ends that and
leaves instances running. One per data directory, which the caller has locked; with records on PostgreSQL several, of
which each looks after the databases that it holds a lease on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from reflexdb.control.accounts import Accounts
from reflexdb.control.actions import Actions
from reflexdb.control.audit import Audit
from reflexdb.control.auto_rebuild import AutoRebuild
from reflexdb.control.billing import Billing
from reflexdb.control.build_log import log_path
from reflexdb.control.cancel import Cancel
from reflexdb.control.capture import Capture
from reflexdb.control.comparing import Comparing
from reflexdb.control.config_advice import ConfigAdvice
from reflexdb.control.connections import Connections
from reflexdb.control.customers import Customers
from reflexdb.control.databases import Databases, DatabaseView, found
from reflexdb.control.disk import Disk
from reflexdb.control.evidence import Evidence
from reflexdb.control.health import Health
from reflexdb.control.images import Images
from reflexdb.control.keys import Keys
from reflexdb.control.leases import Leases
from reflexdb.control.past import Past
from reflexdb.control.payment_events import PaymentEvents
from reflexdb.control.reconciler import Reconciler
from reflexdb.control.repeats import Repeats
from reflexdb.control.retention import Retention
from reflexdb.control.rollouts import Rollouts
from reflexdb.control.rooms import Rooms, canonical_id
from reflexdb.control.shapes import Shapes
from reflexdb.control.shipping import Shipping
from reflexdb.control.site import site_of
from reflexdb.control.steer import Steer
from reflexdb.control.tidying import Tidying
from reflexdb.control.verifying import Verifying
from reflexdb.control.wanted import address
from reflexdb.control.watching import Kind, Work
from reflexdb.control.worker import Worker
from reflexdb.deploy.base import ApiKeySet, Observation
from reflexdb.model.errors import LeaseLost, NotFound, RecordsUnavailable
from reflexdb.model.lifecycle import Action, Availability
from reflexdb.records import builds, deployments, jobs
from reflexdb.records.rows import AutoRebuildRow, DeploymentRow
from reflexdb.records.store import background
from reflexdb.sources.base import SourceAddress
from reflexdb.sync.backoff import Backoff

log = structlog.get_logger()

_TICK, _POLL = Work(Kind.TICK, "tick"), Work(Kind.POLL, "poll")
LONGEST_BACKOFF_S = 5.0
"""Between two tries of a loop to reach the records."""
_RELEASE_EVERY_S = 60.0
_GUARD_EVERY_S = 5.0
_SWEEP_EVERY_S = 60.0
_COLLECT_EVERY_S = 30.0

_STOP_LIMIT_S = 10.0
"""How long a step at hand may take to end when the control plane stops; what takes longer is done at the next start."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is known of how an instance follows its source; the observation is None where none answers."""

    serving: DeploymentRow | None
    observation: Observation | None
    auto_rebuild: AutoRebuildRow | None


class Control:
    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        """Until then this plane says that it lives, also while it stops."""
        self._threads: list[threading.Thread] = []
        images = Images(rooms)
        self.accounts = Accounts(rooms)
        self.customers = Customers(rooms)
        self.connections = Connections(rooms)
        self.databases = Databases(rooms)
        self.keys = Keys(rooms)
        self.audit = Audit(rooms)
        self.repeats = Repeats(rooms)
        self.billing = Billing(rooms)
        self.payment_events = PaymentEvents(rooms)
        self.actions = Actions(rooms, images, self._wake.set)
        self.cancel = Cancel(rooms, self._wake.set)
        self.steer = Steer(rooms, self._wake.set)
        self.past = Past(rooms, images)
        self.evidence = Evidence(rooms)
        self.shipping = Shipping(rooms)
        self.retention = Retention(rooms, images)
        self._tidying = Tidying(rooms, self.retention)
        self.disk = Disk(rooms, images)
        self.verifying = Verifying(rooms, images, self._stopping.is_set)
        self._capture = Capture(rooms)
        self.leases = Leases(rooms)
        self._shapes = Shapes(rooms, self.leases)
        self.comparing = Comparing(rooms, self._shapes)
        self.config_advice = ConfigAdvice(rooms)
        self.rollouts = Rollouts(rooms, self.keys, self.leases)
        worker = Worker(rooms, self.keys, self._stopping, self.rollouts, self._shapes)
        self.auto_rebuild = AutoRebuild(rooms, self.actions, self.leases)
        self._health = Health(rooms, self.keys, self.leases, self.auto_rebuild.seen)
        self._reconciler = Reconciler(rooms, self.actions, worker, images, self._wake, self.leases)
        self.on_lost: Callable[[], None] = self.begin_stop
        """Called where another plane has taken over: this one must do nothing more."""
        self.on_takeover: Callable[[], None] = lambda: None
        """Called where this one has taken over from another."""

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self) -> None:
        """Adopt the instances that run, then look after everything until `stop`."""
        self.leases.join(site_of(self.rooms.data_dir))
        for name in self.rooms.secrets.damaged:
            log.error("secret_damaged", name=name)
        self.connections.sweep_secrets()
        self.rooms.signing.start(self.rooms.images.sign)
        self.accounts.start()
        with self.rooms.store.read() as tx:
            serving = deployments.all_serving(tx)
        mine = self.leases.claim({*self.rooms.deployer.known(), *serving})
        self.rooms.deployer.supervise(self._credentials, mine if self.leases.shared else None)
        for database_id in serving:
            if self.leases.holds(database_id):
                self.keys.mark_stale(database_id)
        loops = [("reconciler", self._reconcile), ("health", self._watch), ("capture", self._release)]
        loops += [("guard", self._guard), ("retention", self._sweep)]
        loops += [("rebuilds", self._rebuild), ("shapes", self._collect), ("rollouts", self._roll)]
        if self.leases.shared:
            loops.append(("leases", self._beat))
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
            if thread.name != "leases":
                thread.join(max(0.0, deadline - time.monotonic()))
        self.rooms.deployer.close()
        self._ended.set()

    def leave(self) -> str | None:
        """Leave the planes that share the records, after `stop`; the address of one that goes on."""
        return self.leases.leave()

    def status(self, customer_id: str, database_id: str) -> tuple[DatabaseView, dict[Action, Availability]]:
        """Everything about one database, its instance looked at now."""
        view = self.databases.get(customer_id, database_id)
        if view.serving is not None:
            view = replace(view, serving=self._health.look(view.serving))
        return view, self.actions.available(view.row)

    def freshness(self, customer_id: str, database_id: str) -> Freshness:
        """How far the database's instance follows its source, asked of it now. Raises NotFound."""
        with self.rooms.store.read() as tx:
            row = found(tx, customer_id, database_id)
            serving = deployments.serving(tx, row.id)
        observation = self._health.observe(serving) if serving else None
        return Freshness(serving, observation, self.auto_rebuild.state(customer_id, database_id))

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
        def tick() -> None:
            self._wake.clear()
            began = time.monotonic()
            with self.rooms.watcher.doing(_TICK):
                self._reconciler.tick()
            # However often it is woken, it has a quarter of the interpreter at most.
            self._stopping.wait(min(3 * (time.monotonic() - began), self.rooms.settings.tick_s))

        self._again_and_again(tick, "tick_failed", self._wake, self.rooms.settings.tick_s)

    def _sweep(self) -> None:
        self._again_and_again(self._tidying.sweep, "sweep_failed", self._stopping, _SWEEP_EVERY_S)

    def _collect(self) -> None:
        self._again_and_again(self._shapes.collect, "shapes_failed", self._stopping, _COLLECT_EVERY_S)

    def _release(self) -> None:
        """What could not be removed from a source when its instance ended is tried again."""
        self._again_and_again(self._capture.release, "release_failed", self._stopping, _RELEASE_EVERY_S)

    def _guard(self) -> None:
        """Of databases that rest: while an instance runs, its sync process does this."""
        self._again_and_again(self._capture.withdraw, "withdraw_failed", self._stopping, _GUARD_EVERY_S)

    def _rebuild(self) -> None:
        """In a loop of its own: describing a source takes as long as the source does."""
        self._again_and_again(self.auto_rebuild.look, "auto_rebuild_failed", self._stopping, self._health_interval_s)

    def _roll(self) -> None:
        """In a loop of its own: an exchange takes as long as clients take to leave."""
        self._again_and_again(self.rollouts.look, "rollouts_failed", self._stopping, self._health_interval_s)

    def _watch(self) -> None:
        def poll() -> None:
            with self.rooms.watcher.doing(_POLL):
                self._health.poll()

        self._again_and_again(poll, "health_poll_failed", self._stopping, self._health_interval_s)

    def _beat(self) -> None:
        def beat() -> None:
            if self.leases.beat():
                self._wake.set()
                self.on_takeover()

        self._again_and_again(beat, "beat_failed", self._ended, self.leases.beat_s, until=self._ended)

    @property
    def _health_interval_s(self) -> float:
        return self.rooms.settings.health_interval_s

    def _again_and_again(
        self,
        work: Callable[[], None],
        failed: str,
        pause: threading.Event,
        every_s: float,
        until: threading.Event | None = None,
    ) -> None:
        """Until the end. While the records can't be reached it is said once, and tried less and less often."""
        end = until or self._stopping
        backoff, away = Backoff(every_s, max(every_s, LONGEST_BACKOFF_S)), False
        while not end.is_set():
            wait_s = every_s
            try:
                with background(self.rooms.precedence.let_pass):
                    work()
                if away:
                    log.info("records_back", loop=failed)
                backoff.reset()
                away = False
            except LeaseLost as exc:
                log.critical("lease_lost", error=exc.message)
                self.on_lost()
            except RecordsUnavailable as exc:
                if not away:
                    log.warning("records_away", loop=failed, error=str(exc))
                away, wait_s = True, backoff.next()
            except Exception:
                log.exception(failed)
            (end if away else pause).wait(wait_s)
