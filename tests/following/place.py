"""A real source, the real sync process and the real server, with a proxy before the source that can fail.

The oracle is reading: whatever happened on the way, once the source rests the server answers byte for byte what a
second server answers that was loaded by polling.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reflexdb.build.emit import emit
from reflexdb.build.plan import make_plan
from reflexdb.model.config import parse_config
from reflexdb.model.errors import ReflexError
from reflexdb.model.plan import Plan, PlannedTable
from reflexdb.model.schema import Backend
from reflexdb.sources import follower, open_source
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import Follower, FollowOptions
from reflexdb.sync import feed
from reflexdb.sync.commands import command
from reflexdb.sync.poll import Poll
from reflexdb.sync.settings import SyncProcessSettings, secret_line, set_paused
from tests.engine.serving import Server, compile_server
from tests.servers.cut import Cut
from tests.sync.waiting import until

ENVIRONMENT = {**os.environ, "PYTHONPATH": "src"}
MODES = {Backend.MYSQL: "binlog", Backend.POSTGRES: "logical"}
CATCH_UP_S = 120.0
"""For a machine that is ten times slower than usual."""


class Place:
    """One source database that is followed. `database` is a TestDatabase or whatever has its attributes."""

    def __init__(
        self,
        cache: Path,
        directory: Path,
        backend: Backend,
        database: Any,
        config: str = "",
        options: Sequence[str] = (),
    ) -> None:
        """`options` are the server's."""
        self.backend, self.database = backend, database
        self.cut = Cut(database.host, database.port)
        self.address = SourceAddress(backend, "127.0.0.1", self.cut.port, database.user, database.password)
        """By way of the proxy."""
        self.direct = SourceAddress(backend, database.host, database.port, database.user, database.password)
        self.options = FollowOptions(f"reflexdb_{database.schema}", 1 << 31 | os.getpid() << 8 | id(self) >> 4 & 255)
        self._cache, self._directory, self._config = cache, directory, config
        with contextlib.closing(open_source(self.direct)) as source:
            schema = source.introspect(database.schema)
        self.plan: Plan = make_plan(schema, parse_config(config) if config else None).plan
        self.program = program_of(self.plan, cache, directory)
        self.server = Server(self.program, *options)
        self.sync: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._counts: dict[str, Any] = {}

    # The sync process.

    def start(self, interval_s: float = 600, safety_net_s: int = 0) -> None:
        """Nothing that a test sees is read because time passed, unless it says so."""
        settings = SyncProcessSettings(
            self.plan, self.address, MODES[self.backend], interval_s, safety_net_s, follow=self.options
        )
        settings.save(self.server.directory)
        with (self.server.directory / "sync.log").open("ab") as log:
            self.sync = subprocess.Popen(
                [sys.executable, "-m", "reflexdb.sync", "--dir", str(self.server.directory)],
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stderr=log,
            )
        assert self.sync.stdin is not None
        self.sync.stdin.write(secret_line(self.address))
        self.sync.stdin.close()

    def kill(self) -> None:
        """End the sync process as a crash would."""
        if self.sync is not None:
            self.sync.kill()
            self.sync.wait(20)
            self.sync = None

    def order(self, what: str) -> None:
        answer = command(self.server.directory, what)
        assert answer["ok"], answer

    def resume(self) -> None:
        """Whether or not a process runs just now."""
        with contextlib.suppress(ReflexError, OSError):
            self.order("resume")
            return
        set_paused(self.server.directory, False)

    def heal(self) -> None:
        """Nothing fails any more."""
        self.cut.heal()
        if self.sync is None or self.sync.poll() is not None:
            self.start()
        self.resume()

    def log(self, action: str = "") -> list[dict[str, Any]]:
        """What sync logged, of one action."""
        path = self.server.directory / "sync.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in found if action in ("", entry["action"])]

    # The server.

    def status(self) -> dict[str, Any]:
        return self.server.orders.request(feed.status())

    def health(self) -> dict[str, Any]:
        """What sync told of itself."""
        return dict(self.status().get("sync") or {})

    def ask(self, query: str) -> Any:
        return json.loads(self.server.orders.query(query))

    def crash_server(self, checkpoint: Mapping[str, bytes] | None = None) -> None:
        """Kill the server and start it again, as the deployer does; its snapshot is gone. It finds these files of a
        checkpoint, where they are given."""
        self.server.process.kill()
        self.server.process.wait(20)
        self.server.orders.close()
        for name, content in (checkpoint or {}).items():
            (self.server.directory / name).write_bytes(content)
        (self.server.directory / "server.sock").unlink(missing_ok=True)
        arguments = self.server.process.args
        assert isinstance(arguments, list)
        with self.server.log_path.open("ab") as log:
            self.server.process = subprocess.Popen(arguments, pass_fds=[self.server.listener.fileno()], stderr=log)
        until((self.server.directory / "server.sock").exists, "the server's socket")
        self.server.orders = self.server.channel()
        self.server.orders.hello(feed.Role.DEPLOYER, None)

    # The comparison.

    def served(self, server: Server | None = None) -> list[bytes]:
        """Everything, a line a table."""
        orders = (server or self.server).orders
        return [orders.query(everything(table)) for table in self.plan.tables]

    @contextlib.contextmanager
    def mirror(self) -> Iterator[Server]:
        """A second server with what reading gives now."""
        with Server(self.program) as mirror, mirror.channel() as channel:
            channel.hello(feed.Role.SYNC, self.plan.fingerprint())
            poll = Poll(self.plan, lambda: open_source(self.direct), mirror.directory)
            try:
                poll.load(channel, lambda: True)
            finally:
                poll.close()
            yield mirror

    def check(self, limit_s: float = CATCH_UP_S) -> None:
        """The source rests: what is served becomes what reading gives."""
        with self.mirror() as mirror:
            expected = self.served(mirror)
        deadline = time.monotonic() + limit_s
        while (found := self.served() if self.status()["version"] else []) != expected:
            assert time.monotonic() < deadline, self.difference(found, expected)
            time.sleep(0.02)

    def difference(self, found: list[bytes], expected: list[bytes]) -> str:
        lines = [f"sync says {self.health()}", *map(str, self.log()[-5:])]
        for table, one, other in zip(self.plan.tables, found, expected, strict=bool(found)):
            if one != other:
                has, lacks = (sorted(map(repr, json.loads(text))) for text in (one, other))
                lines.append(f"{table.name}: served only {[row for row in has if row not in lacks][:5]}")
                lines.append(f"{table.name}: read only {[row for row in lacks if row not in has][:5]}")
        return "\n".join(lines)

    # The source.

    def execute(self, *statements: str) -> None:
        """In one session, each by itself."""
        with contextlib.closing(self.database.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def follower(self) -> Follower:
        found = follower(self.direct, self.plan.schema, self.options)
        assert found is not None
        return found

    @property
    def counts(self) -> dict[str, Any]:
        """Sync's, as last told."""
        return self._counts

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(ReflexError):
            self._counts = self.health()
        self.kill()
        with contextlib.suppress(ReflexError):
            self.follower().drop()
        self.cut.cut()
        self.server.__exit__(None, None, None)
        self.program.unlink(missing_ok=True)


def program_of(plan: Plan, cache: Path, directory: Path) -> Path:
    """The server for a plan that no other test has, since its schema is the test's own: nothing of it stays in the
    cache but the engine's objects."""
    made = compile_server(cache, plan=plan)
    program = directory / made.name
    shutil.move(made, program)
    for path in cache.glob(f"plan-{hashlib.sha256(emit(plan).encode()).hexdigest()[:24]}*"):
        path.unlink()
    return program


def everything(table: PlannedTable) -> str:
    fields = " ".join(quoted(column.name) for column in table.columns if column.visible)
    return f"{quoted(table.name)} {{ {fields} }}"


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def wait(condition: Callable[[], Any], what: str, limit_s: float = CATCH_UP_S) -> Any:
    return until(condition, what, limit_s)
