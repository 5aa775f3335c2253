"""One deployment's two processes and what can be asked of them over the private socket.

Used by the steps of a deployment and by supervision. Holds no secret longer than a call; knows nothing of other
deployments or of which one serves.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from reflexdb.deploy.base import ApiKeySet
from reflexdb.deploy.local import launch, processes
from reflexdb.deploy.local.layout import Record
from reflexdb.deploy.local.processes import Process, Role
from reflexdb.deploy.requests import Requests
from reflexdb.model.errors import InstanceUnreachable
from reflexdb.sources.base import SourceAddress
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from reflexdb.sync.settings import SyncProcessSettings

SOCKET_S = 10.0
"""How long a server has from its start to its private socket."""
ASK_S = 5.0
DRAIN_S = 10.0
"""How long a server that is replaced may go on answering what it has begun to."""
SYNC_END_S = 2.0
COUNTS_NAME = "counts.json"
"""What a server leaves behind when it ends (engine/doc/launch.md)."""


class Running:
    """Either process may be missing or dead at any time. Not thread-safe: its owner's lock guards it."""

    def __init__(self, directory: Path, record: Record) -> None:
        self.directory = directory
        self.record = record
        self.server: Process | None = None
        self.sync: Process | None = None

    def adopt(self) -> None:
        """Take hold of the processes that run; of two of one kind, which should not be, the younger."""
        for process in processes.find(self.directory):
            earlier = self.server if process.role is Role.SERVER else self.sync
            if earlier is not None:
                earlier.stop(SYNC_END_S)
            if process.role is Role.SYNC:
                process.signal(signal.SIGCONT)  # a handover that broke off may have left it at rest
            if process.role is Role.SERVER:
                self.server = process
            else:
                self.sync = process

    def start_server(self, listening_fd: int) -> None:
        """Launch it and wait for its private socket. Raises OSError, or InstanceUnreachable where it dies or hangs."""
        self.server = launch.start_server(self.directory, self.record, listening_fd)
        deadline = time.monotonic() + SOCKET_S
        while True:
            try:
                with self.channel(1.0):
                    return
            except InstanceUnreachable:
                if self.server.wait(0.02):
                    why = f"ended with status {self.server.exit_status()}"
                    raise InstanceUnreachable(f"the server {why} as soon as it was started") from None
                if time.monotonic() > deadline:
                    raise

    def start_sync(self, address: SourceAddress) -> None:
        """Launch it with the settings of the deployment and this address. Raises OSError or InvalidRequest."""
        settings = SyncProcessSettings.load(self.directory)
        self.sync = launch.start_sync(self.directory, replace(settings, address=address))

    def channel(self, timeout_s: float = ASK_S) -> PrivateChannel:
        """A new connection with the greeting done. Raises InstanceUnreachable."""
        return open_channel(self.directory, timeout_s)

    def status(self) -> dict[str, Any]:
        with self.channel() as channel:
            return channel.request(feed.status())

    def send_keys(self, keys: ApiKeySet) -> None:
        with self.channel() as channel:
            channel.request(feed.keys(keys.secret, keys.keys))

    def serve(self) -> None:
        """Begin to accept. Raises InstanceRefused (`not_ready`) without a snapshot."""
        with self.channel() as channel:
            channel.request(feed.serve())

    def take_share(self, begin: int, end: int, connection_ms: int) -> None:
        """Take these of the new connections (deploy/base.py, SHARE_WHOLE) alone. Raises InstanceUnreachable, and
        InstanceRefused where the server is of a version that can't."""
        with self.channel() as channel:
            channel.request(feed.share(begin, end, connection_ms))

    def requests(self) -> Requests | None:
        """What became of its requests; None where it does not say, or not any more."""
        try:
            return Requests.read(self.status().get("requests"))
        except (InstanceUnreachable, feed.InstanceRefused):
            return None

    def alive(self) -> bool:
        """Both processes are there."""
        return all(process is not None and process.alive() for process in (self.server, self.sync))

    def smoke(self) -> None:
        """Ask every table for one row. Raises what the server answers, or InstanceUnreachable."""
        plan = SyncProcessSettings.load(self.directory).plan
        with self.channel() as channel:
            for table in plan.tables:
                answer = json.loads(channel.query(smoke_query(table.name)))
                if not isinstance(answer, list):
                    raise InstanceUnreachable(f"the smoke query of table {table.name!r} was answered with no array")

    def drain(self, *, last_checkpoint: bool = True) -> Requests | None:
        """Let the server finish what it has begun, then make sure that both processes are gone. Without
        `last_checkpoint` it need not write one that nobody will read. What became of its requests, where it says so."""
        if self.sync is not None:
            self.sync.stop(SYNC_END_S)
        if self.server is not None and self.server.alive():
            try:
                with self.channel() as channel:
                    if not last_checkpoint:
                        channel.request(feed.no_checkpoint())
                    channel.request(feed.drain(int(DRAIN_S * 1000)))
            except (InstanceUnreachable, feed.InstanceRefused):
                pass
            else:
                self.server.wait(DRAIN_S + 1)
            self.server.stop(1.0)
        return self._left()

    def _left(self) -> Requests | None:
        try:
            return Requests.read(json.loads((self.directory / COUNTS_NAME).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def kill(self) -> None:
        """End both at once: nobody is served by them."""
        for process in (self.sync, self.server):
            if process is not None:
                process.kill()
                process.close()

    def release(self) -> None:
        """Let go of the processes; they go on."""
        for process in (self.sync, self.server):
            if process is not None:
                process.close()


def open_channel(directory: Path, timeout_s: float = ASK_S) -> PrivateChannel:
    """A deployer's connection to the server in `directory`. Raises InstanceUnreachable."""
    channel = PrivateChannel(directory, timeout_s)
    try:
        channel.hello(feed.Role.DEPLOYER, None)
    except BaseException:
        channel.close()
        raise
    return channel


def smoke_query(table: str) -> str:
    """A query for one row of the table, whatever its name is."""
    return "`" + table.replace("`", "``") + "`(LIMIT 1) { * }"


def stop_strays(directory: Path) -> None:
    """End every process of a deployment that does not serve: gracefully, because it may just have begun to."""
    for process in processes.find(directory):
        process.stop(DRAIN_S + 2 if process.role is Role.SERVER else SYNC_END_S)
