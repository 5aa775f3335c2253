"""A deployment, step by step: unpack, launch, load, probe, handover.

Run by LocalDeployer.deploy under the database's `changing` lock. Until the flip of `current` everything can be undone
by killing the candidate and removing its directory; the flip itself is one rename, and what comes after it (draining
the old instance) can be taken up by the next control plane.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reflexdb.build.base import ImageStore
from reflexdb.deploy.base import AT_ONCE, InstanceSpec, Observation, Passed, Replacement
from reflexdb.deploy.local import checkpoints, pair
from reflexdb.deploy.local import listening as sockets
from reflexdb.deploy.local.checkpoints import Kept
from reflexdb.deploy.local.database import Database
from reflexdb.deploy.local.launch import SERVER_LOG, SYNC_LOG
from reflexdb.deploy.local.layout import Record
from reflexdb.deploy.local.logs import last_words
from reflexdb.deploy.local.observation import told
from reflexdb.deploy.local.running import Running
from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import DeployFailed, InstanceUnreachable, ReflexError
from reflexdb.sync.feed import InstanceRefused
from reflexdb.sync.settings import SyncProcessSettings, is_paused, set_paused

LOG_EVERY_S = 10.0
POLL_S = 0.05
LEAVE_S = 1.5
"""How long it is waited for that clients leave an instance that is kept."""


@dataclass(frozen=True, slots=True)
class Where:
    """What the deployer was configured with."""

    host: str
    public_host: str
    load_limit_s: float
    ports: Sequence[int]
    taken_ports: Callable[[], set[int]]
    kept: Kept
    """Checkpoints of databases that have no instance."""


class Deployment:
    """One attempt. `run` returns what serves, as it was found, or raises DeployFailed with nothing left behind."""

    def __init__(
        self,
        database: Database,
        spec: InstanceSpec,
        store: ImageStore,
        where: Where,
        log: Callable[[str], None],
        passed: Passed | None = None,
        how: Replacement = AT_ONCE,
    ) -> None:
        self._how = how
        self._stands_by = False
        self._takes_connections = False
        """Whether the new one may have been given any."""
        self._former: Path | None = None
        """Directory of the instance whose checkpoint the new one begins with."""
        self._before: Requests | None = None
        """Of the old instance, before the new one takes over."""
        self._database = database
        self._spec = spec
        self._store = store
        self._where = where
        self._log = log
        self._passed = passed
        self._directory = database.layout.deployment(spec.database_id, spec.deployment_id)

    def run(self) -> Observation:
        database = self._database
        if self._directory.exists():
            raise DeployFailed("unpack", f"deployment {self._spec.deployment_id} exists already; use a new id")
        try:
            with self._failing("unpack"):
                binary = self._unpack()
            with self._failing("launch"):
                candidate = self._launch(binary)
            with self._failing("load"):
                self._load(candidate)
            with self._failing("probe"):
                status = self._probe(candidate)
            with self._failing("handover"):
                old = self._handover(candidate)
        except BaseException:
            self._undo()
            raise
        ended = self._part_with(old) if old is not None and old is not database.current else None
        self._where.kept.drop(self._spec.database_id)
        found = told(candidate.record, status, paused=is_paused(candidate.directory))
        return replace(found, failed=self._failed(candidate, old, ended))

    def _part_with(self, old: Running) -> Requests | None:
        """What has been replaced stands by, or is drained; then, what became of its requests. A disk that can't be
        written any more does not undo what serves by now: `tidy` removes what stays."""
        database = self._database
        if self._stands_by and old.alive():
            self._log("Keeping the old instance beside the new one")
            database.beside = old
            return old.requests()
        with suppress(OSError):
            database.layout.unset_beside(database.id)
        self._log("Draining the old instance")
        ended = old.drain(last_checkpoint=False)
        database.layout.remove_deployment(old.directory)
        return ended

    def _failed(self, candidate: Running, old: Running | None, ended: Requests | None) -> int | None:
        """Requests that failed at either of the two meanwhile."""
        taken = candidate.requests()
        if old is None or taken is None:
            return None if taken is None else taken.failed
        return None if ended is None else taken.failed + ended.since(self._before).failed

    def _unpack(self) -> Path:
        self._log("Unpacking the image")
        self._directory.mkdir(mode=0o700, parents=True)
        binary = self._store.unpack(self._spec.image_digest, self._directory)
        current = self._database.current
        former = self._where.kept.of(self._spec.database_id) if current is None else current.directory
        if checkpoints.offer(former, self._directory, self._spec.plan, self._spec.source):
            self._former = None if current is None else former
            self._log("Beginning with the last checkpoint")
        return binary

    def _launch(self, binary: Path) -> Running:
        spec, database = self._spec, self._database
        listening = self._listen()
        port = sockets.port_of(listening)
        record = Record.of(spec, binary.name, self._where.host, port, _url(self._where.public_host, port))
        record.save(self._directory)
        SyncProcessSettings(
            spec.plan,
            spec.source,
            spec.sync_mode,
            spec.sync_interval_s,
            spec.safety_net_s,
            spec.log_level,
            spec.follow,
            self._former,
        ).save(self._directory)
        candidate = Running(self._directory, record)
        with database.lock:
            database.candidate, database.keys = candidate, spec.api_keys
        self._log("Starting sync")  # first: it takes longer to begin, and then waits for the server
        candidate.start_sync(spec.source)
        self._log(f"Starting the server for port {port}")
        try:
            candidate.start_server(listening.fileno())
        except ReflexError as exc:
            words = last_words(self._directory / SERVER_LOG)
            raise DeployFailed("launch", f"{exc.message}; its last words: {words}") from exc
        candidate.send_keys(spec.api_keys)
        return candidate

    def _load(self, candidate: Running) -> None:
        """Wait for the first commit, watching both processes."""
        self._log("Loading the first snapshot")
        began = time.monotonic()
        said = began
        while not self._loaded(candidate):
            now = time.monotonic()
            if now - began > self._where.load_limit_s:
                raise DeployFailed("load", f"the first load took longer than {self._where.load_limit_s:.0f} s")
            if now - said > LOG_EVERY_S:
                self._log(f"Still loading after {now - began:.0f} s")
                said = now
            if self._database.cancelled.wait(POLL_S):
                raise DeployFailed("load", "the deployment was called off")
        self._log(f"Loaded in {time.monotonic() - began:.1f} s")

    def _loaded(self, candidate: Running) -> bool:
        """Whether there is a snapshot that somebody keeps fresh. Raises DeployFailed as soon as it is clear that there
        will be none."""
        server, sync = candidate.server, candidate.sync
        assert server is not None
        assert sync is not None
        if not server.alive():
            words = last_words(self._directory / SERVER_LOG)
            raise DeployFailed("load", f"the server ended with status {server.exit_status()} while loading: {words}")
        status = candidate.status()
        if status["version"] and not (status.get("stale") and (self._is_serving() or not status.get("syncConnected"))):
            return True
        told = status.get("sync") or {}
        if status["status"] == "cap_exceeded":  # the server knows it before sync has said so
            raise DeployFailed("load", f"cap_exceeded: {status['reason']}")
        if told.get("state") == "failing":
            raise DeployFailed("load", told.get("lastError") or "sync fails without a reason")
        if not sync.alive():
            raise DeployFailed("load", f"sync ended while loading: {last_words(self._directory / SYNC_LOG)}")
        return False

    def _is_serving(self) -> bool:
        """Whether somebody would be given older rows than before by a checkpoint that is not up to date."""
        return self._database.current is not None

    def _probe(self, candidate: Running) -> dict[str, Any]:
        self._log("Checking health and one row of every table")
        status = candidate.status()
        behind = status.get("stale") and not self._is_serving()  # which is said, and better than nothing
        if status["status"] != "ok" and not behind:
            raise DeployFailed("probe", f"the new instance's health is {status['status']}: {status['reason']}")
        candidate.smoke()
        return status

    def _handover(self, candidate: Running) -> Running | None:
        """Let the candidate take connections, all or its share. Returns the one that had them."""
        database = self._database
        self._log("Handing over")
        database.refresh_keys()
        old = database.current
        self._before = old.requests() if old is not None else None
        with pair.overtaken(old, candidate) if old is not None else nullcontext():
            self._take_over(old, candidate)
            if old is not None and old is not database.current:
                self._leave(old)
        return old

    def _take_over(self, old: Running | None, candidate: Running) -> None:
        database = self._database
        with database.lock:
            if old is not None and is_paused(old.directory):
                set_paused(candidate.directory, True)
            if database.keys is not None:
                candidate.send_keys(database.keys)
            if self._how.share is not None and old is not None:
                self._set_beside(old, candidate, self._how.share)
                return
            database.layout.prepare_flip(self._spec.database_id, self._spec.deployment_id)
            if old is not None and self._how.keep:
                database.layout.set_beside(database.id, old.directory.name)
            self._takes_connections = True
            candidate.serve()
            self._log("Serving")
            database.layout.flip(self._spec.database_id)
            database.current, database.candidate, database.serving = candidate, None, True

    def _set_beside(self, old: Running, candidate: Running, share: int) -> None:
        database = self._database
        try:
            candidate.take_share(0, share, pair.CONNECTION_MS)
            self._takes_connections = True
            candidate.serve()
            pair.share_out(old, candidate, share)
        except InstanceRefused as exc:
            raise DeployFailed("handover", f"no share can be given: {exc.message}") from exc
        database.layout.set_beside(database.id, candidate.directory.name)
        database.beside, database.candidate = candidate, None
        self._log(f"Serving {share / 10:g}% of new connections beside the old instance")

    def _leave(self, old: Running) -> None:
        """From now on the old one shows nothing newer than the new one, until its clients have left it."""
        self._stands_by = self._how.keep and pair.stand_by(old)
        if self._stands_by:
            pair.await_left(old, LEAVE_S)
        elif old.sync is not None:
            old.sync.kill()

    def _listen(self) -> socket.socket:
        database, wanted = self._database, self._spec.port
        with database.lock:
            kept = database.listening
            if kept is not None and wanted in (None, sockets.port_of(kept)):
                return kept
            if wanted is None and database.current is not None:
                wanted = database.current.record.port
            if wanted is None:
                database.listening = sockets.bind_free(self._where.host, self._where.ports, self._where.taken_ports())
                return database.listening
        return database.socket_for(self._where.host, wanted)

    @contextmanager
    def _failing(self, step: str) -> Iterator[None]:
        """Whatever goes wrong in here is the deployment's failure at this step."""
        if self._database.cancelled.is_set():
            raise DeployFailed(step, "the deployment was called off")
        started, failed = time.monotonic(), True
        try:
            yield
            failed = False
        except DeployFailed:
            raise
        except ReflexError as exc:
            raise DeployFailed(step, exc.message) from exc
        except (OSError, ValueError, KeyError) as exc:
            raise DeployFailed(step, f"{exc.__class__.__name__}: {exc}") from exc
        finally:
            if self._passed is not None:
                self._passed(step, time.monotonic() - started, failed)

    def _undo(self) -> None:
        """Nothing of this attempt stays, but what can't be removed now; `tidy` does that."""
        database = self._database
        with database.lock:
            candidate, database.candidate = database.candidate, None
            if database.current is not None and database.current.directory == self._directory:
                return  # it has taken over already
        if candidate is not None and self._takes_connections:
            if database.current is not None:
                with suppress(InstanceUnreachable):
                    pair.take_all(database.current)
            candidate.drain(last_checkpoint=False)  # it answers what it has been asked meanwhile
        if candidate is not None:
            candidate.kill()
        with suppress(OSError):
            database.layout.drop_prepared(database.id)
            database.layout.unset_beside(database.id)
        database.layout.remove_deployment(self._directory)
        if database.current is None:
            database.close_listening()
            database.layout.remove_database(database.id)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
