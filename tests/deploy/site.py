"""A place to deploy to: a SQLite source, a data directory, a deployer, an HTTP client with a key."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import sqlite3
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reflexdb.build.base import BuildResult
from reflexdb.build.store import DirectoryStore
from reflexdb.deploy.base import ApiKeySet, Deployed, InstanceSpec, Observation
from reflexdb.deploy.local import LocalDeployer, processes
from reflexdb.deploy.local.processes import Role
from reflexdb.model.schema import Backend
from reflexdb.sources.base import SourceAddress
from reflexdb.sources.changes import FollowOptions
from tests.sync.waiting import until

SECRET = hashlib.sha256(b"the tests' signing secret").digest()
SCHEMA = (
    "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE posts(id INTEGER PRIMARY KEY, person_id INTEGER REFERENCES people(id), title TEXT)",
    "CREATE TABLE `odd ``name`(id INTEGER PRIMARY KEY)",
)
ROWS = ("INSERT INTO people VALUES (1,'Ada'),(2,NULL)", "INSERT INTO posts VALUES (1,1,'first')")


def execute(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@dataclass
class Site:
    """One database, `db`; deployments are numbered."""

    root: Path
    images: Path
    image: BuildResult
    keys: ApiKeySet = field(default_factory=lambda: ApiKeySet(SECRET, {"k1": None}))
    deployer: LocalDeployer = field(init=False)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.file = self.root / "source.db"
        if not self.file.exists():
            execute(self.file, *SCHEMA, *ROWS)
        self.deployer = self.new_deployer()

    def new_deployer(self) -> LocalDeployer:
        """Each worker has ports of its own, so that none takes one that another's stopped instance will want again."""
        first = 18400 + 100 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        store = DirectoryStore(self.images)
        return LocalDeployer(self.root / "data", store, load_limit_s=60, ports=range(first, first + 100))

    def entries(self) -> list[str]:
        """What is in the database's directory."""
        return sorted(entry.name for entry in (self.root / "data" / "instances" / "db").iterdir())

    def spec(self, deployment_id: str = "", **changes: Any) -> InstanceSpec:
        spec = InstanceSpec(
            database_id="db",
            deployment_id=deployment_id or str(uuid.uuid4()),
            build_id="build-1",
            image_digest=self.image.image.digest,
            plan=self.image.plan,
            source=self.address(),
            sync_mode="poll",
            follow=FollowOptions("reflexdb_test", 1),
            sync_interval_s=0.2,
            safety_net_s=0,
            memory_cap_mb=64,
            cpu_units=256,
            log_level="info",
            api_keys=self.keys,
            port=None,
        )
        return replace(spec, **changes)

    def address(self) -> SourceAddress:
        return SourceAddress(Backend.SQLITE, str(self.file), password="a-secret-nobody-needs")

    def deploy(self, deployment_id: str = "", **changes: Any) -> Deployed:
        return self.deployer.deploy(self.spec(deployment_id, **changes), self.lines.append).deployed

    def supervise(self) -> None:
        self.deployer.supervise(lambda _: (self.address(), self.keys))

    def observe(self) -> Observation:
        observation = self.deployer.observe("db")
        assert observation is not None
        return observation

    def healthy(self) -> bool:
        return self.observe().health == "ok"

    def directory(self) -> Path:
        return (self.root / "data" / "instances" / "db" / "current").resolve()

    def process(self, role: Role, directory: Path | None = None) -> int | None:
        """The one live process of this role, by /proc."""
        found = processes.find(directory or self.directory())
        for process in found:
            process.close()
        pids = [process.pid for process in found if process.role is role]
        assert len(pids) <= 1
        return pids[0] if pids else None

    def awaited(self, role: Role, other_than: int | None = None) -> int:
        """The live process of this role once there is one (other than the one that was)."""

        def new() -> int | None:
            pid = self.process(role)
            return pid if pid != other_than else None

        pid = until(new, f"a new {role.value}")
        assert pid is not None
        return pid

    def stray_processes(self) -> list[int]:
        """Processes of this data directory, whatever they are."""
        mine = os.fsencode(str((self.root / "data").resolve()))
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
                if mine in arguments and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
        return found

    def query(self, port: int, text: str = "people { id name }", key_id: str = "k1") -> Any:
        """The parsed answer; an error's object where the status is not 200."""
        status, body = request(port, text, key_id)
        return body if status == 200 else {"status": status, **body}


def request(port: int, text: str, key_id: str = "k1") -> tuple[int, Any]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        return ask(connection, text, key_id)


def ask(connection: http.client.HTTPConnection, text: str, key_id: str = "k1") -> tuple[int, Any]:
    token = hmac.new(SECRET, key_id.encode(), hashlib.sha256).hexdigest()
    connection.request("POST", "/query", text.encode(), {"Authorization": f"Bearer rxk_{key_id}.{token}"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())
