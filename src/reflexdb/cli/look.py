"""`reflexdb status | logs`: what is going on, and what a build said. The lists of what went on are in `past`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from reflexdb.cli import not_served, options, output, resolve
from reflexdb.cli.database import print_databases
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.session import session
from reflexdb.client import log_path
from reflexdb.client.types import Freshness, InstanceStatus

FINISHED = frozenset({"succeeded", "failed"})


def status(
    context: typer.Context,
    database: Annotated[
        str | None, typer.Argument(metavar="[DATABASE]", help="Name or id; left out: one line for each database.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Status, health and freshness of a database, and what may be done now."""
    with session(context).client() as client:
        if database is None:
            databases = client.list_databases()
            if as_json:
                output.print_json(databases)
            else:
                print_databases(databases, {item["id"]: item["name"] for item in client.list_connections()})
            return
        found = resolve.database(client, database)["id"]
        answer = client.instance_status(found)
        lines = [] if as_json else stale(client.freshness(found))
    if as_json:
        output.print_json(answer)
    else:
        tell(answer, lines)


def tell(answer: InstanceStatus, stale_tables: Sequence[str] = ()) -> None:
    database, instance, build = answer["database"], answer["instance"], answer["latestBuild"]
    rows = instance.get("rowCounts", {}) if instance else {}
    output.facts(
        [
            ("name", database.get("name")),
            ("status", database["status"]),
            ("phase", database.get("phase") if database.get("phase") != database["status"] else None),
            ("desired", database.get("desiredState")),
            ("last error", database.get("lastError")),
            ("endpoint", instance.get("endpointUrl") if instance else None),
            ("health", instance.get("healthStatus") if instance else None),
            ("stale tables", list(stale_tables)),
            ("snapshot age", milliseconds(instance.get("snapshotAgeMs")) if instance else None),
            ("swaps", instance.get("swapCount") if instance else None),
            ("rows", [f"{name} {count:,}" for name, count in rows.items()]),
            ("latest build", f"{build['id']} {build['status']}" if build else None),
            ("not served", answer["notServedTotal"] or None),
            ("pending changes", "yes; `reflexdb rebuild` takes them in" if answer["hasPendingChanges"] else None),
            ("possible now", [name for name, action in answer["actions"].items() if action["allowed"]]),
        ]
    )
    not_served.tell(answer["notServed"], answer["notServedTotal"])


def stale(answer: Freshness) -> list[str]:
    """A line for each table that can't be brought up to date."""
    return [
        f"{each['table']} is {each['state']} since {each['since']}: {each['reason']} {each['remedy']}"
        for each in answer["staleTables"]
    ]


def milliseconds(value: int | None) -> str | None:
    if value is None:
        return None
    return f"{value} ms" if value < 10_000 else f"{value / 1000:.0f} s"


def logs(
    context: typer.Context,
    database: options.DatabaseArgument,
    build: Annotated[
        str | None, typer.Option("--build", help="Id of a build, or how it begins; the newest one else.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the build has ended.")] = False,
    as_json: options.Json = False,
) -> None:
    """The log of a build and its deployments."""
    with session(context).client() as client:
        item = resolve.database(client, database)
        known = client.list_builds(item["id"])["builds"]
        if not known:
            raise CommandFailed(Exit.NOT_FOUND, "no builds yet; `reflexdb provision` makes the first")
        chosen = resolve.build(client, item["id"], build) if build else known[0]
        path = log_path(item["id"], chosen["id"])

        def finished() -> bool:
            return not follow or resolve.build(client, item["id"], chosen["id"])["status"] in FINISHED

        if as_json:
            output.print_json({"buildId": chosen["id"], "lines": list(client.follow_log(path, finished))})
            return
        for line in client.follow_log(path, finished):
            output.say(line)
            sys.stdout.flush()
