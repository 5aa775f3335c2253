"""The Deployer for instances that are processes of this machine: see deploy/base.py for what each call promises.

A table of contents: `steps` deploys, `keeper` supervises, `observation` asks, `layout` remembers. What is on disk and
what /proc shows is the whole truth; this object only holds descriptors, so that it can be killed at any instant.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import structlog

from reflexdb.build.base import ImageStore
from reflexdb.deploy.base import (
    AT_ONCE,
    ApiKeySet,
    Asked,
    Deployed,
    InstanceSpec,
    Observation,
    Passed,
    Replacement,
)
from reflexdb.deploy.local import beside
from reflexdb.deploy.local.checkpoints import Kept
from reflexdb.deploy.local.database import Credentials, Database
from reflexdb.deploy.local.keeper import Keeper
from reflexdb.deploy.local.layout import Layout, Record
from reflexdb.deploy.local.listening import ports_for
from reflexdb.deploy.local.observation import observe
from reflexdb.deploy.local.running import Running, open_channel
from reflexdb.deploy.local.steps import Deployment, Where
from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import Conflict, DeployFailed, InstanceUnreachable, ReflexError
from reflexdb.sync import feed
from reflexdb.sync.commands import command
from reflexdb.sync.settings import set_paused

LOAD_LIMIT_S = 3600.0
"""How long a first load may take."""
ADOPT_S = 5.0
"""How long `supervise` waits for instances to answer; those that are slower are adopted when they do."""
LOCK_NAME = ".supervised"
_ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound


class LocalDeployer:
    """Instances live under `data_dir`/instances and listen on `host`, at first on a free one of `ports`; clients are
    told `public_host`.
    """

    def __init__(
        self,
        data_dir: Path,
        store: ImageStore,
        host: str = "127.0.0.1",
        public_host: str | None = None,
        load_limit_s: float = LOAD_LIMIT_S,
        ports: Sequence[int] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        """`shared`: other deployers on the same directory supervise other databases."""
        self._layout = Layout(data_dir / "instances")
        self._store = store
        public = public_host or ("127.0.0.1" if host in _ANY_ADDRESS else host)
        self._where = Where(
            host,
            public,
            load_limit_s,
            ports or ports_for(data_dir),
            self._taken_ports,
            Kept(self._layout.root.parent / "checkpoints"),
        )
        self._lock = threading.Lock()
        self._databases: dict[str, Database] = {}
        self._keepers: dict[str, Keeper] = {}
        self._credentials: Callable[[str], Credentials] | None = None
        self._supervising: IO[bytes] | None = None
        self._shared = shared
        self._ours: set[str] = set()
        """Where the directory is shared."""
        self._log = structlog.get_logger()

    def deploy(
        self,
        spec: InstanceSpec,
        log: Callable[[str], None],
        passed: Passed | None = None,
        how: Replacement = AT_ONCE,
    ) -> Observation:
        database = self._database(spec.database_id)
        with database.changing:
            database.cancelled.clear()
            database.adopt()
            database.sweep()
            beside.end(database)
            try:
                return Deployment(database, spec, self._store, self._where, log, passed, how).run()
            except ValueError as exc:
                raise DeployFailed("unpack", str(exc)) from exc

    def observe(self, database_id: str) -> Observation | None:
        directory = self._layout.current(database_id)
        record = self._layout.record(database_id)
        return observe(directory, record) if directory is not None and record is not None else None

    def beside(self, database_id: str) -> Observation | None:
        database = self._database(database_id)
        database.adopt()
        return beside.look(database)

    def give_share(self, database_id: str, share: int) -> None:
        beside.give_share(self._database(database_id), share)

    def call_off(self, database_id: str) -> None:
        self._database(database_id).cancelled.set()

    def exchange(self, database_id: str, deployment_id: str) -> Observation:
        return beside.exchange(self._database(database_id), deployment_id)

    def end_beside(self, database_id: str) -> Requests | None:
        return beside.end(self._database(database_id))

    def deployed(self) -> list[Deployed]:
        return [record.deployed() for record in self._records()]

    def retire(self, database_id: str, *, keep_checkpoint: bool = False) -> None:
        database = self._database(database_id)
        database.cancelled.set()
        with database.changing:
            database.adopt()
            beside.end(database)
            self._layout.unset_current(database_id)  # from here on the next control plane would finish this
            with database.lock:
                running, database.current = database.current, None
                database.close_listening()
            if running is not None:
                running.drain(last_checkpoint=keep_checkpoint)
                running.release()
                if keep_checkpoint:
                    self._where.kept.keep(database_id, running.directory)
            if not keep_checkpoint:
                self._where.kept.drop(database_id)
            database.sweep()
            database.cancelled.clear()
        with self._lock:
            keeper = self._keepers.pop(database_id, None)
        if keeper is not None:
            keeper.stop()

    def set_keys(self, database_id: str, keys: ApiKeySet) -> None:
        if not self._is_ours(database_id):
            self._hand_keys(database_id, keys)
            return
        database = self._database(database_id)
        if self._layout.current(database_id) is None and database.candidate is None:
            raise InstanceUnreachable(f"nothing is deployed for database {database_id}")
        database.adopt()
        database.set_keys(keys)

    def shapes(self, database_id: str) -> Asked:
        with open_channel(self._current(database_id)) as channel:
            told = channel.request(feed.shapes())
        return Asked([(each["shape"], each["count"]) for each in told["shapes"]], told["other"])

    def reload(self, database_id: str) -> None:
        command(self._current(database_id), "reload")

    def pause_sync(self, database_id: str) -> None:
        self._pause(database_id, True)

    def resume_sync(self, database_id: str) -> None:
        self._pause(database_id, False)

    def tidy(self) -> None:
        with self._lock:
            databases = [each for each in self._databases.values() if not self._shared or each.id in self._ours]
        for database in databases:
            database.tidy()

    def known(self) -> list[str]:
        return self._layout.databases()

    def supervise(self, credentials: Callable[[str], Credentials], only: Collection[str] | None = None) -> None:
        self._hold_lock()
        with self._lock:
            self._credentials = credentials
            self._ours = set(only or ())
        for database_id in {*self._layout.databases(), *self._databases} if only is None else only:
            self._database(database_id)
        with self._lock:
            for database in self._databases.values():
                self._keep(database)
            keepers = list(self._keepers.values())
        deadline = time.monotonic() + ADOPT_S
        for keeper in keepers:
            keeper.adopted.wait(max(deadline - time.monotonic(), 0))

    def keep(self, database_id: str) -> None:
        with self._lock:
            self._ours.add(database_id)
        self._database(database_id)

    def leave(self, database_id: str) -> None:
        with self._lock:
            self._ours.discard(database_id)
            keeper = self._keepers.pop(database_id, None)
            database = self._databases.pop(database_id, None)
        if keeper is not None:
            keeper.stop()
        if database is not None:
            with database.changing:
                database.release()

    def close(self) -> None:
        with self._lock:
            keepers, self._keepers = list(self._keepers.values()), {}
            databases, self._databases = list(self._databases.values()), {}
            self._credentials = None
        for database in databases:
            database.cancelled.set()
        for keeper in keepers:
            keeper.stop()
        for database in databases:
            with database.changing:
                database.release()
        if self._supervising is not None:
            self._supervising.close()
            self._supervising = None

    def stop_all(self) -> None:
        with self._lock:
            keepers, self._keepers = list(self._keepers.values()), {}
            self._credentials = None
        for keeper in keepers:
            keeper.stop()
        databases = [self._database(database_id) for database_id in self._layout.databases()]
        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(_stop, databases))

    def _database(self, database_id: str) -> Database:
        self._layout.database(database_id)  # refuses what is no id
        with self._lock:
            if database_id not in self._databases:
                kept = self._where.kept
                database = Database(self._layout, kept, database_id, lambda: self._ask_credentials(database_id))
                self._databases[database_id] = database
            if self._credentials is not None:
                self._keep(self._databases[database_id])
            return self._databases[database_id]

    def _is_ours(self, database_id: str) -> bool:
        with self._lock:
            return not self._shared or database_id in self._ours

    def _hand_keys(self, database_id: str, keys: ApiKeySet) -> None:
        """To whatever serves a database that another looks after; nothing of it is held on to."""
        directory, record = self._layout.current(database_id), self._layout.record(database_id)
        if directory is None or record is None:
            raise InstanceUnreachable(f"nothing is deployed for database {database_id}")
        Running(directory, record).send_keys(keys)

    def _keep(self, database: Database) -> None:
        if database.id not in self._keepers:
            keeper = self._keepers[database.id] = Keeper(database)
            keeper.start()

    def _ask_credentials(self, database_id: str) -> Credentials | None:
        ask = self._credentials
        return ask(database_id) if ask is not None else None

    def _current(self, database_id: str) -> Path:
        directory = self._layout.current(database_id)
        if directory is None:
            raise InstanceUnreachable(f"nothing is deployed for database {database_id}")
        return directory

    def _pause(self, database_id: str, paused: bool) -> None:
        """Written down first: a sync process that is just being started again must not miss it."""
        directory = self._current(database_id)
        set_paused(directory, paused)
        with contextlib.suppress(InstanceUnreachable):
            command(directory, "pause" if paused else "resume")

    def _records(self) -> list[Record]:
        found = (self._layout.record(database_id) for database_id in self._layout.databases())
        return [record for record in found if record is not None]

    def _taken_ports(self) -> set[int]:
        return {record.port for record in self._records()}

    def _hold_lock(self) -> None:
        """Two control planes over one directory would start everything twice."""
        if self._supervising is None:
            lock = (self._layout.root / LOCK_NAME).open("ab")
            try:
                fcntl.flock(lock, (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except OSError as exc:
                lock.close()
                raise Conflict(f"another control plane supervises {self._layout.root}; stop it first") from exc
            self._supervising = lock


def _stop(database: Database) -> None:
    database.cancelled.set()
    with database.changing, contextlib.suppress(ReflexError):
        database.adopt()
        beside.end(database)
        if database.current is not None:
            database.current.drain()
        database.release()
