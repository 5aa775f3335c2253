"""The demo's steps up to answered queries, each through the public client, each shown while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reflexdb.cli.demo import blog
from reflexdb.cli.demo.plane import Plane
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.progress import Progress
from reflexdb.cli.watch import Wait, wait
from reflexdb.client import ReflexClient, log_path
from reflexdb.client.types import InstanceStatus

ACTION_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Served:
    """A database that answers queries."""

    plane: Plane
    source: Path
    database_id: str
    build_id: str
    endpoint: str
    key: str


def make_source(path: Path, scale: blog.Scale, show: Progress) -> None:
    show.phase("sample blog")
    counts = blog.create(path, scale)
    show.line(", ".join(f"{count:,} {table}" for table, count in counts.items()))


def serve_source(plane: Plane, source: Path, show: Progress, *, size: str = "nano") -> Served:
    """Register, provision and key the sample; what a person would do with six commands."""
    with plane.client() as client:
        show.phase("connection")
        tested = client.test_connection(backend="sqlite", mysqlHost=str(source))
        if not tested["ok"]:
            raise CommandFailed(Exit.FAILED, f"the sample database cannot be used: {tested.get('error')}")
        schemas = tested.get("availableSchemas", [])
        connection = client.create_connection(
            name="blog", backend="sqlite", mysqlHost=str(source), availableSchemas=schemas
        )["connection"]
        show.line(f"{connection['name']} ({source.name}), schemas {', '.join(schemas)}")

        show.phase("database")
        database = client.register_database(
            connectionId=connection["id"], name="blog", mysqlDb=schemas[0], instanceSize=size
        )
        client.put_config(database["id"], blog.CONFIG)
        show.line(f"{database['name']} ({database['id']}), with its reflexdb.yaml")

        status = act(plane, client, database["id"], "provision", show)
        show.phase("API key")
        key = client.create_api_key(database["id"], "demo")["key"]
    return Served(plane, source, database["id"], build_of(status), endpoint_of(status), key)


def act(
    plane: Plane, client: ReflexClient, database_id: str, action: str, show: Progress, build_id: str | None = None
) -> InstanceStatus:
    """Order an action and wait for its end; a failure carries `lastError`."""
    builds = client.list_builds(database_id)["builds"]
    previous = builds[0]["id"] if builds else None
    seen = 0
    if build_id is not None:
        seen = len(client.read_log(log_path(database_id, build_id)))
        client.redeploy(database_id, build_id)
    else:
        build_id = {"provision": client.provision, "rebuild": client.rebuild, "terminate": client.terminate}[action](
            database_id
        ).get("buildId")
    goal = "terminated" if action == "terminate" else "running"
    return wait(plane.client, Wait(database_id, action, goal, ACTION_TIMEOUT_S, build_id, previous, seen), show)


def build_of(status: InstanceStatus) -> str:
    build = status["latestBuild"]
    assert build is not None, "a database that runs has a build"
    return build["id"]


def endpoint_of(status: InstanceStatus) -> str:
    instance = status["instance"]
    endpoint = instance.get("endpointUrl") if instance else None
    if not endpoint:
        raise CommandFailed(Exit.FAILED, "the database runs, but its instance has no endpoint")
    return endpoint
