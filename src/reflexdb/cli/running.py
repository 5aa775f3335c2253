"""`reflexdb pause | resume | resize | reconfigure | reload | pause-replication | resume-replication`: what may be done
to a database that has been provisioned.

The first four order an action and follow it to a stable status, as `lifecycle` does. A reload has no status of its own:
it is over when the instance has swapped its snapshot once more. The replication switches are thrown at once.
"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from reflexdb.cli import options, output, resolve
from reflexdb.cli.database import Size
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.lifecycle import DEPLOY_TIMEOUT_S, finish, newest_build, tell_end
from reflexdb.cli.progress import progress
from reflexdb.cli.session import session
from reflexdb.cli.watch import POLL_S, Wait
from reflexdb.client import ReflexClient, log_path
from reflexdb.client.types import Database, InstanceStatus

UNDER_WAY = frozenset({"deploying", "resuming", "running"})


def pause(
    context: typer.Context,
    database: options.DatabaseArgument,
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Stop the instance and keep everything that is needed to resume it."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        previous = newest_build(client, item)
        accepted = client.pause(item["id"])
    what = Wait(item["id"], "pause", "paused", timeout, None, previous)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def resume(
    context: typer.Context,
    database: options.DatabaseArgument,
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Serve again what was served when the database was paused."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        previous = newest_build(client, item)
        accepted = client.resume(item["id"])
    what = Wait(item["id"], "resume", "running", timeout, None, previous)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def resize(
    context: typer.Context,
    database: options.DatabaseArgument,
    size: Annotated[Size, typer.Argument(help="Memory and CPU of the instance from now on.")],
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Give the instance another size: at once and without a gap where it runs, at its next start else."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        active, seen = served_log(client, item, waiting=waiting)
        accepted = client.resize(item["id"], size.value)
    goal = "running" if accepted["status"] in UNDER_WAY else accepted["status"]
    what = Wait(item["id"], "resize", goal, timeout, active, None, seen)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def reconfigure(
    context: typer.Context,
    database: options.DatabaseArgument,
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Start the instance again with the present settings (sync, log level, credentials) and the image it has."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        active, seen = served_log(client, item, waiting=waiting)
        accepted = client.reconfigure(item["id"])
    what = Wait(item["id"], "reconfigure", "running", timeout, active, None, seen)
    finish(shared, item, accepted, what if waiting else None, as_json=as_json)


def reload(
    context: typer.Context,
    database: options.DatabaseArgument,
    waiting: options.Waiting = True,
    timeout: options.Timeout = DEPLOY_TIMEOUT_S,
    as_json: options.Json = False,
) -> None:
    """Read the whole snapshot from the source again and swap it in."""
    shared = session(context)
    with shared.client() as client:
        item = resolve.database(client, database)
        before = swaps(client.instance_status(item["id"]))
        accepted = client.reload(item["id"])
        if not waiting:
            finish(shared, item, accepted, None, as_json=as_json)
            return
        with progress(quiet=as_json) as show:
            show.phase("reload: reading the source")
            status = until_swapped(client, item, before, timeout)
    if as_json:
        output.print_json(status)
    else:
        tell_end(item, status)


def pause_replication(
    context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False
) -> None:
    """Freeze the snapshot, before a bulk import say; queries go on being answered from it."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        paused = client.pause_replication(item["id"])
    tell_replication(item, paused=paused, as_json=as_json)


def resume_replication(
    context: typer.Context, database: options.DatabaseArgument, as_json: options.Json = False
) -> None:
    """Let changes flow into the snapshot again."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        paused = client.resume_replication(item["id"])
    tell_replication(item, paused=paused, as_json=as_json)


def tell_replication(item: Database, *, paused: bool, as_json: bool) -> None:
    if as_json:
        output.print_json({"replication_paused": paused})
    else:
        output.say(f"{item['name']}: replication {'paused' if paused else 'on'}")


def served_log(client: ReflexClient, item: Database, *, waiting: bool) -> tuple[str | None, int]:
    """The build that serves, and how many lines its log has before the action; both are needed to follow it."""
    active = client.list_builds(item["id"])["activeBuildId"]
    return active, len(client.read_log(log_path(item["id"], active))) if waiting and active else 0


def swaps(status: InstanceStatus) -> int:
    instance = status["instance"]
    return (instance.get("swapCount") or 0) if instance else 0


def until_swapped(client: ReflexClient, item: Database, before: int, timeout_s: float) -> InstanceStatus:
    """Wait for one swap more. Raises CommandFailed with what the instance says of itself where none comes."""
    deadline = time.monotonic() + timeout_s
    while swaps(status := client.instance_status(item["id"])) <= before:
        if status["database"]["status"] != "running":
            raise CommandFailed(Exit.FAILED, f"reload failed: the database is {status['database']['status']} now")
        if time.monotonic() > deadline:
            reason = status["database"].get("lastError") or "the source is still being read"
            raise CommandFailed(Exit.FAILED, f"reload is not done after {timeout_s:.0f} s: {reason}")
        time.sleep(POLL_S)
    return status
