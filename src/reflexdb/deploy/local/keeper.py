"""Keeps one database's current deployment running: a dead server or sync process is started again, with backoff.

One thread per database, so that an instance that hangs delays no other. Looks every TICK_S. A server that lives but
does not answer is left alone: it is reported as unreachable, and killing it could only make things worse.
"""

from __future__ import annotations

import threading
import time

import structlog

from reflexdb.deploy.local.database import Credentials, Database
from reflexdb.deploy.local.launch import SERVER_LOG, SYNC_LOG
from reflexdb.deploy.local.logs import last_words, rotate
from reflexdb.deploy.local.running import Running
from reflexdb.model.errors import InstanceUnreachable, ReflexError
from reflexdb.sync.backoff import Backoff
from reflexdb.sync.feed import InstanceRefused

TICK_S = 0.2
FIRST_RESTART_S = 0.2
LONGEST_RESTART_S = 30.0
HEALTHY_S = 60.0
"""A process that lived this long starts over with the shortest wait."""
ROTATE_EVERY_S = 10.0
SERVE_EVERY_S = 0.2
"""Between tries to let a server serve that is loading."""


class Keeper:
    """Supervises from `start` until `stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self.adopted = threading.Event()
        """What runs has been taken hold of, its listening socket with it."""
        self._thread = threading.Thread(target=self._run, name=f"keeper-{database.id}", daemon=True)
        self._server, self._sync = _Restarts(), _Restarts()
        self._rotate_at = 0.0
        self._serve_at = 0.0
        self._log = structlog.get_logger(database_id=database.id)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._database.adopt()
            self.adopted.set()
            self._database.sweep()
        except Exception:
            self._log.exception("adoption_failed")
        while not self._stop.wait(TICK_S):
            try:
                self._tick(time.monotonic())
            except (ReflexError, OSError) as exc:
                self._log.error("restart_failed", reason=str(exc))
            except Exception:
                self._log.exception("supervision_failed")

    def _tick(self, now: float) -> None:
        database = self._database
        with database.lock:
            running = database.current
            if running is None:
                return
            server_alive = running.server is not None and running.server.alive()
            sync_alive = running.sync is not None and running.sync.alive()
            serving = database.serving
        self._rotate(running, now)
        server_due = self._server.due(now, server_alive)
        sync_due = self._sync.due(now, sync_alive)
        if server_due or sync_due:
            credentials = database.credentials() if sync_due else None
            with database.lock:
                if database.current is not running or self._stop.is_set():
                    return
                if server_due:
                    self._restart_server(running)
                if sync_due:
                    self._restart_sync(running, credentials)
        elif server_alive and not serving and now >= self._serve_at:
            self._serve_at = now + SERVE_EVERY_S
            self._let_serve(running)

    def _restart_server(self, running: Running) -> None:
        database, record = self._database, running.record
        if running.server is not None:
            status, words = running.server.exit_status(), last_words(running.directory / SERVER_LOG)
            self._log.warning("server_died", deployment_id=record.deployment_id, status=status, last_words=words)
            running.server.close()
        database.serving = False
        listening = database.socket_for(record.host, record.port)
        running.start_server(listening.fileno())
        self._log.info("server_restarted", deployment_id=record.deployment_id)

    def _restart_sync(self, running: Running, credentials: Credentials | None) -> None:
        if running.sync is not None:
            status, words = running.sync.exit_status(), last_words(running.directory / SYNC_LOG)
            self._log.warning("sync_died", deployment_id=running.record.deployment_id, status=status, last_words=words)
            running.sync.close()
        if credentials is None:
            raise InstanceUnreachable("sync cannot be started again: nobody gave the source's credentials")
        running.start_sync(credentials[0])
        self._log.info("sync_restarted", deployment_id=running.record.deployment_id)

    def _let_serve(self, running: Running) -> None:
        """A server that was started again, or adopted, accepts as soon as it has the keys in force and a snapshot.

        For an adopted one the keys matter: some may have been revoked while no control plane ran.
        """
        database = self._database
        try:
            if not running.status()["version"]:
                return
            database.refresh_keys()
            with database.lock:
                if database.current is running:
                    if database.keys is not None:
                        running.send_keys(database.keys)
                    running.serve()
                    database.serving = True
        except (InstanceUnreachable, InstanceRefused) as exc:
            self._log.info("not_serving_yet", reason=exc.message)

    def _rotate(self, running: Running, now: float) -> None:
        if now >= self._rotate_at:
            self._rotate_at = now + ROTATE_EVERY_S
            rotate(running.directory / SERVER_LOG)
            rotate(running.directory / SYNC_LOG)


class _Restarts:
    """When a process may be started again."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_RESTART_S, LONGEST_RESTART_S)
        self._alive_since: float | None = None
        self._at: float | None = None

    def due(self, now: float, alive: bool) -> bool:
        """Told of every tick; True where the process is to be started now."""
        if alive:
            if self._alive_since is None:
                self._alive_since = now
            if now - self._alive_since > HEALTHY_S:
                self._backoff.reset()
            self._at = None
            return False
        self._alive_since = None
        if self._at is None:
            self._at = now + self._backoff.next()
        if now < self._at:
            return False
        self._at = None
        return True
