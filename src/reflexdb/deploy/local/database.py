"""One database on this machine: its current deployment, its listening socket, its keys, and the locks around them.

`changing` is held for the whole of a deployment or retirement, which may take long; `lock` only for moments, by whoever
looks at or changes what is current: the handover, supervision, new keys. `lock` is never held while waiting for
`changing`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TypeAlias

import structlog

from reflexdb.deploy.base import ApiKeySet
from reflexdb.deploy.local import listening as sockets
from reflexdb.deploy.local.checkpoints import Kept
from reflexdb.deploy.local.layout import BESIDE, CURRENT, Layout, Record
from reflexdb.deploy.local.running import Running, stop_strays
from reflexdb.model.errors import InstanceUnreachable
from reflexdb.sources.base import SourceAddress
from reflexdb.sync.feed import InstanceRefused

Credentials: TypeAlias = tuple[SourceAddress, ApiKeySet]


class Database:
    """Shared by the deployer's callers and its keeper."""

    def __init__(
        self, layout: Layout, kept: Kept, database_id: str, credentials: Callable[[], Credentials | None]
    ) -> None:
        """`credentials` asks the control plane; None where nobody supervises yet."""
        self.id = database_id
        self.layout = layout
        self._kept = kept
        self.credentials = credentials
        self.changing = threading.RLock()
        self.lock = threading.RLock()
        self.cancelled = threading.Event()
        """Set to make a deployment under way give up."""
        self.current: Running | None = None
        self.serving = False
        """Whether the current server was told to accept since it was started."""
        self.candidate: Running | None = None
        self.beside: Running | None = None
        """Runs with a share of the connections, or none; only under `changing`, but for its keys."""
        self.listening: socket.socket | None = None
        self.keys: ApiKeySet | None = None
        self.keys_given = 0
        """How often `keys` was set from outside: tells whether a value fetched earlier is stale."""
        self._adopted = False
        self._log = structlog.get_logger(database_id=database_id)

    def adopt(self) -> None:
        """Take hold of the current deployment that an earlier control plane left, whatever of it still runs."""
        if self._adopted:
            return
        with self.changing:
            if self._adopted:
                return
            directory = self.layout.current(self.id)
            record = self.layout.record(self.id)
            if directory is not None and record is not None:
                running = Running(directory, record)
                running.adopt()
                with self.lock:
                    self.current, self.serving = running, False
                    self.beside = self._adopt_beside()
                self._fetch_listening(running)
                self._log.info("adopted", deployment_id=record.deployment_id, server=bool(running.server))
            self._adopted = True

    def _adopt_beside(self) -> Running | None:
        directory = self.layout.beside(self.id)
        try:
            beside = Running(directory, Record.load(directory)) if directory is not None else None
        except (OSError, ValueError):
            return None
        if beside is not None:
            beside.adopt()
        return beside

    def sweep(self) -> None:
        """Remove every deployment but the current one and what is beside it, processes first; and what was kept while
        the database was paused, where it is not."""
        with self.changing:
            self.layout.drop_prepared(self.id)
            if self.beside is None:
                self.layout.unset_beside(self.id)
            if self.current is not None:
                self._kept.drop(self.id)
            used = self._in_use()
            for deployment_id in self.layout.deployments(self.id):
                if deployment_id not in used:
                    directory = self.layout.deployment(self.id, deployment_id)
                    stop_strays(directory)
                    self.layout.remove_deployment(directory)
                    self._log.info("leftover_removed", deployment_id=deployment_id)
            if not used:
                self.layout.remove_database(self.id)

    def tidy(self) -> None:
        """Sweep where there is anything to; later, where somebody is at it. Raises OSError."""
        if not self._adopted or not self.changing.acquire(blocking=False):
            return
        try:
            if self._is_untidy():
                self.sweep()
        finally:
            self.changing.release()

    def _is_untidy(self) -> bool:
        used = self._in_use()
        if not used:
            return self.layout.database(self.id).exists()
        links = {CURRENT} if self.beside is None else {CURRENT, BESIDE}
        return self.layout.names(self.id) - used - links != set() or self._kept.of(self.id).exists()

    def _in_use(self) -> set[str]:
        return {each.directory.name for each in (self.current, self.beside) if each is not None}

    def set_keys(self, keys: ApiKeySet) -> None:
        """The keys in force from now on, at whatever runs. Raises InstanceUnreachable."""
        with self.lock:
            self.keys, self.keys_given = keys, self.keys_given + 1
            for other in (self.candidate, self.beside):
                if other is not None:
                    with contextlib.suppress(InstanceUnreachable):  # it gets them again before it serves
                        other.send_keys(keys)
            if self.current is not None:
                self.current.send_keys(keys)

    def refresh_keys(self) -> None:
        """Ask the control plane, whose word is newer than what a deployment was ordered with."""
        with self.lock:
            given = self.keys_given
        fresh = self.credentials()
        with self.lock:
            if fresh is not None and self.keys_given == given:
                self.keys = fresh[1]

    def socket_for(self, host: str, port: int) -> socket.socket:
        """The socket kept for this port, or a new one. Raises OSError."""
        with self.lock:
            if self.listening is None or sockets.port_of(self.listening) != port:
                fresh = sockets.bind(host, port)
                if self.listening is not None:
                    self.listening.close()
                self.listening = fresh
            return self.listening

    def close_listening(self) -> None:
        with self.lock:
            if self.listening is not None:
                self.listening.close()
                self.listening = None

    def release(self) -> None:
        """Let go of processes and socket without disturbing them; to be adopted again."""
        with self.lock:
            if self.current is not None:
                self.current.release()
                self.current = None
            if self.beside is not None:
                self.beside.release()
                self.beside = None
            self.close_listening()
            self._adopted = False

    def _fetch_listening(self, running: Running) -> None:
        """Share the running server's socket; where there is none it is bound again when a server has to be started."""
        with contextlib.suppress(InstanceUnreachable, InstanceRefused), running.channel() as channel:
            listening = channel.listener()
            with self.lock:
                self.close_listening()
                self.listening = listening
