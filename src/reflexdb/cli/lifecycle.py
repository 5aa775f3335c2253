"""`reflexdb provision | rebuild | redeploy | terminate`: the actions on a database, and waiting for their end.

Each orders one action and then, unless --no-wait, follows it to a stable status. With --json the last thing known is
printed: the instance status after waiting, the acceptance without.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.progress import progress
from reflexdb.cli.session import Session, session
from reflexdb.cli.watch import Wait, log_tail, wait
from reflexdb.client import ReflexClient, log_path
from reflexdb.client.types import Accepted, Build, Database, InstanceStatus

BUILD_TIMEOUT_S = 1800.0
DEPLOY_TIMEOUT_S = 600.0

Canary = Annotated[
    str | None,
    typer.Option(
        help="Take over in steps of percent:seconds, like 5:60,25:60,50:60, beside the present instance.",
        metavar="STEPS",
    ),
]


def provision(
    context: typer.Context,
    database: options.DatabaseArgument,
    waiting: options.Waiting = True,
    timeout: options.Timeout = BUILD_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Build an image from the source's schema and serve it."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        previous = newest_build(client, item)
        accepted = client.provision(item["id"])
    what = Wait(item["id"], "provision", "running", timeout, accepted.get("buildId"), previous)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def rebuild(
    context: typer.Context,
    database: options.DatabaseArgument,
    canary: Canary = None,
    allow_breaking: Annotated[
        bool,
        typer.Option("--allow-breaking", help="Leave out tables and columns that the source no longer shows."),
    ] = False,
    waiting: options.Waiting = True,
    timeout: options.Timeout = BUILD_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Build again from the schema and reflexdb.yaml as they are now; queries go on without a gap."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        previous = newest_build(client, item)
        accepted = client.rebuild(item["id"], canary=canary, allow_breaking=allow_breaking)
    what = Wait(item["id"], "rebuild", "running", timeout, accepted.get("buildId"), previous)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def redeploy(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: Annotated[
        str | None,
        typer.Argument(help="Id of a past build, or how it begins. Left out: the one before the active."),
    ] = None,
    canary: Canary = None,
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Serve the stored image of a past build: a rollback, without building anything."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        chosen = resolve.build(client, item["id"], build) if build else before_active(client, item)
        seen = len(client.read_log(log_path(item["id"], chosen["id"]))) if waiting else 0
        accepted = client.redeploy(item["id"], chosen["id"], canary=canary)
    what = Wait(item["id"], "redeploy", "running", timeout, chosen["id"], None, seen)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def terminate(
    context: typer.Context,
    database: options.DatabaseArgument,
    yes: options.Yes = False,
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Stop the instance for good; the record and its builds stay, and it can be provisioned again."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        options.confirm(f"Terminate {item['name']}? Its endpoint stops answering.", yes=yes)
        previous = newest_build(client, item)
        accepted = client.terminate(item["id"])
    what = Wait(item["id"], "terminate", "terminated", timeout, None, previous)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def newest_build(client: ReflexClient, item: Database) -> str | None:
    builds = client.list_builds(item["id"])["builds"]
    return builds[0]["id"] if builds else None


def before_active(client: ReflexClient, item: Database) -> Build:
    """The newest deployable build older than the one that serves, which is what rolling back means."""
    history = client.list_builds(item["id"])
    ids = [build["id"] for build in history["builds"]]
    active = history["activeBuildId"]
    older = history["builds"][ids.index(active) + 1 :] if active in ids else history["builds"]
    for build in older:
        if build.get("deployable"):
            return build
    raise CommandFailed(Exit.NOT_FOUND, "there is no deployable build before the active one; see `reflexdb builds`")


def finish(shared: Session, item: Database, accepted: Accepted, what: Wait | None, *, as_json: bool) -> None:
    """Wait if asked to, then say how it ended."""
    if what is None:
        if as_json:
            output.print_json(accepted)
        else:
            output.say(f"{item['name']}: {'queued' if accepted.get('queued') else accepted['status']}")
        return
    show = progress(quiet=as_json)
    try:
        with show:
            status = wait(shared.client, what, show)
    except CommandFailed:
        if not show.keeps_lines and not as_json:
            with shared.client() as client:
                for line in log_tail(client, item["id"]):
                    output.note(f"  {line}")
        raise
    if as_json:
        output.print_json(status)
    else:
        tell_end(item, status)


def tell_end(item: Database, status: InstanceStatus) -> None:
    database: dict[str, Any] = status["database"]
    instance = status["instance"]
    endpoint = instance.get("endpointUrl") if instance else None
    output.say(f"{item['name']}: {database['status']}" + (f" at {endpoint}" if endpoint else ""))
